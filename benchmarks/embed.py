"""Benchmark of encoding: texts per second and accuracy against plain `SentenceTransformer.encode`, in the same run.

Encodes titles and profiles of the demo (run `make demo` first). The plain baseline encodes in float32 with its own
defaults. Ours writes to a new vector store, as the stage does, including the check of a lower precision. Loading is
excluded on both sides; the time to prepare a precision is printed. If the demo has fewer texts than requested, their
words are rotated. int8 needs the extra `fast-embed`. Cosines are to the plain vectors.

    python benchmarks/embed.py [--texts 600]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, ITEMS
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder
from lecdsr.embed.settings import Precision
from lecdsr.embed.store import VectorStore

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8") if find_spec("nncf") else ("float32", "bfloat16")


@exit_on_user_error()
def main() -> None:
    """Print the results as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=600)
    count = parser.parse_args().texts
    demo = Artefacts("demo")
    answers = read_table(demo.answers, ANSWERS)["text"].drop_null().unique().to_pylist()
    titles = read_table(demo.items, ITEMS)["title"].drop_null().unique().to_pylist()
    titles = [title for title in titles if title]  # an item without text has no vector
    folder = LocalEncoder(BUNDLED, 32).folder
    plain = SentenceTransformer(str(folder), model_kwargs={"torch_dtype": "float32"})
    print("| texts | way | texts/s | ratio | cosine, mean | least | ready after |\n|" + " --- |" * 7)
    for name, texts in (("titles", titles), ("profiles", answers)):
        texts = enough(texts, count)
        plain.encode(texts[:32])
        began = time.perf_counter()
        exact = plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        base = len(texts) / (time.perf_counter() - began)
        print(f"| {len(texts)} {name} | plain encode | {base:.0f} | 1 | 1 | 1 | |", flush=True)
        for precision in PRECISIONS:
            print(f"| {len(texts)} {name} | {ours(texts, precision, exact, base)} |", flush=True)


def ours(texts: list[str], precision: Precision, exact: np.ndarray, base: float) -> str:
    """Measure our encoder in one precision, including its check, and return a row of the table."""
    encoder = LocalEncoder(BUNDLED, 32, precision)
    with tempfile.TemporaryDirectory() as folder, VectorStore(Path(folder) / "v.sqlite") as store:
        began = time.perf_counter()
        encoder.encode(texts[:2], store)
        ready = time.perf_counter() - began
        began = time.perf_counter()
        rows = encoder.encode(texts, store)
        speed = len(texts) / (time.perf_counter() - began)
    cosine = (rows * exact).sum(axis=1)
    figures = f"{speed:.0f} | {speed / base:.2f} | {cosine.mean():.5f} | {cosine.min():.5f} | {ready:.1f} s"
    return f"lecdsr {precision} | {figures}"


def enough(texts: list[str], count: int) -> list[str]:
    """Return ``count`` different texts: the given ones, then the same words in another order."""
    found = dict.fromkeys(texts[:count])
    for turn in range(1, 1000):
        for text in texts:
            if len(found) == count:
                return list(found)
            words = text.split()
            cut = turn % len(words)
            found[" ".join(words[cut:] + words[:cut])] = None
    raise SystemExit(f"only {len(found):,} different texts can be made")


if __name__ == "__main__":
    main()
