"""Ask a program of your own, which reads a request on standard input and writes the answer to standard output."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping

from lecdsr.ask.reply import read_reply
from lecdsr.ask.request import model_of
from lecdsr.ask.types import Failure, Outcome, Question
from lecdsr.core.errors import UserError

VARIABLE = "LECDSR_LLM_COMMAND"
SECONDS = 120


class CommandProvider:
    """Provider that runs one process per question; the request is the JSON that a server would receive.

    Args:
        environment: holds the command line. It is not a setting, because the location of a program changes no answer.

    Raises:
        UserError: the environment names no command.
    """

    name = "command"
    title = "command"
    spent = 0.0

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._command = shlex.split(environment.get(VARIABLE, ""))
        if not self._command:
            raise UserError("no command to ask", where=VARIABLE, do="set it to a program and its arguments")

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Yield every question with its outcome immediately, so that it is stored and paid for only once."""
        for question in questions:
            yield [(question, self._outcome(question))]

    def _outcome(self, question: Question) -> Outcome:
        try:
            done = subprocess.run(
                self._command, input=question.body, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Failure("timeout", f"no answer after {SECONDS} s")
        except OSError as error:  # the same error would occur for every question
            raise UserError(f"the command cannot be run: {error}", where=VARIABLE) from error
        if done.returncode:
            return Failure("command failed", done.stderr.strip()[-200:])
        return read_reply(_reply(model_of(question.body), done.stdout.strip()))


def _reply(model: str, text: str) -> str:
    """Format the text like the reply of a server, because the store keeps replies and parses them again."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"model": model, "choices": [choice]})
