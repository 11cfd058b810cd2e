"""Exceptions for mistakes that the user can fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

# Comparing a misspelt name with all names of a large data set would take longer than the command itself.
_MOST_COMPARED = 50_000


class UserError(Exception):
    """Error caused by a mistake that the user can fix; shown without a traceback.

    Args:
        what: what happened, in one sentence.
        where: the file, line or setting that is wrong.
        do: how to fix it.
        code: kind of the mistake, such as ``unknown-key``, for programs and tests that tell mistakes apart. It is not
            shown and does not change when the wording does.
    """

    #: Exit code of the process; subclasses have their own if scripts must tell them apart.
    exit_code = 1
    code: str | None = None

    def __init__(self, what: str, where: str | None = None, do: str | None = None, *, code: str | None = None) -> None:
        self.what, self.where, self.do = what, where, do
        if code is not None:
            self.code = code
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
        raise InputError(error.what, error.where, error.do, code=error.code) from error


def closest(name: object, known: Iterable[str]) -> str | None:
    """Return the name among ``known`` that is most similar to ``name``; None if none is similar."""
    near = difflib.get_close_matches(str(name), list(islice(known, _MOST_COMPARED)), n=1)
    return near[0] if near else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'NAME'?)"``, to be appended to a message; empty if no known name is similar."""
    near = closest(name, known)
    return f" (did you mean {near!r}?)" if near is not None else ""
