"""Ask for profiles of a few users in several wordings, and measure how much the profiles differ between users.

A profile that is the same for every user carries no information. For each wording, the table has the share of replies
that ended by themselves, their number of words, the mean pairwise cosine of their vectors (bundled encoder; lower is
better) and the share of users whose profile is also that of another user. The offline writer and the plain titles are
listed for comparison.

    OPENAI_BASE_URL=http://127.0.0.1:8093/v1 python benchmarks/wordings.py --pair demo --users 60
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from lecdsr.ask.offline import describe_customer
from lecdsr.ask.openai_provider import OpenAIProvider, RetryPolicy
from lecdsr.ask.request import request_body, request_key
from lecdsr.ask.run import ask
from lecdsr.ask.store import Store
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import QUESTIONS
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder
from lecdsr.embed.store import VectorStore

SYSTEM = "You write profiles of customers for a system that recommends products."
#: ``{history}`` stands for the numbered lines; every wording ends where the answer starts.
WORDINGS = {
    "long": (
        "<history>\n{history}\n</history>\n\nDescribe in at most 80 words what this customer likes, what they are "
        "likely to need next in each of the two shops, and what they would not buy. Name materials, flavours, "
        "styles and uses."
    ),
    "one sentence": (
        "<history>\n{history}\n</history>\n\nIn one short sentence, say what this customer likes. Name the kinds of "
        "products, flavours and materials above."
    ),
    "list": (
        "<history>\n{history}\n</history>\n\nList, separated by commas, the kinds of products, brands, flavours and "
        "materials in the history above. At most 25 words, one line, nothing else."
    ),
    "interests": (
        "A customer bought these products, oldest first:\n\n<history>\n{history}\n</history>\n\nWhich special "
        "interests do these purchases show? Answer in one line: interests, then brands."
    ),
}


def measure(name: str, texts: list[str], asked: int, encoder: LocalEncoder, vectors: VectorStore) -> str:
    """Compute one row of the table."""
    rows = encoder.encode(texts, vectors)
    count = len(texts)
    cosine = (float(np.square(rows.sum(axis=0)).sum()) - count) / (count * (count - 1)) if count > 1 else float("nan")
    twice = sum(number for number in Counter(texts).values() if number > 1) / max(count, 1)
    words = sum(len(text.split()) for text in texts) / max(count, 1)
    return f"| {name} | {count} of {asked} | {words:.0f} | {cosine:.3f} | {twice:.0%} |"


def table_of(prompts: Iterable[str], model: str, longest: int) -> pa.Table:
    """Make a table ``QUESTIONS`` with these prompts."""
    bodies = [request_body(SYSTEM, prompt, model, 0.0, longest, 0) for prompt in prompts]
    rows = [
        {"kind": "user", "id": place, "key": request_key(body), "body": body, "facts": "[]"}
        for place, body in enumerate(bodies)
    ]
    return pa.Table.from_pylist(rows, schema=QUESTIONS)


@exit_on_user_error()
def main() -> None:
    """Ask for the profiles and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="demo")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--max-tokens", type=int, default=120)
    arguments = parser.parse_args()
    questions = read_table(Artefacts(arguments.pair).questions, QUESTIONS)
    rows = questions.filter(np.array(questions["kind"].to_pylist()) == "user").to_pylist()
    rows = rows[:: max(1, len(rows) // arguments.users)][: arguments.users]
    users = [json.loads(row["body"])["messages"][-1]["content"] for row in rows]
    histories = [text.partition("<history>\n")[2].partition("\n</history>")[0] for text in users]
    encoder = LocalEncoder(BUNDLED, 32)
    with tempfile.TemporaryDirectory() as folder, VectorStore(Path(folder) / "v.sqlite") as vectors:
        print(f"{arguments.pair}, {len(rows)} users\n\n| wording | ended | words | cosine | duplicates |")
        print("| --- | --- | --- | --- | --- |")
        print(measure("(titles alone)", histories, len(rows), encoder, vectors))
        offline = [describe_customer(json.loads(row["facts"])) for row in rows]
        print(measure("(offline writer)", offline, len(rows), encoder, vectors), flush=True)
        for name, wording in WORDINGS.items():
            table = table_of(
                (wording.format(history=text) for text in histories), arguments.model, arguments.max_tokens
            )
            with Store(Path(folder) / name) as store:
                provider = OpenAIProvider(os.environ, RetryPolicy(failures_in_a_row=len(rows) + 1))
                asked = ask(table, provider, store)
            print(measure(name, list(asked.texts.values()), len(rows), encoder, vectors), flush=True)


if __name__ == "__main__":
    main()
