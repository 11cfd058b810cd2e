"""Fetch the raw files of a pair into a folder, record their checksums in a manifest, and verify them later."""

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


class RawFile(NamedTuple):
    """A file of the raw folder; ``came_from`` is a URL, a path, or empty if the file was already there."""

    name: str
    size: int
    sha256: str
    came_from: str = ""


def fetch_pair(pair: Pair, settings: Settings, folder: Path) -> list[RawFile]:
    """Fill ``folder`` with the ratings and metadata of both domains.

    Every complete file is recorded in the manifest with its size and hash, and must match them in later runs. A removed
    file is fetched again. If the source changes, the folder is emptied; mirrors may be added and changed, because the
    hashes show whether their files are the same.

    Raises:
        UserError: a file cannot be found or reached, is broken, or differs from its recorded hash.
    """
    known = _open_manifest(pair, settings, folder)
    wanted = _wanted_files(pair)
    if pair.synthetic and not all(any((folder / n).exists() for n in flat(*each)) for each in wanted):
        generate(folder, pair.domains, settings.synthetic)
    return [_fetch_file(pair, settings, folder, known, choices, domain) for choices, domain in wanted]


def _wanted_files(pair: Pair) -> list[tuple[tuple[str, ...], str]]:
    """List each required file as its possible names and its domain."""
    layout = layout_of(pair)
    kinds = [kind for kind in (layout.ratings, layout.metadata) if kind]
    return [(choices, domain) for domain in pair.domains for choices in kinds]


def _open_manifest(pair: Pair, settings: Settings, folder: Path) -> dict[str, RawFile]:
    """Read the recorded files by name; empty the folder first if they came from another source."""
    manifest, origin = folder / MANIFEST, _origin(pair, settings)
    recorded: dict[str, Any] = read_json(manifest) if manifest.exists() else {}
    if recorded and recorded.get("origin") != origin:
        say(f"the source has changed: emptying {folder}")
        shutil.rmtree(folder)
        recorded = {}
    if not recorded:
        # The manifest is written before the first file, so that an interrupted download keeps its source.
        write_json(manifest, {"origin": origin, "files": []})
    return {file["name"]: RawFile(**file) for file in recorded.get("files", [])}


def _origin(pair: Pair, settings: Settings) -> dict[str, Any]:
    """Describe the source of the files, without the addresses of mirrors, which may change."""
    source = "mirrors" if is_url(pair.source[0]) else list(pair.source)
    origin: dict[str, Any] = {"source": source, "release": pair.release, "domains": list(pair.domains)}
    if pair.custom is not None:
        layout = layout_of(pair)
        origin["files"] = [*layout.ratings, *layout.metadata]
    if pair.synthetic:
        origin["synthetic"] = settings.synthetic.model_dump()
    return origin


def _fetch_file(
    pair: Pair, settings: Settings, folder: Path, known: dict[str, RawFile], choices: tuple[str, ...], domain: str
) -> RawFile:
    """Verify a recorded file; otherwise use an existing file, copy it or download it, and record it."""
    names = flat(choices, domain)
    recorded = next((known[name] for name in names if name in known), None)
    if recorded and (folder / recorded.name).exists():
        _verify(folder, recorded)
        return recorded
    there = next((name for name in names if (folder / name).is_file()), None)

    def check(path: Path, name: str) -> Inspected:
        return inspect(path, name, settings.max_unpacked_gb)

    if there is not None:
        file = _record_existing(folder, there, check)
    elif is_url(pair.source[0]):
        relative = [choice.format(domain=domain) for choice in choices]
        name, found, url = download(pair.source, relative, folder, settings, check)
        file = RawFile(name, *found, came_from=url)
    else:
        file = _copy(Path(pair.source[0]), choices, domain, folder, check)
    if recorded and (file.size, file.sha256) != (recorded.size, recorded.sha256):
        (folder / file.name).unlink()
        raise UserError(
            "the file at the source differs from its recorded checksum",
            where=file.came_from or str(folder / file.name),
            do=f"copy the earlier file to {folder}, or remove that folder to use the new one",
            code="changed-source",
        )
    known[file.name] = recorded or file
    write_json(
        folder / MANIFEST, {"origin": _origin(pair, settings), "files": [each._asdict() for each in known.values()]}
    )
    return known[file.name]


def _verify(folder: Path, file: RawFile) -> None:
    path = folder / file.name
    if not path.is_file() or path.stat().st_size != file.size or sha256_file(path) != file.sha256:
        raise UserError(
            "a raw file differs from its recorded checksum",
            where=str(path),
            do=f"remove it to fetch it again, or remove the folder {folder} to fetch all files again",
            code="changed-file",
        )


Check = Callable[[Path, str], Inspected]


def _record_existing(folder: Path, name: str, check: Check) -> RawFile:
    """Record a file that the user put into the folder, or that was generated."""
    try:
        return RawFile(name, *check(folder / name, name))
    except BrokenError as error:
        raise UserError(
            f"the file cannot be used: {error}",
            where=str(folder / name),
            do="remove it, or replace it by a complete copy",
            code="broken-file",
        ) from error


def _copy(source: Path, choices: tuple[str, ...], domain: str, folder: Path, check: Check) -> RawFile:
    if not source.is_dir():
        raise UserError(
            "the source folder does not exist",
            where=str(source.absolute()),
            do="put the raw files there, or set `source` in the pair's file to their folder",
            code="missing-folder",
        )
    path = find(source, choices, domain)
    say(f"copying {path}")
    try:
        with atomic_path(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
            return RawFile(path.name, *check(temporary, path.name), came_from=str(path))
    except BrokenError as error:
        raise UserError(
            f"the file cannot be used: {error}",
            where=str(path),
            do="replace it by a complete copy",
            code="broken-file",
        ) from error
