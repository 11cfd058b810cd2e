"""Make ids in Amazon's format that carry no information; item ids are ascending, user ids are not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.download.synthetic.settings import Settings, stream

_DIGITS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", dtype=np.uint8)


def item_ids(settings: Settings, domain: int) -> pa.Array:
    """Make the ascending ids of a domain's items, ten characters each; the two domains share no id."""
    items = settings.items[domain]
    # Every item has its own range of numbers; one domain uses the lower half of each range, the other the upper half.
    stretch = 36**8 // (2 * max(settings.items))
    rng = stream(settings.seed, "item ids", domain)
    numbers = (2 * np.arange(items) + domain) * stretch + rng.integers(stretch, size=items)
    return _base36(numbers.astype(np.uint64), digits=8, prefix=b"B0")


def reviewer_ids(settings: Settings) -> pa.Array:
    """Make the ids of all users, fourteen characters each, in no visible order."""
    offset = stream(settings.seed, "reviewer ids").integers(2**63, dtype=np.uint64)
    return _base36(_scramble(np.arange(settings.users, dtype=np.uint64) + offset), digits=13, prefix=b"A")


def _scramble(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Map 64-bit numbers one to one to others without visible order (final step of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _base36(numbers: NDArray[np.uint64], digits: int, prefix: bytes) -> pa.Array:
    width = len(prefix) + digits
    letters = np.empty((len(numbers), width), dtype=np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    for column in range(width - 1, len(prefix) - 1, -1):
        letters[:, column] = _DIGITS[numbers % np.uint64(36)]
        numbers = numbers // np.uint64(36)
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(letters), [None, pa.py_buffer(letters)])
    return fixed.cast(pa.binary()).cast(pa.string())
