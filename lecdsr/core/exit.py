"""Exit of a program: a user's mistake is reported as one message, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lecdsr.core.console import stderr
from lecdsr.core.errors import UserError


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print a :class:`UserError` of a block or decorated function, and exit with its code.

    Any other exception is a bug and keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
