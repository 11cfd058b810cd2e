"""Exceptions for mistakes that the user can fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Error caused by a mistake that the user can fix; shown without a traceback.

    Args:
        what: what happened, in one sentence.
        where: the file, line or setting that is wrong.
        do: how to fix it.
    """

    #: Exit code of the process; subclasses have their own if scripts must tell them apart.
    exit_code = 1

    def __init__(self, what: str, where: str | None = None, do: str | None = None) -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.do:
            lines.append(f"  do:    {self.do}")
        return "\n".join(lines)


class InputError(UserError, ValueError):
    """The same error for callers of the Python interface, who expect a ``ValueError`` for wrong arguments or data."""


@contextmanager
def input_errors() -> Iterator[None]:
    """Re-raise every :class:`UserError` of a block or decorated function as an :class:`InputError`."""
    try:
        yield
    except InputError:
        raise
    except UserError as error:
        raise InputError(error.what, error.where, error.do) from error
