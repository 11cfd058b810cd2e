import numpy as np
import pytest

from lecdsr.evaluate.ranks import Ranks
from lecdsr.train import validator as validation


@pytest.fixture
def scripted(monkeypatch):
    """Replace validation: every target of an epoch gets the next rank of a list; return the weights seen."""

    def script(ranks: list[int]) -> list[float]:
        seen: list[float] = []

        def ranked(model, valid, *_, **__):
            seen.append(model.weight.item())
            return Ranks(np.full(len(valid), ranks[len(seen) - 1], np.float32), None)

        monkeypatch.setattr(validation, "rank_targets", ranked)
        return seen

    return script
