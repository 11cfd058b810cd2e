"""The base of all settings: typed, closed, unchangeable."""

from __future__ import annotations

from typing import Any

import pydantic


class Block(pydantic.BaseModel):
    """Typed settings: unknown keys and infinite numbers are refused, values cannot be changed after reading."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        # Numbers may come as text ("1e-5" does, from some YAML), but `true` for 1 is a mistake.
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and wanted in (int, float, int | None, float | None):
            raise ValueError("a number")
        return value
