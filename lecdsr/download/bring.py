"""Bring the raw files of a pair into one folder, once, and verify them ever after."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from lecdsr.base.console import say
from lecdsr.base.errors import UserError
from lecdsr.base.files import atomic_path, read_json, sha256_file, write_json
from lecdsr.base.pair import Pair, is_url
from lecdsr.download.fetch import fetch_first
from lecdsr.download.settings import Settings
from lecdsr.download.synthetic import generate
from lecdsr.raw.layouts import find, flat, layout_of

MANIFEST = "manifest.json"


class File(NamedTuple):
    """One file of the raw folder."""

    name: str
    size: int
    sha256: str


def bring(pair: Pair, settings: Settings, folder: Path) -> list[File]:
    """Fill ``folder`` with the ratings and metadata of both domains.

    Files that are there and match the manifest are kept; a different source starts anew.

    Raises:
        UserError: a file cannot be found or reached, or differs from what was first brought.
    """
    wanted = _origin(pair, settings)
    manifest = folder / MANIFEST
    if manifest.exists():
        known = read_json(manifest)
        if known.get("origin") == wanted and known.get("files"):
            return _verify(folder, known["files"])
        if known.get("origin") != wanted:
            say(f"the source has changed: emptying {folder}")
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Written before the first file, so that an interrupted download is never taken for one of another source.
    write_json(manifest, {"origin": wanted, "files": []})
    names = _bring_all(pair, settings, folder)
    files = [File(name, (folder / name).stat().st_size, sha256_file(folder / name)) for name in names]
    write_json(manifest, {"origin": wanted, "files": [file._asdict() for file in files]})
    return files


def _origin(pair: Pair, settings: Settings) -> dict[str, Any]:
    origin: dict[str, Any] = {"source": list(pair.source), "release": pair.release, "domains": list(pair.domains)}
    if pair.synthetic:
        origin["synthetic"] = settings.synthetic.model_dump()
    return origin


def _verify(folder: Path, known: list[dict[str, Any]]) -> list[File]:
    files = [File(**file) for file in known]
    for file in files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size or sha256_file(path) != file.sha256:
            raise UserError(
                "a raw file is missing or is not the one that was first brought",
                where=str(path),
                do=f"restore it, or remove the folder {folder} to bring everything anew",
            )
    return files


def _bring_all(pair: Pair, settings: Settings, folder: Path) -> list[str]:
    if pair.synthetic:
        generate(folder, pair.domains, settings.synthetic)
        return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    layout = layout_of(pair)
    names = []
    for domain in pair.domains:
        for choices in (layout.ratings, layout.metadata):
            if is_url(pair.source[0]):
                names.append(_download(pair.source[0], choices, domain, folder, settings))
            else:
                names.append(_copy(Path(pair.source[0]), choices, domain, folder))
    return names


def _copy(source: Path, choices: tuple[str, ...], domain: str, folder: Path) -> str:
    if not source.is_dir():
        raise UserError(
            "the source folder does not exist",
            where=str(source.absolute()),
            do="put the raw files there, or set `source` in the pair's file to where they are",
        )
    path = find(source, choices, domain)
    say(f"copying {path}")
    with atomic_path(folder / path.name) as temporary:
        shutil.copyfile(path, temporary)
    return path.name


def _download(base: str, choices: tuple[str, ...], domain: str, folder: Path, settings: Settings) -> str:
    for name in flat(choices, domain):
        if (folder / name).is_file():  # brought before an interruption, or put there by hand
            return name
    relative = [choice.format(domain=domain) for choice in choices]
    return fetch_first(base, relative, folder, settings.timeout_s, settings.attempts)
