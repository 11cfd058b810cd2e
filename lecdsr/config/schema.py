"""Base class of all settings, which are typed, immutable and refuse unknown keys."""

from __future__ import annotations

from typing import Any

import pydantic


class Block(pydantic.BaseModel):
    """Base class of settings: unknown keys and infinite numbers are refused, values cannot be changed after reading."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        # Numbers may be given as text (YAML reads 1e-5 as text), but `true` instead of 1 is a mistake.
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and wanted in (int, float, int | None, float | None):
            raise ValueError("a number")
        return value
