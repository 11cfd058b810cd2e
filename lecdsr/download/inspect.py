"""A raw file looked through once: size, hash, and whether a gzipped one is whole and not too large."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

from lecdsr.base.errors import UserError

BLOCK = 1 << 20
GZIP = 31  # window bits of zlib for a gzip header


class Inspected(NamedTuple):
    """What is recorded of a file."""

    size: int
    sha256: str


class BrokenError(Exception):
    """A gzipped file that is cut short or corrupt."""


def inspect(path: Path, name: str, max_unpacked_gb: float) -> Inspected:
    """Read ``path`` once; unpack it, and throw away what comes out, if ``name`` says that it is gzipped.

    Raises:
        BrokenError: the gzip is cut short or corrupt.
        UserError: it unpacks to more than ``max_unpacked_gb``.
    """
    unpacking = _Unpacking(name, max_unpacked_gb) if name.endswith(".gz") else None
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
            if unpacking is not None:
                unpacking.feed(block)
    if unpacking is not None:
        unpacking.close()
    return Inspected(size, digest.hexdigest())


class _Unpacking:
    """Counts the unpacked bytes of a gzip, of one or several members, a megabyte at a time."""

    def __init__(self, name: str, max_gb: float) -> None:
        self.name, self.max_gb, self.unpacked = name, max_gb, 0
        self.member = zlib.decompressobj(GZIP)
        self.begun = False

    def feed(self, block: bytes) -> None:
        while block:
            if self.member.eof:
                block = block.lstrip(b"\0")  # padding between or after members
                if not block:
                    return
                self.member = zlib.decompressobj(GZIP)
            self.begun = True
            try:
                self._count(self.member.decompress(block, BLOCK))
            except zlib.error as error:
                raise BrokenError(f"it is no gzip, or a corrupt one ({error})") from error
            block = self.member.unused_data if self.member.eof else self.member.unconsumed_tail

    def close(self) -> None:
        if not (self.begun and self.member.eof):
            raise BrokenError("the gzip is cut short")

    def _count(self, piece: bytes) -> None:
        self.unpacked += len(piece)
        if self.unpacked > self.max_gb * 1e9:
            raise UserError(
                f"the file unpacks to more than {self.max_gb:g} GB",
                where=self.name,
                do="raise download.max_unpacked_gb if it is the file you want",
            )
