"""Say what a change did: `python scripts/review.py main`, in a repository where `dvc repro` has run.

Holds the working tree against a revision: settings (`dvc params diff`), metrics (`dvc metrics diff`), training curves.
Prints Markdown, and writes it to --output with the plots of DVC beside it. The revision's metrics are taken from Git:
nothing is built, and nothing but Git and this environment is needed.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
from pathlib import Path

from lecdsr.core.console import stderr
from lecdsr.core.errors import UserError
from lecdsr.core.files import write_text
from lecdsr.core.paths import enter_repository
from lecdsr.report.pull_request import Curve, comment, page

SCORE = "valid_ndcg@10"


def main() -> None:
    """Read the arguments, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default="main", help="revision to hold the working tree against")
    parser.add_argument("--output", type=Path, default=Path("build/review"), help="folder to write to")
    arguments = parser.parse_args()
    enter_repository()
    # A branch is held against where it began, whatever happened at its base since.
    base = git("merge-base", arguments.base, "HEAD").strip()
    name = f"{arguments.base} ({base[:7]})"
    text = page(name, dvc("params", "diff", "--md", base), dvc("metrics", "diff", "--md", base), curves(base))
    text = text.replace(base, base[:7])  # a column as wide as a hash is hard to read
    write_text(arguments.output / "review.md", text)
    write_text(arguments.output / "comment.md", comment(text))
    dvc("plots", "diff", base, "--out", str(arguments.output / "plots"))
    print(text)


def curves(base: str) -> list[Curve]:
    """Models of the working tree whose training log is not that of the revision."""
    found = []
    for path in sorted(Path("metrics").glob("*/training/*.csv")):
        old = git("show", f"{base}:{path.as_posix()}", missing="")
        new = path.read_text(encoding="utf-8")
        if old != new:
            found.append(Curve(f"{path.stem} on {path.parts[1]}", scores(old), scores(new)))
    return found


def scores(log: str) -> list[float]:
    """The score of every epoch, from epoch 0 on."""
    return [float(row[SCORE]) for row in csv.DictReader(io.StringIO(log)) if row[SCORE]]


def git(*command: str, missing: str | None = None) -> str:
    """What a command of Git prints; ``missing`` where it fails, if that is allowed."""
    done = subprocess.run(["git", *command], capture_output=True, text=True, check=False)
    if done.returncode and missing is None:
        raise UserError(
            f"Git cannot read the revision: {done.stderr.strip()}",
            where=f"git {' '.join(command)}",
            do="name a revision that this clone has",
        )
    return missing if done.returncode and missing is not None else done.stdout


def dvc(*command: str) -> str:
    """What a command of DVC prints."""
    done = subprocess.run([sys.executable, "-m", "dvc", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"DVC failed: {done.stderr.strip().splitlines()[-1]}",
            where=f"dvc {' '.join(command)}",
            do="run this command yourself to see its whole output",
        )
    return done.stdout


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
