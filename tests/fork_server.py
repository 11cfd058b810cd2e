"""A fork server: programs that tests start are forks of one process that has imported all heavy packages.

Importing PyTorch, DVC and the rest takes a stage longer than its work in a test. The server imports packages of
others only, so a program imports the code of lecdsr, its own clone's included, as if it were started plainly.

``python -P tests/fork_server.py FD`` serves a listening socket until its standard input is closed;
``python -IS tests/fork_server.py SOCKET PYTHON PROGRAM ARGUMENT…`` runs one program: ``python``, ``dvc`` or ``lecdsr``.
"""

import array
import json
import os
import signal
import socket
import sys

#: Imported by the server, where they are installed; nothing of this project.
PACKAGES = (
    "torch", "torch._dynamo", "numpy", "pandas", "pyarrow.parquet", "pyarrow.compute", "pyarrow.csv", "duckdb",
    "scipy.sparse", "scipy.stats", "matplotlib.pyplot", "jinja2", "pydantic", "rich.table", "ruamel.yaml", "typer",
    "safetensors.torch", "sentence_transformers", "openai", "aiohttp", "hydra", "dvc.cli.parser", "dvc.repo",
    "dvc.repo.reproduce", "dvc.repo.experiments", "dvc.commands.repro", "dvc.commands.experiments.run", "pygit2",
    "dulwich.repo", "dulwich.porcelain", "dvc_data.hashfile.db.local", "networkx", "dpath", "sqltrie", "diskcache",
)  # fmt: skip
#: Programs that are no modules: what their scripts in the environment call.
CALLS = {
    "dvc": "import sys; from dvc.cli import main; sys.exit(main())",
    "lecdsr": "import sys; from lecdsr.cli.main import run; sys.exit(run())",
}
#: Signals that a client passes on to its fork, and what the fork gets. A client that is killed itself takes its fork
#: with it too, but a moment later; after SIGUSR1 it ends when its fork has ended.
FORWARDED = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGUSR1: signal.SIGKILL}


def serve(descriptor: int) -> None:
    """Fork one process for each connection, until the standard input is closed."""
    import gc
    import importlib
    import select

    with socket.socket(fileno=descriptor) as listening:
        packages: tuple[str, ...] = PACKAGES
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [], 0.1)
            _reap()
            if sys.stdin in ready:
                os._exit(0)
            if listening in ready:
                connection, _ = listening.accept()
                for name in packages:  # at the first request: tests that start no program need none of them
                    try:
                        importlib.import_module(name)
                    except ModuleNotFoundError:
                        continue
                packages = ()
                gc.freeze()  # so that a collection in a fork copies no pages
                if os.fork() == 0:
                    listening.close()
                    _run(connection)
                connection.close()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _run(connection: socket.socket) -> None:
    """Become the program that a client asks for; never return."""
    import atexit
    import threading
    import traceback

    code = 1
    try:
        asked = _receive(connection)
        threading.Thread(target=_obey, args=(connection,), daemon=True).start()
        code = _call(asked)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        connection.sendall(bytes([code]))
        os._exit(code)


def _receive(connection: socket.socket) -> dict:
    """Take over the files, environment, folder and arguments of a client."""
    length, descriptors, *_ = socket.recv_fds(connection, 8, 3)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with connection.makefile("rb") as stream:
        asked = json.loads(stream.read(int(length)))
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, open(number, "w", buffering=1, closefd=False, encoding="utf-8"))  # noqa: SIM115
        setattr(sys, f"__{name}__", getattr(sys, name))
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    return asked


def _obey(connection: socket.socket) -> None:
    """Pass on signals that reach the client, and end with it."""
    while received := connection.recv(1):
        os.kill(os.getpid(), received[0])
    os.kill(os.getpid(), signal.SIGKILL)


def _call(asked: dict) -> int:
    """Run ``python -m MODULE``, ``python -c CODE``, ``python FILE`` or a script of CALLS; return the exit code."""
    import runpy

    program, arguments = asked["program"], asked["arguments"]
    if program in CALLS:
        arguments = [program, *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.executable = asked["executable"]  # what this program starts by itself is a fork too
    try:
        if arguments[0] == "-m":
            sys.path.insert(0, "")
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.path.insert(0, "")
            _execute(arguments[1], ["-c", *arguments[2:]])
        elif program in CALLS:
            _execute(CALLS[program], arguments)
        else:
            sys.path.insert(0, os.path.dirname(arguments[0]))
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    return 0


def _execute(code: str, arguments: list[str]) -> None:
    import types

    sys.argv = arguments
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(code, main.__dict__)


def request(path: str, python: str, program: str, *arguments: str) -> None:
    """Run a program in a fork of the server, with the files, folder and environment of this process, and end as it."""
    options = not arguments or (arguments[0][0] == "-" and arguments[0] not in ("-m", "-c"))
    if program == "python" and (options or "--multiprocessing-fork" in arguments):
        os.execv(python, [python, *arguments])
    asked = {
        "arguments": arguments,
        "program": program,
        "executable": os.path.join(os.path.dirname(path), "bin", "python"),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    message = json.dumps(asked).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        for number in FORWARDED:
            signal.signal(number, lambda received, _: server.sendall(bytes([FORWARDED[received]])))
        server.sendmsg(
            [f"{len(message):8}".encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
        )
        server.sendall(message)
        ended = server.recv(1)
    if not ended:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(ended[0])


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(int(sys.argv[1]))
    else:
        request(*sys.argv[1:])
