"""The manifest of an export, ``facts.json``: format version, facts, and the SHA-256 of every part.

It is removed before a part changes and written last, so an export that was interrupted is refused instead of misread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, sha256_file, write_json

#: Version of the layout of an export; a service refuses any other.
FORMAT = 2
MANIFEST = "facts.json"
#: Parts may be data only: tables, weights, settings, and a graph of the query tower.
_PART = re.compile(r"([a-z0-9-]+/)?[a-z0-9-]+\.(parquet|safetensors|json|onnx|onnx\.data)")
_AGAIN = "write it again with `lecdsr export`"
#: Parts that one message names.
_NAMED = 3


def write_manifest(folder: Path, facts: Mapping[str, Any], parts: Iterable[str]) -> dict[str, Any]:
    """Write ``facts.json`` for an export whose parts are complete, and return its content.

    Args:
        folder: of the export.
        facts: what a reader must know, as JSON values.
        parts: paths of all files relative to ``folder``.
    """
    found = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in sorted(parts)
    }
    content = {"format": FORMAT, **facts, "parts": found}
    write_json(folder / MANIFEST, content)
    return content


def read_manifest(folder: Path, needed: Iterable[str] = ()) -> dict[str, Any]:
    """Read ``facts.json`` and check that every part is there and is the one that was written.

    Args:
        folder: of the export.
        needed: parts that the reader cannot do without.

    Raises:
        UserError: the folder is missing, the export is incomplete, has another format, or a part is another one.
    """
    if not folder.is_dir():
        raise UserError(
            "there is no such folder", str(folder), "write an export with `lecdsr export --out`", code="missing-file"
        )
    if not (folder / MANIFEST).is_file():
        what = f"the export is incomplete: it has no {MANIFEST}, which is written last"
        raise UserError(what, where=str(folder), do=_AGAIN, code="incomplete-export")
    facts = read_json(folder / MANIFEST)
    if facts.get("format") != FORMAT:
        what = f"the export has the format {facts.get('format', 1)}, and this version of lecdsr reads {FORMAT}"
        raise UserError(what, where=str(folder / MANIFEST), do=_AGAIN, code="wrong-format")
    parts: Any = facts.get("parts")
    if not _is_listing(parts) or not set(needed) <= parts.keys():
        what = "the manifest does not list the parts of an export"
        raise UserError(what, where=str(folder / MANIFEST), do=_AGAIN, code="broken-file")
    wrong = [name for name, entry in parts.items() if not _is_part(folder / name, entry)]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        what = f"parts of the export are missing or belong to another one: {', '.join(wrong[:_NAMED])}{more}"
        raise UserError(what, where=str(folder), do=_AGAIN, code="other-parts")
    return facts


def _is_listing(parts: object) -> bool:
    return isinstance(parts, dict) and all(
        _PART.fullmatch(name) and isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys()
        for name, entry in parts.items()
    )


def _is_part(path: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file is the one that the manifest describes; the size is compared first because it costs nothing."""
    return path.is_file() and path.stat().st_size == entry["bytes"] and sha256_file(path) == entry["sha256"]
