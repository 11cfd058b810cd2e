"""A local server with the OpenAI API that can be made to fail."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa

from lecdsr.ask.openai_provider import OpenAIProvider, RetryPolicy
from lecdsr.ask.request import request_body, request_key
from lecdsr.core.schemas import QUESTIONS

KEY = "sk-secret-of-the-test-0123456789"


@dataclass
class Reply:
    status: int = 200
    body: dict | str = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    wait: float = 0.0
    cut: int | None = None  # number of body bytes after which the connection breaks


def chat(text="a text", delete_job="stop", **message):
    """Make a chat completion."""
    return Reply(
        body={
            "id": "c1",
            "object": "chat.completion",
            "model": "served-model",
            "choices": [
                {"index": 0, "finish_reason": delete_job, "message": {"role": "assistant", "content": text, **message}}
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    )


def prompt_of(request):
    """Return the user's message, or the list of texts of a request for vectors."""
    return request["input"] if "input" in request else request["messages"][-1]["content"]


def error(status, code=None, message="no", **headers):
    return Reply(status, {"error": {"message": message, "type": "t", "code": code}}, headers)


class Loopback:
    """Server whose ``behave(prompt, n)`` returns the reply to the n-th request (from 0) with this prompt."""

    def __init__(self):
        self.requests, self.times, self.keys, self.sent = [], [], [], []
        self.at_once = self.most_at_once = 0
        self.behave = lambda prompt, number: chat(f"about {prompt}")
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def prompts(self):
        return [prompt_of(request) for request in list(self.requests)]

    def environment(self, **variables):
        return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.url, **variables}

    def provider(self, retry_policy=None, **variables):
        return OpenAIProvider(self.environment(**variables), retry_policy or RetryPolicy(first_s=0.01, longest_s=0.05))

    def _answer(self, request, key):
        with self._lock:
            prompt = prompt_of(request)
            number = len(self.requests)
            self.requests.append(request)
            self.times.append(time.monotonic())
            self.keys.append(key)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self.behave(prompt, number)
            time.sleep(reply.wait)
            return reply
        finally:
            with self._lock:
                self.at_once -= 1

    def _handler(loopback):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = loopback._answer(request, self.headers["Authorization"])
                body = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: reply.cut])
                    self.wfile.flush()
                    if reply.cut is not None:
                        self.close_connection = True
                    elif reply.status == 200:
                        # Complete replies in the order in which they were sent: these are paid for.
                        loopback.sent.append((prompt_of(request), reply))
                except OSError:
                    self.close_connection = True  # the client has gone

            def log_message(self, *_):
                pass

        return Handler


def question_table(prompts, model="test-model", **request):
    """Make a table ``QUESTIONS`` of user questions, one per prompt."""
    rows = []
    for number, prompt in enumerate(prompts):
        fields = {"temperature": 0.0, "max_tokens": 9, "resample": 0, **request}
        body = request_body("system", prompt, model=model, **fields)
        facts = json.dumps([{"domain": "Pantry", "title": prompt, "brand": "", "categories": []}])
        rows.append({"kind": "user", "id": number, "key": request_key(body), "body": body, "facts": facts})
    return pa.Table.from_pylist(rows, schema=QUESTIONS)
