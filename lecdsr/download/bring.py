"""Bring the raw files of a pair into one folder, once, and verify them ever after."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lecdsr.config.pair import Pair, is_url
from lecdsr.core.console import say
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path, read_json, sha256_file, write_json
from lecdsr.download.inspect import BrokenError, Inspected, inspect
from lecdsr.download.mirrors import download
from lecdsr.download.settings import Settings
from lecdsr.download.synthetic import generate
from lecdsr.readers.layouts import find, flat, layout_of

MANIFEST = "manifest.json"


class File(NamedTuple):
    """One file of the raw folder. ``came_from``: a URL, a path, or nothing where it was there already."""

    name: str
    size: int
    sha256: str
    came_from: str = ""


def bring(pair: Pair, settings: Settings, folder: Path) -> list[File]:
    """Fill ``folder`` with the ratings and metadata of both domains.

    Every file is recorded in the manifest as soon as it is whole, with its size and hash, and has to
    match them ever after; one that was removed is brought again. Another source starts anew, but
    mirrors may be added and changed: the hashes tell whether their files are the same.

    Raises:
        UserError: a file cannot be found or reached, is broken, or differs from what was first brought.
    """
    known = _open_manifest(pair, settings, folder)
    wanted = _wanted(pair)
    if pair.synthetic and not all(any((folder / n).exists() for n in flat(*each)) for each in wanted):
        generate(folder, pair.domains, settings.synthetic)
    return [_bring_one(pair, settings, folder, known, choices, domain) for choices, domain in wanted]


def _wanted(pair: Pair) -> list[tuple[tuple[str, ...], str]]:
    """File names to choose from and domain of each file wanted."""
    layout = layout_of(pair)
    kinds = [kind for kind in (layout.ratings, layout.metadata) if kind]
    return [(choices, domain) for domain in pair.domains for choices in kinds]


def _open_manifest(pair: Pair, settings: Settings, folder: Path) -> dict[str, File]:
    """Files recorded so far by their names; the folder is emptied if they came from another source."""
    manifest, origin = folder / MANIFEST, _origin(pair, settings)
    recorded: dict[str, Any] = read_json(manifest) if manifest.exists() else {}
    if recorded and recorded.get("origin") != origin:
        say(f"the source has changed: emptying {folder}")
        shutil.rmtree(folder)
        recorded = {}
    if not recorded:
        # Written before the first file, so that an interrupted download is never taken for one of another source.
        write_json(manifest, {"origin": origin, "files": []})
    return {file["name"]: File(**file) for file in recorded.get("files", [])}


def _origin(pair: Pair, settings: Settings) -> dict[str, Any]:
    """What the files depend on: of mirrors only that they are some."""
    source = "mirrors" if is_url(pair.source[0]) else list(pair.source)
    origin: dict[str, Any] = {"source": source, "release": pair.release, "domains": list(pair.domains)}
    if pair.custom is not None:
        layout = layout_of(pair)
        origin["files"] = [*layout.ratings, *layout.metadata]
    if pair.synthetic:
        origin["synthetic"] = settings.synthetic.model_dump()
    return origin


def _bring_one(
    pair: Pair, settings: Settings, folder: Path, known: dict[str, File], choices: tuple[str, ...], domain: str
) -> File:
    """One file: verified if it is recorded, else taken as it lies there, copied or downloaded, and recorded."""
    names = flat(choices, domain)
    recorded = next((known[name] for name in names if name in known), None)
    if recorded and (folder / recorded.name).exists():
        _verify(folder, recorded)
        return recorded
    there = next((name for name in names if (folder / name).is_file()), None)

    def check(path: Path, name: str) -> Inspected:
        return inspect(path, name, settings.max_unpacked_gb)

    if there is not None:
        file = _take(folder, there, check)
    elif is_url(pair.source[0]):
        relative = [choice.format(domain=domain) for choice in choices]
        name, found, url = download(pair.source, relative, folder, settings, check)
        file = File(name, *found, came_from=url)
    else:
        file = _copy(Path(pair.source[0]), choices, domain, folder, check)
    if recorded and (file.size, file.sha256) != (recorded.size, recorded.sha256):
        (folder / file.name).unlink()
        raise UserError(
            "the source now has another file than the one that was first brought",
            where=file.came_from or str(folder / file.name),
            do=f"restore the first one to {folder}, or remove that folder to accept the new one",
        )
    known[file.name] = recorded or file
    write_json(
        folder / MANIFEST, {"origin": _origin(pair, settings), "files": [each._asdict() for each in known.values()]}
    )
    return known[file.name]


def _verify(folder: Path, file: File) -> None:
    path = folder / file.name
    if not path.is_file() or path.stat().st_size != file.size or sha256_file(path) != file.sha256:
        raise UserError(
            "a raw file is not the one that was first brought",
            where=str(path),
            do=f"remove it to bring it again, or remove the folder {folder} to bring everything anew",
        )


Check = Callable[[Path, str], Inspected]


def _take(folder: Path, name: str, check: Check) -> File:
    """A file that was put there by hand, or made there."""
    try:
        return File(name, *check(folder / name, name))
    except BrokenError as error:
        raise UserError(
            f"the file cannot be used: {error}", where=str(folder / name), do="remove it, or put a whole one there"
        ) from error


def _copy(source: Path, choices: tuple[str, ...], domain: str, folder: Path, check: Check) -> File:
    if not source.is_dir():
        raise UserError(
            "the source folder does not exist",
            where=str(source.absolute()),
            do="put the raw files there, or set `source` in the pair's file to where they are",
        )
    path = find(source, choices, domain)
    say(f"copying {path}")
    try:
        with atomic_path(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
            return File(path.name, *check(temporary, path.name), came_from=str(path))
    except BrokenError as error:
        raise UserError(f"the file cannot be used: {error}", where=str(path), do="bring it anew") from error
