"""Encode texts of items and profiles of users into vectors.

Reads data/PAIR/sequences and data/PAIR/answers.parquet; writes data/PAIR/vectors/items.parquet, profiles.parquet and
phrases.parquet. Vectors computed once are kept in .vector-store and reused.
"""

import os

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, ITEMS, PROFILES, USERS
from lecdsr.core.stage import run_stage
from lecdsr.embed.base import to_table
from lecdsr.embed.joined import side_by_side
from lecdsr.embed.providers import encoder_of
from lecdsr.embed.settings import Settings
from lecdsr.embed.store import VectorStore, store_path
from lecdsr.embed.texts import item_texts, profile_facts, profile_texts


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("embed"), Settings)
    settings = resolved.settings
    answers = read_table(artefacts.answers, ANSWERS)
    encoder = encoder_of(settings, os.environ)
    with VectorStore(store_path()) as store:
        views = item_texts(read_table(artefacts.items, ITEMS), answers, settings)
        items, widths = encoder.encode_views(views, store), encoder.widths
        profiles = profile_texts(answers, resolved.domains, settings)
        # A phrase has one text, which is compared with each text of an item.
        phrases = side_by_side([encoder.encode(profiles.texts, store)] * len(views))
    same = [profiles.texts] * len(views)
    for path, rows, of in ((artefacts.item_vectors, items, views), (artefacts.phrase_vectors, phrases, same)):
        table = to_table(rows, encoder.made_of(*of), widths)
        write_table(path, table, table.schema)
    write_table(artefacts.profiles, profiles.table, PROFILES)
    users = len(read_table(artefacts.users, USERS, ["user"]))
    facts = {
        "encoder": settings.encoder if isinstance(settings.encoder, str) else " + ".join(settings.encoder),
        "width": items.shape[1],
        "items": len(items),
        "items_without_text": int((~items.any(axis=1)).sum()),
        "users": users,
        "users_without_profile": users - len(profiles.table["user"].unique()),
        **profile_facts(profiles, phrases),
    }
    write_json(artefacts.stage_metrics("embed"), facts)
    spent = {"USD spent now": encoder.spent} if encoder.spent else {}
    summary(f"Vectors of {pair}", {**facts, "encoded now": encoder.encoded, **spent})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
