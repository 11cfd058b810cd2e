"""Claims: a question that one run is asking is left alone by every other run on the same store."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence

from lecdsr.ask.store import Store, chunks

#: Seconds for which a claim holds unless renewed: what a run on another machine that died holds up.
LEASE_S = 60.0
_RENEW_S = 15.0


class Claims:
    """The claims of this run, on the store's own file.

    A claim is void when its run has answered or ended, when the process that made it is gone from
    this machine, or when its lease was not renewed.

    Args:
        store: where the claims are written.
        lease_s: seconds for which a claim holds unless renewed.
    """

    def __init__(self, store: Store, lease_s: float = LEASE_S) -> None:
        self._store, self._lease_s = store, lease_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._renewed = time.monotonic()

    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim keys; return those that are now ours. The others are answered or claimed by another run.

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
        """Prolong what is still claimed; cheap to call often.

        Raises:
            UserError: the store cannot be written.
        """
        if time.monotonic() - self._renewed < _RENEW_S:
            return
        self.hold()

    def hold(self) -> bool:
        """Prolong what is still claimed, now; false where nothing is.

        Raises:
            UserError: the store cannot be written.
        """
        self._renewed = time.monotonic()
        until = time.time() + self._lease_s
        with self._store.writing() as connection:
            changed = connection.execute("UPDATE claims SET until = ? WHERE owner = ?", (until, self._owner))
            return changed.rowcount > 0

    def release(self) -> None:
        """Give up every claim of this run.

        Raises:
            UserError: the store cannot be written.
        """
        with self._store.writing() as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))


def _alive(owner: str) -> bool:
    host, process, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True  # nothing can be known of it before its lease ends
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
