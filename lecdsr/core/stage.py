"""Stage entry point: parse the arguments, and report user mistakes without a traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from lecdsr.core.console import stderr
from lecdsr.core.errors import UserError
from lecdsr.core.paths import enter_repository


def run_stage(main: Callable[..., None], doc: str | None, *names: str) -> None:
    """Parse one argument ``--NAME VALUE`` per name and call ``main`` with the values.

    A :class:`UserError` exits with its code (1 unless a subclass has another), an interrupt with 130. Any other
    exception is a bug and keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument(f"--{name}", required=True, help=f"name of the {name}")
    arguments = parser.parse_args()
    try:
        enter_repository()
        main(**vars(arguments))
    except UserError as error:
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        stderr.print("interrupted; paid answers and finished results are kept", markup=False)
        sys.exit(130)
