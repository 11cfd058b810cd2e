"""How much clients may ask for, and whether what the service needs is installed."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from lecdsr.core.errors import UserError


class Limits(NamedTuple):
    """How much one client, and all of them, may ask for.

    Args:
        body: bytes of a request.
        seconds: for a request to arrive, its head and its body.
        requests: requests being answered at once.
        explanations: of these, explanations and similar items, which take longer.
        connections: open connections.
        shutdown: seconds for requests under way when the service ends.
    """

    body: int = 262_144
    seconds: float = 10.0
    requests: int = 128
    explanations: int = 16
    connections: int = 1024
    shutdown: int = 30


def check_installed() -> None:
    """Refuse to serve without the extra ``serve``, before anything of it is imported.

    Raises:
        UserError: a package is missing.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the service needs {' and '.join(missing)}, which is not installed",
            do="run pip install 'lecdsr[serve]'",
            code="not-installed",
        )
