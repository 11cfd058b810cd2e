"""What is to be compared: ``experiments.yaml``, read, typed, and checked against the settings of the models."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from lecdsr.base.block import Block
from lecdsr.base.errors import UserError
from lecdsr.base.settings import check_values, load_block, read_yaml
from lecdsr.models.registry import MODELS, entry

FILE = Path("experiments.yaml")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
#: Values laid over the block of a model.
Setting = dict[str, Any]


class Arm(Block):
    """A method: a model, what is fixed of its settings, and the settings that are tried for it."""

    model: str
    set: Setting = Field(default_factory=dict)
    grid: list[Setting] = Field(min_length=1)


class Control(Block):
    """The chosen setting of an arm with something changed."""

    arm: str
    set: Setting


class Experiments(Block):
    """The file ``experiments.yaml``; every key is explained there."""

    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    budget: int = Field(ge=1)
    arms: dict[Name, Arm] = Field(min_length=1)
    controls: dict[str, Control] = Field(default_factory=dict)


def load_experiments(pair: str, file: Path = FILE) -> Experiments:
    """Read the experiments and check every setting in them, for one pair.

    Raises:
        UserError: a model, an arm, a key or a value is not what is expected, or a grid has not its budget; the
            message names it.
    """
    declared = check_values(Experiments, read_yaml(file), str(file))
    _once(declared.seeds, f"{file}: seeds")
    for name, arm in declared.arms.items():
        where = f"{file}: arms.{name}"
        if arm.model not in MODELS:
            raise UserError(f"there is no model {arm.model!r}", f"{where}.model", f"use one of {', '.join(MODELS)}")
        made = [resolve(pair, arm, point, where=f"{where}.grid[{place}]") for place, point in enumerate(arm.grid)]
        _once([json.dumps(one, sort_keys=True) for one in made], f"{where}.grid")
        if len(arm.grid) != declared.budget and not (_nothing_to_tune(arm.model) and arm.grid == [{}]):
            raise UserError(
                f"{len(arm.grid)} settings are tried, the budget is {declared.budget} for every arm",
                where=f"{where}.grid",
                do="give every arm as many; `[{}]` is for models without settings",
            )
    for name, control in declared.controls.items():
        where = f"{file}: controls.{name}"
        if control.arm not in declared.arms:
            raise UserError(f"there is no arm {control.arm!r}", where, f"use one of {', '.join(declared.arms)}")
        resolve(pair, declared.arms[control.arm], control.set, where=f"{where}.set")
    return declared


def resolve(pair: str, arm: Arm, setting: Setting, where: str = str(FILE)) -> dict[str, Any]:
    """All settings of a model on a pair, with what is fixed for the arm and then ``setting`` laid over them.

    Raises:
        UserError: a key is unknown or a value ill-typed.
    """
    schema = entry(arm.model).settings
    common = load_block("train", schema, pair, arm.model).model_dump()
    return check_values(schema, {**common, **arm.set, **setting}, where).model_dump(mode="json")


def chosen_arms(declared: Experiments, names: list[str]) -> dict[str, Arm]:
    """The arms of these names, in the order of the file; without names all of them.

    Raises:
        UserError: there is no such arm.
    """
    for name in names:
        if name not in declared.arms:
            raise UserError(f"there is no arm {name!r}", str(FILE), f"use one of {', '.join(declared.arms)}")
    return {name: arm for name, arm in declared.arms.items() if not names or name in names}


def _nothing_to_tune(model: str) -> bool:
    return not any(field.is_required() for field in entry(model).settings.model_fields.values())


def _once(values: list[Any], where: str) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise UserError(f"the same is there twice: {twice[0]}", where=where, do="try something else with it")
