"""Check a raw file in one pass: its size and hash, and for gzip its completeness and unpacked size."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

from lecdsr.core.errors import UserError
from lecdsr.readers.lines import LONGEST_LINE

BLOCK = 1 << 20
GZIP = 31  # makes zlib expect a gzip header


class Inspected(NamedTuple):
    """Size and hash of an inspected file."""

    size: int
    sha256: str


class BrokenError(Exception):
    """Error of a truncated or corrupt file."""


def inspect(path: Path, name: str, max_unpacked_gb: float) -> Inspected:
    """Check a raw file in one pass; if ``name`` ends with ``.gz``, it is also unpacked, without keeping the content.

    Raises:
        BrokenError: the gzip is truncated or corrupt, or a CSV has a line too long for the reader.
        UserError: it unpacks to more than ``max_unpacked_gb``.
    """
    lines = _Lines() if ".csv" in name else None
    unpacking = _Unpacking(name, max_unpacked_gb, lines) if name.endswith(".gz") else None
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
            if unpacking is not None:
                unpacking.feed(block)
            elif lines is not None:
                lines.feed(block)
    if unpacking is not None:
        unpacking.close()
    return Inspected(size, digest.hexdigest())


class _Lines:
    """Check for lines so long that DuckDB's CSV reader would skip them silently."""

    def __init__(self) -> None:
        self.open = 0  # bytes since the last line end

    def feed(self, piece: bytes) -> None:
        ended = piece.rfind(b"\n")
        # A line that starts and ends inside a piece is at most as long as the piece.
        first = piece.find(b"\n") if ended >= 0 else len(piece)
        if self.open + first > LONGEST_LINE:
            raise BrokenError(f"it has a line of more than {LONGEST_LINE:,} bytes")
        self.open = len(piece) - ended - 1 if ended >= 0 else self.open + len(piece)


class _Unpacking:
    """Counter of the unpacked bytes of a gzip file of one or several members, a megabyte at a time."""

    def __init__(self, name: str, max_gb: float, lines: _Lines | None) -> None:
        self.name, self.max_gb, self.lines, self.unpacked = name, max_gb, lines, 0
        self.member = zlib.decompressobj(GZIP)
        self.begun = False

    def feed(self, block: bytes) -> None:
        while block:
            if self.member.eof:
                block = block.lstrip(b"\0")  # strip padding between or after members
                if not block:
                    return
                self.member = zlib.decompressobj(GZIP)
            self.begun = True
            try:
                self._count(self.member.decompress(block, BLOCK))
            except zlib.error as error:
                raise BrokenError(f"it is not a gzip file, or it is corrupt ({error})") from error
            block = self.member.unused_data if self.member.eof else self.member.unconsumed_tail

    def close(self) -> None:
        if not (self.begun and self.member.eof):
            raise BrokenError("the gzip file is truncated")

    def _count(self, piece: bytes) -> None:
        self.unpacked += len(piece)
        if self.lines is not None:
            self.lines.feed(piece)
        if self.unpacked > self.max_gb * 1e9:
            raise UserError(
                f"the file unpacks to more than {self.max_gb:g} GB",
                where=self.name,
                do="raise download.max_unpacked_gb if this is the right file",
                code="too-large",
            )
