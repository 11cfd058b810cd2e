"""Claims on questions, so that two runs on the same store never ask the same question."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence

from lecdsr.ask.store import Store, chunks

#: Seconds for which a claim holds unless renewed: how long a dead run on another machine blocks its questions.
LEASE_S = 60.0
_RENEW_S = 15.0


class Claims:
    """Claims of this run on questions, kept in the store's file.

    A claim ends when its question is answered, when its run has ended, when the process that made it no longer
    exists on this machine, or when its lease was not renewed.

    Args:
        store: where the claims are written.
        lease_s: seconds for which a claim holds unless renewed.
    """

    def __init__(self, store: Store, lease_s: float = LEASE_S) -> None:
        self._store, self._lease_s = store, lease_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._renewed = time.monotonic()

    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim keys and return the ones claimed; the others are answered or claimed by another run.

        Raises:
            UserError: the store cannot be written.
        """
        now, ours = time.time(), set[str]()
        with self._store.writing() as connection:
            for chunk in chunks(keys):
                marks = ",".join("?" * len(chunk))
                held = connection.execute(f"SELECT key, owner, until FROM claims WHERE key IN ({marks})", chunk)
                taken = {key for key, owner, until in held.fetchall() if until > now and _alive(owner)}
                done = connection.execute(f"SELECT key FROM answers WHERE key IN ({marks})", chunk).fetchall()
                ours |= set(chunk) - taken - {key for (key,) in done}
            rows = [(key, self._owner, now + self._lease_s) for key in ours]
            connection.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", rows)
        return ours

    def renew(self) -> None:
        """Extend the leases that are still held; cheap to call often.

        Raises:
            UserError: the store cannot be written.
        """
        if time.monotonic() - self._renewed < _RENEW_S:
            return
        self.hold()

    def hold(self) -> bool:
        """Extend the leases that are still held immediately; return whether any are held.

        Raises:
            UserError: the store cannot be written.
        """
        self._renewed = time.monotonic()
        until = time.time() + self._lease_s
        with self._store.writing() as connection:
            changed = connection.execute("UPDATE claims SET until = ? WHERE owner = ?", (until, self._owner))
            return changed.rowcount > 0

    def release(self) -> None:
        """Release every claim of this run.

        Raises:
            UserError: the store cannot be written.
        """
        with self._store.writing() as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))


def _alive(owner: str) -> bool:
    host, process, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True  # unknown until its lease ends
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
