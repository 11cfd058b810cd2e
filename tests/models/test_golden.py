"""The model ``lecdsr`` compared with the golden file: scores, losses, gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.profiles import one_profile_each
from lecdsr.data.batch import Histories, HistoryProfiles
from lecdsr.data.info import DatasetInfo
from lecdsr.models.lecdsr import LeCDSR, Settings
from tests.models.settings import lecdsr_settings

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "lecdsr_published.npz"
VARIANTS = {
    "full": {},
    "no_conv": {"convolution": False},
    "no_llm_user": {"user_text": "none"},
    "no_llm_item": {"item_text": "none", "convolution": False},
    "id_only": {"item_text": "none", "user_text": "none", "convolution": False},
}

pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden file at {GOLDEN}")


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def build(golden: dict[str, torch.Tensor], variant: str) -> LeCDSR:
    settings: Settings = lecdsr_settings(
        width=16, hidden=768, history_length=15, tau=9.0, tau2=7.0, mask_padding=False, **VARIANTS[variant]
    )
    profiles = one_profile_each(golden["inputs/user_vectors"])
    info = DatasetInfo(40, 50, 12, golden["inputs/item_vectors"], profiles, torch.zeros(90, dtype=torch.long))
    model = LeCDSR(settings, info, seed=0)
    prefix = f"{variant}/weights/"
    weights = {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}
    missing, unused = model.load_state_dict(weights, strict=False)
    assert not missing
    assert set(unused) <= {"user_embeddings.weight"}  # the published class keeps it even where it is not read
    return model.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_losses_gradients(golden: dict[str, torch.Tensor], variant: str) -> None:
    model = build(golden, variant)
    sequence = golden["inputs/sequence"]
    user = golden["inputs/user"][:, :1]  # [B, 1], and the row of the user's profile
    profile = HistoryProfiles(user, torch.zeros_like(user))
    histories = Histories(sequence, golden["inputs/position"], user[:, 0], sequence, profile=profile)
    candidates = golden["inputs/candidates"]

    torch.testing.assert_close(model.score(histories, candidates), golden[f"{variant}/scores"], atol=1e-5, rtol=0)

    terms = model.losses(histories, candidates)
    ranking = terms["ranking"].value()
    torch.testing.assert_close(ranking, golden[f"{variant}/ranking_loss"], atol=1e-5, rtol=1e-6)
    loss = ranking
    assert ("alignment" in terms) == (f"{variant}/alignment_loss" in golden)
    if "alignment" in terms:
        aligned = terms["alignment"].times(1.0).value()
        torch.testing.assert_close(aligned, golden[f"{variant}/alignment_loss"], atol=1e-5, rtol=0)
        loss = ranking + 0.6 * aligned
    torch.testing.assert_close(loss, golden[f"{variant}/loss"], atol=1e-5, rtol=1e-6)

    loss.backward()
    prefix = f"{variant}/grads/"
    expected = {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
