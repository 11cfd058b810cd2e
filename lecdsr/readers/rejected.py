"""Rejected lines of raw files: count them, write them to a file for the user, and fail if there are too many."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lecdsr.core.errors import UserError
from lecdsr.core.files import write_text

# In a wrong file every line can be malformed; a sample is enough to see why.
KEPT_LINES = 1_000
KEPT_CHARACTERS = 500


@dataclass
class RejectedLines:
    """Malformed lines of one raw file: their number, and the first thousand of them."""

    file: Path
    total: int = 0
    bad: int = 0
    lines: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, number: int, reason: str, line: str) -> None:
        """Count one malformed line; ``number`` counts from 1."""
        self.bad += 1
        if len(self.lines) < KEPT_LINES:
            self.lines.append((number, reason, line[:KEPT_CHARACTERS]))

    def check(self, folder: Path, max_share: float) -> None:
        """Write the lines to ``folder``, and fail if there are too many.

        Raises:
            UserError: the share of malformed lines is above ``max_share``, or the file is empty.
        """
        listing = folder / f"{self.file.name}.bad.tsv"
        if self.bad:
            rows = [f"{number}\t{reason}\t{line.strip()!r}" for number, reason, line in self.lines]
            write_text(listing, "line\treason\ttext\n" + "\n".join(rows) + "\n")
        else:
            listing.unlink(missing_ok=True)
        if self.total == 0:
            raise UserError("the file is empty", where=str(self.file), do="download it again", code="empty-file")
        if self.bad > max_share * self.total:
            number, reason, line = self.lines[0]
            raise UserError(
                f"{self.bad:,} of {self.total:,} lines are malformed, more than the allowed share {max_share:g}; "
                f"the first is line {number} ({reason}): {line.strip()[:80]!r}",
                where=str(self.file),
                do=f"look at {listing}, correct `release` in the pair's file, or raise sequences.max_bad_share",
                code="rejected-lines",
            )
