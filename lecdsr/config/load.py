"""Read settings: defaults in code, ``params.yaml`` for all pairs, ``pairs/NAME.yaml`` for one pair.

A block of ``params.yaml`` (``sequences``, ``train`` …) overrides the defaults of its :class:`Block`, the pair's block
of the same name overrides both, and the result is checked key by key.
"""

from __future__ import annotations

import functools
import typing
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lecdsr.config.names import model_names, stage_names
from lecdsr.config.pair import PAIR_KEYS, Pair
from lecdsr.config.schema import Block
from lecdsr.core.errors import UserError, did_you_mean

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
            raise UserError(
                f"{key!r} is {value!r}, expected a list of at least one name",
                where=f"{PARAMS}: {key}",
                do=f"list one or more {'pairs' if key == 'active' else 'models'}: `{key}: [NAME]`",
                code="empty-list",
            )
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
        raise UserError(
            f"there is no pair {name!r}{did_you_mean(name, pair_names())}",
            where=str(PAIRS),
            do=f"use one of {', '.join(pair_names())}, or write a file for it (copy pairs/demo.yaml)",
            code="unknown-pair",
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
        place = ".".join(_place(first))
        raise _wrong_setting(first, schema, f"{where}: {place}" if place else where) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping.

    Raises:
        UserError: the file is missing, is not YAML, or holds something else than a mapping.
    """
    if not path.exists():
        raise UserError(
            "a settings file is missing", where=str(path), do="run from the repository's root", code="missing-file"
        )
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError) as error:  # ValueError: bytes that are no text, days that do not exist
        raise UserError(
            f"the file is not valid YAML: {error}", where=str(path), do="correct the syntax", code="broken-file"
        ) from error
    if not isinstance(values, dict):
        raise _no_mapping(values, str(path))
    return values


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    """Parse YAML text and cache the result, because checking all settings reads the same files for every block."""
    return YAML(typ="safe").load(text)


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], path: Path, block: str = "") -> None:
    for key in values:
        if key not in known:
            raise UserError(
                f"unknown key {key!r}{did_you_mean(key, known)}",
                where=f"{path}: {block}.{key}" if block else str(path),
                do=f"use one of: {', '.join(known)}",
                code="unknown-key",
            )


def _descend(values: dict[str, Any], path: tuple[str, ...], file: Path) -> dict[str, Any]:
    node: Any = values
    for depth, key in enumerate(path):
        node = {} if node.get(key) is None else node[key]
        if not isinstance(node, dict):
            raise _no_mapping(node, f"{file}: {'.'.join(path[: depth + 1])}")
    return dict(node)


def _no_mapping(value: Any, where: str) -> UserError:
    do = "write it as `NAME: VALUE` lines, or remove it to use the defaults"
    return UserError(f"expected a mapping of names to values, got {value!r:.80}", where=where, do=do, code="no-mapping")


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
        key = (prefix + ".".join(_place(first))).rstrip(".")
        file = _origin(key, pair, whole=not first["loc"])
        raise _wrong_setting(first, schema, f"{file}: {key}") from error


def _first(error: pydantic.ValidationError) -> Any:
    """Pick the most useful of several errors: a misspelt key also shows up as a missing one."""
    return min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")


def _place(error: Any) -> list[str]:
    """Keys and positions that lead to a value, without the types that pydantic adds where a value has several."""
    return [str(part) for part in error["loc"] if not (isinstance(part, str) and part.endswith("]"))]


def _wrong_setting(error: Any, schema: type[Block], where: str) -> UserError:
    place = _place(error)
    name = ".".join(place[-2:] if place and place[-1].isdigit() else place[-1:])  # an element of a list with its key
    if error["type"] == "extra_forbidden":
        known = _keys_beside(error["loc"], schema)
        what, do = f"unknown key {name!r}{did_you_mean(name, known)}", f"use one of: {', '.join(known)}"
        return UserError(what, where=where, do=do, code="unknown-key")
    if error["type"] == "missing" and place[-1].isdigit():
        what = f"{place[-2]!r} has too few values: number {int(place[-1]) + 1} is missing"
        return UserError(what, where=where, code="wrong-value")
    if error["type"] == "missing":
        return UserError(f"the key {name!r} is missing", where=where, do="add it to the file", code="missing-key")
    what = f"{name!r} is {error['input']!r}, {_expected(error)}" if name else _expected(error)
    return UserError(what, where=where, code="wrong-value")


def _expected(error: Any) -> str:
    message = str(error["msg"]).replace(" after validation", "").replace("Tuple", "List").replace("tuple", "list")
    if message.startswith("Value error, "):
        return f"expected {message.removeprefix('Value error, ')}"
    if not message.startswith("Input should be "):
        return message[:1].lower() + message[1:]
    wanted = message.removeprefix("Input should be ").partition(", unable to parse")[0]
    wanted = wanted.replace("a valid integer", "an integer").replace("a valid ", "a ")
    return f"expected a value {wanted}" if wanted.startswith(("greater", "less")) else f"expected {wanted}"


def _keys_beside(place: tuple[Any, ...], schema: type[Block]) -> tuple[str, ...]:
    """Keys of the block that holds the key at ``place``."""
    block: type[pydantic.BaseModel] = schema
    for part in place[:-1]:  # positions in lists and names in mappings are no fields
        inner = _blocks_in(block.model_fields[part].annotation) if part in block.model_fields else []
        block = inner[0] if inner else block
    return tuple(block.model_fields)


def _blocks_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [block for argument in typing.get_args(annotation) for block in _blocks_in(argument)]


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
