"""Every setting of every stage and model has a valid default and a description."""

from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lecdsr.config.names import model_names, stage_names
from lecdsr.config.resolve import settings_class
from lecdsr.config.schema import Block
from lecdsr.models.base import AttentionSettings, TrainedSettings
from lecdsr.models.registry import find_model

SCHEMAS = {name: settings_class(name) for name in stage_names() if name != "train"} | {
    f"train.{name}": find_model(name).settings for name in model_names()
}


def fields_of(schema: type[Block], path: str) -> Iterator[tuple[str, FieldInfo]]:
    """List every field of a block and of the blocks inside it, by dotted name."""
    for name, field in schema.model_fields.items():
        yield f"{path}.{name}", field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Block):
                yield from fields_of(inner, f"{path}.{name}")


def test_every_stage_of_the_pipeline_has_settings():
    assert set(stage_names()) >= {"download", "sequences", "candidates", "prompts", "ask", "embed", "train", "evaluate"}


def test_blocks_inside_blocks_are_walked():
    names = {name for block in ("download", "sequences") for name, _ in fields_of(SCHEMAS[block], block)}
    assert {"download.attempts", "download.synthetic.users", "sequences.expect.items_x"} <= names


@pytest.mark.parametrize("block", SCHEMAS)
def test_every_setting_has_a_default_and_a_description(block):
    fields = dict(fields_of(SCHEMAS[block], block))
    assert len(fields) > 0
    assert [name for name, field in fields.items() if field.is_required()] == []
    assert [name for name, field in fields.items() if len(field.description or "") < 15] == []


@pytest.mark.parametrize("block", SCHEMAS)
def test_the_defaults_are_valid(block):
    # Pydantic does not check defaults, so they are passed as values; they survive YAML, which knows no tuples.
    defaults = SCHEMAS[block]()
    assert SCHEMAS[block].model_validate(defaults.model_dump(mode="json")) == defaults


def test_a_model_changes_a_default_and_keeps_bounds_and_description():
    tandem = find_model("tandem").settings
    shared = AttentionSettings.model_fields["width"]
    assert (shared.default, tandem.model_fields["width"].default) == (64, 256)
    assert tandem.model_fields["width"].description == shared.description
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        tandem(width=0)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_setting_is_a_finite_number(value):
    with pytest.raises(ValidationError, match="finite"):
        TrainedSettings(weight_decay=value)
