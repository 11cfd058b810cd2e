"""Read files of a commit or DVC experiment: from Git, from DVC's cache or from its remote."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from lecdsr.core.errors import UserError


class Revision:
    """A commit, branch, tag or DVC experiment whose files can be read.

    Raises:
        UserError: there is no such revision.
    """

    def __init__(self, name: str) -> None:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.scm import RevError, SCMError

        self.name = name
        try:
            self._files: Any = DVCFileSystem(rev=name)
            self._repository = self._files.repo  # resolves the revision
        except RevError as error:
            raise UserError(
                f"{name!r} is not a model of the pair, a rank file, a commit or an experiment",
                where=f"SOURCE {name}",
                do="list models with `lecdsr metrics`, experiments with `dvc exp list`, commits with `git log`",
                code="unknown-source",
            ) from error
        except (NotDvcRepoError, SCMError) as error:
            raise UserError(
                f"revisions cannot be read here ({error})", where=name, do="run the command inside a clone made by Git"
            ) from error
        except DvcException as error:
            raise UserError(
                f"DVC cannot read this revision ({error})", where=name, do="check its dvc.yaml with `dvc status`"
            ) from error

    def close(self) -> None:
        """Close the files of Git, which otherwise print errors when Python exits."""
        self._repository.close()

    def names(self, folder: Path) -> list[str]:
        """List the names of the files in a folder at this revision, whether or not the cache has them."""
        try:
            return sorted(PurePosixPath(path).name for path in self._files.ls(folder.as_posix(), detail=False))
        except FileNotFoundError:
            return []

    def text(self, path: Path) -> str | None:
        """Read a text file that is in Git; None if this revision does not have it."""
        try:
            return str(self._files.read_text(path.as_posix(), encoding="utf-8"))
        except FileNotFoundError:
            return None

    def data(self, path: Path) -> bytes:
        """Read the bytes of a file that DVC tracks.

        Raises:
            UserError: the revision has no such file, or neither cache nor remote holds its content.
        """
        from dvc.exceptions import DvcException

        place = f"{path} of {self.name}"
        try:
            return bytes(self._files.read_bytes(path.as_posix()))
        except (FileNotFoundError, DvcException) as error:
            if not self._files.exists(path.as_posix()):
                raise UserError(
                    "this revision has no such file", where=place, do=self._there_is(path), code="missing-file"
                ) from error
            raise UserError(
                "the content of this file is neither in DVC's cache nor in a remote",
                where=place,
                do=f"run `dvc pull` if there is a remote; otherwise rebuild it: `dvc exp apply {self.name}` for an "
                f"experiment or `git checkout {self.name}` for a commit, then `dvc repro`",
                code="not-in-cache",
            ) from error

    def _there_is(self, path: Path) -> str:
        names = [Path(name).stem for name in self.names(path.parent)]
        return (
            f"use one that it has: {', '.join(names)}" if names else "use another revision, or --pair for another pair"
        )
