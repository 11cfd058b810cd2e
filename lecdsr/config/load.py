"""Read settings: defaults in code, ``params.yaml`` for all pairs, ``pairs/NAME.yaml`` for one pair.

A block of ``params.yaml`` (``sequences``, ``train`` …) overrides the defaults of its :class:`Block`, the pair's block
of the same name overrides both, and the result is checked key by key.
"""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lecdsr.config.names import model_names, stage_names
from lecdsr.config.pair import PAIR_KEYS, Pair
from lecdsr.config.schema import Block
from lecdsr.core.errors import UserError

PARAMS = Path("params.yaml")
PAIRS = Path("pairs")
SELECTION = ("active", "models")
#: Block of params.yaml with one sub-block per model, and its sub-block of settings shared by all models.
TRAIN, SHARED = "train", "shared"

B = TypeVar("B", bound=Block)


def load_pair(name: str) -> Pair:
    """Read ``pairs/NAME.yaml``.

    UserError: there is no such pair, or a key is unknown or has the wrong type.
        UserError: no such pair, or a key is unknown or ill-typed.
    """
    values = {key: value for key, value in _pair_file(name).items() if key in PAIR_KEYS}
    return _check(Pair, {"name": name, **values}, prefix="", pair=name)


def load_block(block: str, schema: type[B], pair: str, *keys: str) -> B:
    """Read one block, or its sub-block ``keys``, for one pair.

    Args:
        block: name of the block, for example ``train``.
        schema: type that the block is checked against.
        pair: name of the pair whose values override those of ``params.yaml``.
        keys: path inside the block, for example ``sasrec``.

    Raises:
        UserError: a key is missing, unknown or has the wrong type; the message names it.
    """
    path = (block, *keys)
    common, own = _params_file(), _pair_file(pair)
    if block == TRAIN:  # an unknown sub-block would otherwise be ignored silently
        for values, file in ((common, PARAMS), (own, _pair_path(pair))):
            _refuse_unknown(_descend(values, (TRAIN,), file), (SHARED, *model_names()), file, TRAIN)
    merged = _merge(_descend(common, path, PARAMS), _descend(own, path, _pair_path(pair)))
    return _check(schema, merged, prefix=".".join(path) + ".", pair=pair)


def load_selection() -> tuple[list[str], list[str]]:
    """Read the lists of active pairs and of models to train.

    Raises:
        UserError: one of the lists is missing or empty.
    """
    params = _params_file()
    lists = []
    for key in SELECTION:
        value = params.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
            raise UserError("expected a list of at least one name", where=f"{PARAMS}: {key}")
        lists.append(list(value))
    return lists[0], lists[1]


def pair_names() -> list[str]:
    """List the names of all pairs that have a file under ``pairs/``."""
    return sorted(path.stem for path in PAIRS.glob("*.yaml"))


def _pair_path(name: str) -> Path:
    return PAIRS / f"{name}.yaml"


def _params_file() -> dict[str, Any]:
    params = read_yaml(PARAMS)
    _refuse_unknown(params, SELECTION + stage_names(), PARAMS)
    return params


def _pair_file(name: str) -> dict[str, Any]:
    if name not in pair_names():
        near = difflib.get_close_matches(name, pair_names(), n=1)
        raise UserError(
            f"there is no pair {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where=str(PAIRS),
            do=f"use one of {', '.join(pair_names())}, or write a file for it (copy pairs/demo.yaml)",
        )
    values = read_yaml(_pair_path(name))
    _refuse_unknown(values, PAIR_KEYS + stage_names(), _pair_path(name))
    return values


def check_values(schema: type[B], values: dict[str, Any], where: str) -> B:
    """Check values that come from a file other than those of settings; ``where`` names it.

    Raises:
        UserError: a key is missing, unknown or has the wrong type; the message names it.
    """
    try:
        return schema.model_validate(values)
    except pydantic.ValidationError as error:
        first = _first(error)
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(_complaint(first, schema), where=f"{where}: {place}" if place else where) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping.

    Raises:
        UserError: the file is missing, is not YAML, or holds something else than a mapping.
    """
    if not path.exists():
        raise UserError("a settings file is missing", where=str(path), do="run from the repository's root")
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError) as error:  # ValueError: undecodable bytes, or days that do not exist
        raise UserError(f"not valid YAML: {error}", where=str(path)) from error
    if not isinstance(values, dict):
        raise UserError("expected a mapping of names to values", where=str(path))
    return values


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    """Parse YAML text and cache the result, because checking all settings reads the same files for every block."""
    return YAML(typ="safe").load(text)


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], path: Path, block: str = "") -> None:
    for key in values:
        if key not in known:
            raise UserError(
                f"unknown key {key!r}{_suggest(str(key), known)}",
                where=f"{path}: {block}.{key}" if block else str(path),
                do=f"expected one of: {', '.join(known)}",
            )


def _descend(values: dict[str, Any], path: tuple[str, ...], file: Path) -> dict[str, Any]:
    node: Any = values
    for depth, key in enumerate(path):
        node = {} if node.get(key) is None else node[key]
        if not isinstance(node, dict):
            raise UserError("expected a mapping of names to values", where=f"{file}: {'.'.join(path[: depth + 1])}")
    return dict(node)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Override ``base`` by ``over``, mapping by mapping; lists and plain values are replaced as a whole."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _check(schema: type[B], values: dict[str, Any], prefix: str, pair: str) -> B:
    try:
        return schema.model_validate(values)
    except pydantic.ValidationError as error:
        first = _first(error)
        key = (prefix + ".".join(str(part) for part in first["loc"])).rstrip(".")
        file = _origin(key, pair, whole=not first["loc"])
        raise UserError(_complaint(first, schema), where=f"{file}: {key}") from error


def _first(error: pydantic.ValidationError) -> Any:
    """Pick the most useful of several errors: a misspelt key also shows up as a missing one."""
    return min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")


def _complaint(error: Any, schema: type[Block]) -> str:
    name = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = tuple(schema.model_fields)
        return f"unknown key {name!r}{_suggest(name, known)}; expected one of: {', '.join(known)}"
    if error["type"] == "missing":
        return f"the key {name!r} is missing"
    expected = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{name!r} is {error['input']!r}, expected {expected}" if name else f"expected {expected}"


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _origin(key: str, pair: str, whole: bool) -> Path:
    """Return the file that set ``key``: the pair's if it contains the key, else ``params.yaml``.

    ``whole``: the key is a block, which counts as set by the pair's file if that sets anything in it.
    """
    node: Any = _pair_file(pair)
    for part in key.split("."):
        if not isinstance(node, dict):  # an element of a list
            return _pair_path(pair)
        if part not in node:
            return PARAMS if key.split(".")[0] in stage_names() else _pair_path(pair)
        node = node[part]
    return PARAMS if whole and not node else _pair_path(pair)
