"""A local server with `/v1/files` and `/v1/batches` that can be made to fail."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.ask.loopback import KEY, chat


class BatchServer:
    """Server whose batches end as ``fate(batch number)`` says, after they were polled ``polls`` times.

    ``before(call)`` is called before a request such as ``POST /batches`` is looked at; it may take its time.
    """

    def __init__(self):
        self.files, self.batches, self.log = {}, {}, []
        self.fate = lambda number: "completed"
        self.answer = lambda prompt: chat(f"about {prompt}").body
        self.polls = 1
        self.before = lambda call: None
        self.drop = set()  # numbers of requests whose reply is never sent
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def environment(self, **variables):
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self._http.server_port}/v1",
            "LECDSR_LLM_TRANSPORT": "batch",
            **variables,
        }

    @property
    def asked(self):
        """List every prompt of every batch that was created."""
        prompts = []
        for batch in self.batches.values():
            prompts += [self._prompt(line) for line in self.files[batch["input_file_id"]]["content"].splitlines()]
        return prompts

    def _prompt(self, line):
        return json.loads(line)["body"]["messages"][-1]["content"]

    def add_file(self, name, content):
        file = {
            "id": f"file-{len(self.files)}", "object": "file", "bytes": len(content), "created_at": 1,
            "filename": name, "purpose": "batch", "status": "processed", "content": content,
        }  # fmt: skip
        self.files[file["id"]] = file
        return file

    def add_batch(self, request):
        number = len(self.batches)
        batch = {
            "id": f"batch_{number}", "object": "batch", "endpoint": request["endpoint"], "created_at": 1,
            "input_file_id": request["input_file_id"], "completion_window": "24h", "status": "validating",
            "metadata": request.get("metadata"), "polled": 0, "number": number, "errors": None,
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        return batch

    def poll(self, batch):
        batch["polled"] += 1
        if batch["polled"] <= self.polls or batch["status"] not in ("validating", "in_progress"):
            batch["status"] = "in_progress" if batch["status"] == "validating" else batch["status"]
            return
        fate = self.fate(batch["number"])
        lines = self.files[batch["input_file_id"]]["content"].splitlines()
        done = {"completed": lines, "expired": lines[: len(lines) // 2]}.get(fate, [])
        batch["status"] = "completed" if fate == "errors only" else fate
        if done:  # results come in any order
            results = [self._result(line, 200, self.answer(self._prompt(line))) for line in reversed(done)]
            batch["output_file_id"] = self.add_file("out", "\n".join(results) + "\n")["id"]
        if fate == "errors only":
            body = {"error": {"message": "bad request", "code": "x"}}
            batch["error_file_id"] = self.add_file("err", "\n".join(self._result(line, 400, body) for line in lines))[
                "id"
            ]
        if fate == "expired":
            error = {"code": "batch_expired", "message": "This request could not be executed in time."}
            left = [json.dumps({"custom_id": json.loads(line)["custom_id"], "response": None, "error": error})
                    for line in lines[len(lines) // 2 :]]  # fmt: skip
            batch["error_file_id"] = self.add_file("err", "\n".join(left))["id"]
        if fate == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "too many"}]}

    def _result(self, line, status, body):
        response = {"status_code": status, "request_id": "r", "body": body}
        return json.dumps({"id": "b", "custom_id": json.loads(line)["custom_id"], "response": response, "error": None})

    def handle(self, method, path, body, content_type):
        path = path.removeprefix("/v1").partition("?")[0]
        if method == "POST" and path == "/files":
            name = re.search(rb'filename="([^"]+)"', body)[1].decode()
            content = body.split(b"\r\n\r\n")
            boundary = content_type.split("boundary=")[1].encode()
            content = next(part for part in body.split(b"--" + boundary) if b'filename="' in part)
            return self.add_file(name, content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").decode())
        if method == "POST" and path == "/batches":
            return self.add_batch(json.loads(body))
        if path == "/files":
            return {"object": "list", "data": list(self.files.values()), "has_more": False}
        if path == "/batches":
            return {"object": "list", "data": list(self.batches.values()), "has_more": False}
        if path.endswith("/content"):
            return self.files[path.split("/")[2]]["content"]
        batch = self.batches[path.split("/")[2]]
        self.poll(batch)
        return batch

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.before(f"{self.command} {self.path.partition('?')[0].removeprefix('/v1')}")
                with server._lock:
                    number = len(server.log)
                    server.log.append(f"{self.command} {self.path.partition('?')[0]}")
                    reply = server.handle(self.command, self.path, body, self.headers["Content-Type"])
                if number in server.drop:
                    self.close_connection = True  # the work is done, the reply is lost
                    return
                content = reply if isinstance(reply, str) else json.dumps(reply)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())

            do_GET = do_POST = _do

            def log_message(self, *_):
                pass

        return Handler
