"""Schemas of all tables that stages exchange.

Ids are dense: items of domain X are 0 … N_X-1, those of Y are N_X … N-1, users are 0 … U-1. Domains are 0 for X and 1
for Y. Splits are 0 for training, 1 for validation, 2 for test. Times are seconds since 1970.
"""

from __future__ import annotations

import pyarrow as pa

DOMAINS = ("x", "y")
SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = 0, 1, 2
SECONDS_PER_DAY = 86_400

#: One row per item, sorted by ``item``. ``train_count``: interactions in the training part.
ITEMS = pa.schema(
    [
        ("item", pa.int32()),
        ("domain", pa.int8()),
        ("asin", pa.string()),
        ("title", pa.string()),
        ("brand", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("description", pa.string()),
        ("train_count", pa.int32()),
    ]
)

#: One row per user, sorted by ``user``. ``n_x``, ``n_y``: interactions kept in each domain.
USERS = pa.schema(
    [
        ("user", pa.int32()),
        ("reviewer", pa.string()),
        ("n_x", pa.int32()),
        ("n_y", pa.int32()),
    ]
)

#: One row per interaction, sorted by ``user`` and then by time; ``WINDOWS`` refers to the row numbers.
INTERACTIONS = pa.schema(
    [
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("domain", pa.int8()),
        ("time", pa.int64()),
        ("rating", pa.float32()),
        ("split", pa.int8()),
    ]
)

#: One row per window: rows ``start`` … ``end``-1 of the interactions, all of one user. The rows from
#: ``first_target`` on are targets, each with the preceding rows of the window as its history; in
#: validation and test only the last row is a target. ``tied``: the target is on the same day as the
#: interaction before it (validation and test; false in training).
WINDOWS = pa.schema(
    [
        ("split", pa.int8()),
        ("user", pa.int32()),
        ("start", pa.int64()),
        ("first_target", pa.int64()),
        ("end", pa.int64()),
        ("tied", pa.bool_()),
    ]
)

#: One row per validation or test window, in the order of the windows. ``row``: its target's row in
#: the interactions. ``negatives``: items of the target's domain it is ranked against.
CANDIDATES = pa.schema(
    [
        ("split", pa.int8()),
        ("row", pa.int64()),
        ("negatives", pa.list_(pa.int32())),
    ]
)

#: One row per question, sorted by ``kind``, ``id`` and ``as_of``. ``kind``: ``item`` or ``user``. ``as_of``: time of
#: the last interaction that a profile is written from; null for items. A user has one row per version of the profile.
#: ``key``: SHA-256 of ``body``, the canonical JSON of the request. ``facts``: the same content as structured JSON, for
#: the rule-based writer.
QUESTIONS = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.int32()),
        ("as_of", pa.int64()),
        ("key", pa.string()),
        ("body", pa.string()),
        ("facts", pa.string()),
    ]
)

#: One row per question, in the order of the questions; with the provider ``table`` one per text that it has.
#: ``as_of``: as in the questions; a target may read a profile only if its ``as_of`` lies before the target. ``text``
#: is null where the question failed for good; ``reason`` then says why.
ANSWERS = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.int32()),
        ("as_of", pa.int64()),
        ("key", pa.string()),
        ("text", pa.string()),
        ("reason", pa.string()),
    ]
)

#: One row per target: its rank (1 is best, ties count half) in each protocol; ``day_tied`` as
#: ``tied`` in the windows, ``train_count`` of the target item, ``history`` items that a model could read before the
#: target, ``history_own`` all that the user had in the target's domain before it, whatever the model reads.
RANKS = pa.schema(
    [
        ("split", pa.int8()),
        ("user", pa.int32()),
        ("domain", pa.int8()),
        ("target", pa.int32()),
        ("day_tied", pa.bool_()),
        ("train_count", pa.int32()),
        ("history", pa.int32()),
        ("history_own", pa.int32()),
        ("rank_sampled", pa.float32()),
        ("rank_full", pa.float32()),
    ]
)

#: One row per test target, in the order of the test targets in ``RANKS``. ``items``: the best items of the target's
#: domain under full ranking, best first; fewer than the others have where the domain has fewer items left.
LISTS = pa.schema(
    [
        ("user", pa.int32()),
        ("domain", pa.int8()),
        ("target", pa.int32()),
        ("items", pa.list_(pa.int32())),
    ]
)

#: One row per recommendation, sorted by ``user``, ``domain`` (x or y) and ``rank`` (1 is best). ``reviewer`` and
#: ``asin`` are the original ids of user and item; scores of different models cannot be compared.
RECOMMENDATIONS = pa.schema(
    [
        ("user", pa.int32()),
        ("reviewer", pa.string()),
        ("domain", pa.string()),
        ("rank", pa.int16()),
        ("item", pa.int32()),
        ("asin", pa.string()),
        ("score", pa.float32()),
    ]
)


#: One row per profile, sorted by ``user`` and ``as_of``, the time of the last interaction that it was written from.
#: The other columns are rows of the table of phrases, which holds distinct texts: the ``whole`` profile as one text,
#: and what the user is likely to need next in X and in Y, most likely first.
PROFILES = pa.schema(
    [
        ("user", pa.int32()),
        ("as_of", pa.int64()),
        ("whole", pa.int32()),
        ("next_x", pa.list_(pa.int32())),
        ("next_y", pa.list_(pa.int32())),
    ]
)


#: Key in the metadata of a table of vectors, where several encoders are joined: the width of each, separated by commas.
WIDTHS = b"lecdsr.widths"


def vectors(width: int) -> pa.Schema:
    """Schema of vectors: one row per item or phrase, sorted and dense; zeros without a text (``known`` false)."""
    return pa.schema(
        [
            ("id", pa.int32()),
            ("known", pa.bool_()),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )
