"""The texts that are encoded: one per item, one per user; empty where nothing is known."""

from __future__ import annotations

import pyarrow as pa

from lecdsr.embed.settings import Settings


def item_texts(items: pa.Table, answers: pa.Table, settings: Settings) -> list[str]:
    """The chosen parts of every item, joined by full stops and cut."""
    described = _answers(answers, "item", len(items))
    columns = {
        "title": items["title"].to_pylist(),
        "brand": items["brand"].to_pylist(),
        "categories": [", ".join(names) for names in items["categories"].to_pylist()],
        "description": items["description"].to_pylist(),
        "answer": described,
    }
    rows = zip(*(columns[part] for part in settings.item_text), strict=True)
    return [". ".join(text for text in row if text)[: settings.max_characters] for row in rows]


def user_texts(users: pa.Table, answers: pa.Table, settings: Settings) -> list[str]:
    """The profile of every user, cut."""
    return [text[: settings.max_characters] for text in _answers(answers, "user", len(users))]


def _answers(answers: pa.Table, kind: str, count: int) -> list[str]:
    """Answers of one kind by id; empty where there is none."""
    texts = [""] * count
    columns = (answers[name].to_pylist() for name in ("kind", "id", "text"))
    for this, place, text in zip(*columns, strict=True):
        if this == kind and text:
            texts[place] = text
    return texts
