"""Use the Python interface on two hand-made frames; needs only the installed package and no clone."""

from __future__ import annotations

import numpy as np
import pandas as pd

import lecdsr


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make interactions of 60 users with the same taste in both domains, and items whose titles reveal the taste."""
    draw, tastes = np.random.default_rng(0), ["spicy", "sweet", "sour"]
    catalogue = {"food": ["sauce", "snack", "tea", "rice", "bread"], "kitchen": ["pan", "pot", "knife", "bowl", "cup"]}
    items = pd.DataFrame(
        [
            (f"{taste}-{thing}", domain, f"{thing} for {taste} dishes")
            for domain, things in catalogue.items()
            for taste in tastes
            for thing in things
        ],
        columns=["item", "domain", "title"],
    )
    rows = []
    for user in range(60):
        liked = items[items["item"].str.startswith(tastes[user % 3])].sample(8, random_state=user)
        days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(draw.integers(0, 365, len(liked))), unit="D")
        rows.append(pd.DataFrame({"user": f"user-{user}", "time": days}).join(liked.reset_index()))
    return pd.concat(rows, ignore_index=True), items


def main() -> None:
    """Train two models, compare them, recommend, and save one."""
    interactions, items = frames()
    data = lecdsr.Dataset.from_frames(interactions, items, domains=("food", "kitchen"))
    print(data)
    model = lecdsr.models.Tandem(width=32).fit(data, epochs=20, seed=1)
    other = lecdsr.models.Popularity().fit(data)
    print(lecdsr.evaluate(model, data).query("split == 'test' and metric == 'ndcg@10'"))
    print(lecdsr.compare(model, other, data).to_string())
    print(model.recommend(["user-0", "user-1"], k=3))
    print(model.recommend(histories=[["spicy-sauce", "spicy-pan"]], k=3))
    model.save("tandem")
    print(lecdsr.load("tandem").recommend(["user-0"], k=3, domain="kitchen"))


if __name__ == "__main__":
    main()
