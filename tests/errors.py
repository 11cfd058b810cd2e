"""Expect user mistakes by their code and place; the wording is checked in tests/core/test_messages.py alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lecdsr.core.errors import UserError


@contextmanager
def refused(
    code: str, where: object = None, *, error: type[UserError] = UserError
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expect a user mistake.

    Args:
        code: ``code`` of the error.
        where: ``where`` of the error, exactly; None accepts any.
        error: class of the error.
    """
    with pytest.raises(error) as caught:
        yield caught
    assert caught.value.code == code, f"code {caught.value.code!r} of: {caught.value}"
    if where is not None:
        assert caught.value.where == str(where), f"where {caught.value.where!r} of: {caught.value}"
