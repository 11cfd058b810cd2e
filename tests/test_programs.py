"""A fork of the server of programs behaves as a program that is started plainly."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.programs import KILL, program
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
# It says its number where an interrupt is already caught.
WAITING = """
import os, time
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(5)
"""


def run(folder, *arguments, name="python", **variables):
    done = subprocess.run(
        [program(name), *arguments], cwd=folder, env={**os.environ, **variables}, text=True, capture_output=True
    )
    return done.returncode, done.stdout, done.stderr


def test_arguments_folder_and_environment(tmp_path):
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['SOME'], 'OTHER' in os.environ)"
    assert run(tmp_path, "-c", code, "a b", "-m", SOME="text") == (
        0,
        f"['-c', 'a b', '-m'] {tmp_path} text False\n",
        "",
    )
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    (tmp_path / "script.py").write_text("import sys, beside; print(__name__, sys.argv, beside.NAME)")
    assert run(tmp_path, "script.py", "x")[1] == "__main__ ['script.py', 'x'] beside\n"
    assert run(tmp_path, "-m", "script", "x")[1] == f"__main__ ['{tmp_path}/script.py', 'x'] beside\n"
    assert run(tmp_path, "--version")[1].startswith("Python 3")
    assert run(tmp_path, "--version", name="dvc")[1][0].isdigit()


def test_the_code_of_lecdsr_is_not_imported_beforehand(tmp_path):
    (tmp_path / "lecdsr.py").write_text("print('of the folder')")
    code = "import sys; assert not {'lecdsr', 'tests', 'stages'} & set(sys.modules); assert 'torch' in sys.modules"
    assert run(tmp_path, "-c", f"{code}; import lecdsr", PYTHONPATH="")[1] == "of the folder\n"
    code = "import os, subprocess, sys; print(os.getppid()); subprocess.run([sys.executable, '-c', sys.argv[1]])"
    first, second = run(tmp_path, "-c", code, "import os; print(os.getppid())")[1].split()
    assert first == second  # both are forks of the server


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('bad')", 1, "bad\n"),
        ("raise ValueError('worse')", 1, "ValueError: worse\n"),
        ("import threading; threading.Thread(target=print, args=('late',)).start()", 0, ""),
    ],
)
def test_exit_codes(tmp_path, statement, code, said):
    ended, printed, errors = run(tmp_path, "-c", f"import sys; {statement}")
    assert ended == code
    assert errors.endswith(said)
    assert printed == ("late\n" if "late" in statement else "")


@pytest.mark.parametrize(
    ("sent", "code"),
    [(KILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGKILL), (signal.SIGINT, 5), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_signals(tmp_path, sent, code):
    started = subprocess.Popen([program("python"), "-c", WAITING], stdout=subprocess.PIPE, text=True)
    fork = int(started.stdout.readline())
    started.send_signal(sent)
    assert started.stdout.read() == ""  # until the fork, too, has closed it
    assert started.wait() == code
    wait_for(lambda: not Path(f"/proc/{fork}").exists(), 60)  # the server reaps it
