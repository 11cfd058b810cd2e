"""Compare the working tree with a revision: `python scripts/review.py main`, in a repository where `dvc repro` has run.

Compares settings (`dvc params diff`), metrics (`dvc metrics diff`) and training curves. Prints Markdown, and writes it
to --output together with the plots of DVC. The revision's metrics are read from Git, so nothing is built, and only Git
and this environment are needed.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
import sys
from pathlib import Path

from lecdsr.core.errors import UserError
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import write_text
from lecdsr.core.paths import enter_repository
from lecdsr.report.pull_request import Curve, comment, page

SCORE = "valid_ndcg@10"
#: All metrics of models and stages. DVC by itself compares their summaries only.
METRICS = re.compile(r"metrics/\w+/(stages/)?(?!experiments-)[^/]+\.json")


@exit_on_user_error()
def main() -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default="main", help="revision to compare the working tree with")
    parser.add_argument("--output", type=Path, default=Path("build/review"), help="folder to write to")
    arguments = parser.parse_args()
    enter_repository()
    # Compare with the commit at which the branch began, whatever happened on its base since.
    base = git("merge-base", arguments.base, "HEAD").strip()
    name = f"{arguments.base} ({base[:7]})"
    metrics = dvc("metrics", "diff", "--md", base, "--targets", *recorded(base))
    text = page(name, dvc("params", "diff", "--md", base), metrics, curves(base))
    text = text.replace(base, base[:7])  # a column as wide as a hash is hard to read
    write_text(arguments.output / "review.md", text)
    write_text(arguments.output / "comment.md", comment(text))
    dvc("plots", "diff", base, "--out", str(arguments.output / "plots"))
    print(text)


def recorded(base: str) -> list[str]:
    """Files of metrics in the revision or in the working tree."""
    tracked = git("ls-tree", "-r", "--name-only", base, "metrics").splitlines()
    present = (path.as_posix() for path in Path("metrics").rglob("*.json"))
    return sorted(filter(METRICS.fullmatch, {*tracked, *present}))


def curves(base: str) -> list[Curve]:
    """List the models of the working tree whose training log differs from that of the revision."""
    found = []
    for path in sorted(Path("metrics").glob("*/training/*.csv")):
        old = git("show", f"{base}:{path.as_posix()}", missing="")
        new = path.read_text(encoding="utf-8")
        if old != new:
            found.append(Curve(f"{path.stem} on {path.parts[1]}", scores(old), scores(new)))
    return found


def scores(log: str) -> list[float]:
    """Read the validation score of every epoch, starting with epoch 0."""
    return [float(row[SCORE]) for row in csv.DictReader(io.StringIO(log)) if row[SCORE]]


def git(*command: str, missing: str | None = None) -> str:
    """Return the output of a Git command; ``missing`` if it fails and that is allowed."""
    done = subprocess.run(["git", *command], capture_output=True, text=True, check=False)
    if done.returncode and missing is None:
        raise UserError(
            f"Git cannot read the revision: {done.stderr.strip()}",
            where=f"git {' '.join(command)}",
            do="name a revision that this clone has",
        )
    return missing if done.returncode and missing is not None else done.stdout


def dvc(*command: str) -> str:
    """Return the output of a DVC command."""
    done = subprocess.run([sys.executable, "-m", "dvc", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"DVC failed: {done.stderr.strip().splitlines()[-1]}",
            where=f"dvc {' '.join(command)}",
            do="run this command yourself to see its whole output",
        )
    return done.stdout


if __name__ == "__main__":
    main()
