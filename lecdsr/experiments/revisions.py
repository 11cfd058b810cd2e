"""Files of a commit or of a DVC experiment, read through DVC: from Git, from its cache or its remote."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from lecdsr.core.errors import UserError


class Revision:
    """A commit, branch, tag or DVC experiment of this repository.

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
            self._repository = self._files.repo  # DVC looks for the revision when this is asked for
        except RevError as error:
            raise UserError(
                f"{name!r} is no model of the pair, no rank file, no commit and no experiment",
                do="`lecdsr metrics` lists models, `dvc exp list` experiments, `git log` commits",
            ) from error
        except (NotDvcRepoError, SCMError) as error:
            raise UserError(
                f"no revision can be read here ({error})", where=name, do="run the command in a clone made by Git"
            ) from error
        except DvcException as error:
            raise UserError(f"DVC cannot read this revision ({error})", where=name) from error

    def close(self) -> None:
        """Let go of the files of Git; without it they complain when Python ends."""
        self._repository.close()

    def names(self, folder: Path) -> list[str]:
        """Names of the files of a folder at this revision, whether the cache has them or not."""
        try:
            return sorted(PurePosixPath(path).name for path in self._files.ls(folder.as_posix(), detail=False))
        except FileNotFoundError:
            return []

    def text(self, path: Path) -> str | None:
        """A small file that is in Git; None if this revision has none of that name."""
        try:
            return str(self._files.read_text(path.as_posix(), encoding="utf-8"))
        except FileNotFoundError:
            return None

    def data(self, path: Path) -> bytes:
        """A file that DVC tracks.

        Raises:
            UserError: the revision has no such file, or neither cache nor remote holds its content.
        """
        from dvc.exceptions import DvcException

        place = f"{path} of {self.name}"
        try:
            return bytes(self._files.read_bytes(path.as_posix()))
        except (FileNotFoundError, DvcException) as error:
            if not self._files.exists(path.as_posix()):
                raise UserError("this revision has no such file", where=place, do=self._there_is(path)) from error
            raise UserError(
                "the revision has this file, but its content is not in DVC's cache, nor in a remote",
                where=place,
                do=f"`dvc pull` where there is a remote; else make it anew: `dvc exp apply {self.name}` for an "
                f"experiment, `git checkout {self.name}` for a commit, then `dvc repro`",
            ) from error

    def _there_is(self, path: Path) -> str:
        names = [Path(name).stem for name in self.names(path.parent)]
        return f"it has {', '.join(names)}" if names else "name another revision, or another pair by --pair"
