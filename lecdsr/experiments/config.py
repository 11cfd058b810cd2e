"""Read ``experiments.yaml`` and check it against the settings of the models."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import Field, StringConstraints

from lecdsr.config.load import check_values, load_block, read_yaml
from lecdsr.config.schema import Block
from lecdsr.core.errors import UserError, did_you_mean
from lecdsr.models.registry import find_model, model_names

FILE = Path("experiments.yaml")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
#: Settings that override the block of a model.
Setting = dict[str, Any]


class Method(Block):
    """A method: a model, its fixed settings, and the grid of settings to try.

    A ``published`` one has the settings of its authors, a single point whatever the budget. ``time`` is how long one
    run takes and on what, in words; the results page has it where runs are missing.
    """

    model: str
    published: bool = False
    time: str = ""
    set: Setting = Field(default_factory=dict)
    grid: list[Setting] = Field(min_length=1)


class Control(Block):
    """A control: the chosen setting of a method with one part changed."""

    method: str
    set: Setting


class Experiments(Block):
    """Content of the file ``experiments.yaml``, which explains every key."""

    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    control_seeds: int | None = Field(default=None, ge=1)
    budget: int = Field(ge=1)
    methods: dict[Name, Method] = Field(min_length=1)
    controls: dict[str, Control] = Field(default_factory=dict)

    @property
    def seeds_of_controls(self) -> list[int]:
        """Seeds with which the controls are trained."""
        return self.seeds[: self.control_seeds]


def load_experiments(pair: str, file: Path = FILE) -> Experiments:
    """Read the experiments and check every setting in them, for one pair.

    Raises:
        UserError: a model, method, key or value is invalid, or a grid does not have the size of the budget; the
            message names it.
    """
    declared = check_values(Experiments, read_yaml(file), str(file))
    _check_unique(declared.seeds, f"{file}: seeds")
    if declared.control_seeds is not None and declared.control_seeds > len(declared.seeds):
        raise UserError(
            f"controls cannot have {declared.control_seeds} of {len(declared.seeds)} seeds",
            where=f"{file}: control_seeds",
            do=f"set it to at most {len(declared.seeds)}, or list more under `seeds`",
            code="wrong-value",
        )
    for name, method in declared.methods.items():
        where = f"{file}: methods.{name}"
        if method.model not in model_names():
            raise UserError(
                f"there is no model {method.model!r}{did_you_mean(method.model, model_names())}",
                where=f"{where}.model",
                do=f"use one of {', '.join(model_names())}",
                code="unknown-model",
            )
        made = [resolve(pair, method, point, where=f"{where}.grid[{place}]") for place, point in enumerate(method.grid)]
        _check_unique([json.dumps(one, sort_keys=True) for one in made], f"{where}.grid")
        single = method.grid == [{}] and (method.published or _nothing_to_tune(method.model))
        if method.published and not single:
            raise UserError(
                "a published method has one setting, that of its authors, so there is nothing to try",
                where=f"{where}.grid",
                do="write the settings under `set` and `[{}]` as the grid, or remove `published`",
                code="wrong-budget",
            )
        if len(method.grid) != declared.budget and not single:
            raise UserError(
                f"the grid has {len(method.grid)} settings, but the budget of every method is {declared.budget}",
                where=f"{where}.grid",
                do=f"list {declared.budget} settings, or change `budget`; `[{{}}]` is for models without settings and "
                "for methods that are `published`",
                code="wrong-budget",
            )
    for name, control in declared.controls.items():
        where = f"{file}: controls.{name}"
        if control.method not in declared.methods:
            raise UserError(
                f"there is no method {control.method!r}{did_you_mean(control.method, declared.methods)}",
                where=f"{where}.method",
                do=f"use one of {', '.join(declared.methods)}",
                code="unknown-method",
            )
        resolve(pair, declared.methods[control.method], control.set, where=f"{where}.set")
    return declared


def resolve(pair: str, method: Method, setting: Setting, where: str = str(FILE)) -> dict[str, Any]:
    """Return all settings of a model on a pair, overridden by the method's fixed settings and then by ``setting``.

    Raises:
        UserError: a key is unknown or a value ill-typed.
    """
    schema = find_model(method.model).settings
    common = load_block("train", schema, pair, method.model).model_dump()
    return check_values(schema, {**common, **method.set, **setting}, where).model_dump(mode="json")


def select_methods(declared: Experiments, names: list[str]) -> dict[str, Method]:
    """Return the methods with these names, in the given order; all methods in the order of the file if none is given.

    Raises:
        UserError: there is no such method.
    """
    for name in names:
        if name not in declared.methods:
            raise UserError(
                f"there is no method {name!r}{did_you_mean(name, declared.methods)}",
                where=str(FILE),
                do=f"use one of {', '.join(declared.methods)}",
                code="unknown-method",
            )
    return {name: declared.methods[name] for name in names or declared.methods}


def _nothing_to_tune(model: str) -> bool:
    """Return whether every setting of a model admits only one value."""
    fields = find_model(model).settings.model_fields.values()
    return all(get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1 for field in fields)


def _check_unique(values: list[Any], where: str) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise UserError(
            f"a value is listed twice: {twice[0]}", where=where, do="remove or change one of the two", code="repeated"
        )
