"""Programs that are forks of one server, see ``tests/fork_server.py``: the server of a test run, and its scripts."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import fork_server

#: Folder of the scripts ``python``, ``dvc`` and ``lecdsr``, for all processes of the test run.
VARIABLE = "LECDSR_TEST_PROGRAMS"


#: Signal that kills a fork and ends its client with it, where ``Popen.kill`` would end the client first.
KILL = signal.SIGUSR1


class Programs:
    """The server and its scripts, for as long as the tests run."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lecdsr-programs-"))
        server = self.folder / "socket"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(server))
        listening.listen(64)
        (self.folder / "bin").mkdir()
        for name in ("python", *fork_server.CALLS):
            script = self.folder / "bin" / name
            client = f'"{sys.executable}" -IS "{fork_server.__file__}" "{server}" "{sys.executable}" {name} "$@"'
            script.write_text(f"#!/bin/sh\nexec {client}\n")
            script.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DVC_", "GIT_"))}
        command = [sys.executable, "-P", fork_server.__file__, str(listening.fileno())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=kept, pass_fds=[listening.fileno()])
        listening.close()
        os.environ[VARIABLE] = str(self.folder / "bin")

    def close(self) -> None:
        """End the server and wait for it."""
        del os.environ[VARIABLE]
        self.process.communicate()
        shutil.rmtree(self.folder)


def program(name: str) -> str:
    """The path of the script ``python``, ``dvc`` or ``lecdsr``."""
    return str(Path(os.environ[VARIABLE], name))


def search_path() -> str:
    """The value of ``PATH`` with which these scripts are found first."""
    plain = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return f"{os.environ[VARIABLE]}{os.pathsep}{plain}"
