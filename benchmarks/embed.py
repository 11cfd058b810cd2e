"""Texts a second and closeness: this project's encoding against plain `SentenceTransformer.encode`, same run.

Titles and profiles of the demo (`make demo` first). The plain baseline encodes in float32 with its own
defaults; ours goes through a fresh vector store, as the stage does. Cosine is to the plain vectors.

    python benchmarks/embed.py [--texts 600]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from lecdsr.base.files import read_table
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import ANSWERS, ITEMS
from lecdsr.embed.encoder import BUNDLED, Encoder
from lecdsr.embed.settings import Precision
from lecdsr.embed.store import VectorStore

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=600)
    count = parser.parse_args().texts
    demo = Artefacts("demo")
    answers = read_table(demo.answers, ANSWERS)["text"].drop_null().unique().to_pylist()
    titles = read_table(demo.items, ITEMS)["title"].drop_null().unique().to_pylist()
    titles = [title for title in titles if title]  # without a text there is no vector
    folder = Encoder(BUNDLED, 32).folder
    plain = SentenceTransformer(str(folder), model_kwargs={"torch_dtype": "float32"})
    print("| texts | way | texts/s | ratio | cosine, mean | least |\n| --- | --- | --- | --- | --- | --- |")
    for name, texts in (("titles", titles[:count]), ("profiles", answers[:count])):
        plain.encode(texts[:32])
        began = time.perf_counter()
        exact = plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        base = len(texts) / (time.perf_counter() - began)
        print(f"| {len(texts)} {name} | plain encode | {base:.0f} | 1 | 1 | 1 |", flush=True)
        for precision in PRECISIONS:
            print(f"| {len(texts)} {name} | {ours(texts, precision, exact, base)} |", flush=True)


def ours(texts: list[str], precision: Precision, exact: np.ndarray, base: float) -> str:
    """Way, speed, ratio and cosines, the check of a lower precision included."""
    encoder = Encoder(BUNDLED, 32, precision)
    with tempfile.TemporaryDirectory() as folder, VectorStore(Path(folder) / "v.sqlite") as store:
        encoder.encode(["warm"] * 2, store)
        began = time.perf_counter()
        rows = encoder.encode(texts, store)
        speed = len(texts) / (time.perf_counter() - began)
    cosine = (rows * exact).sum(axis=1)
    return f"lecdsr {precision} | {speed:.0f} | {speed / base:.2f} | {cosine.mean():.5f} | {cosine.min():.5f}"


if __name__ == "__main__":
    main()
