"""Provenance of metrics: seed, texts, encoder and negatives, stored together with the metrics."""

from __future__ import annotations

from typing import Any

from lecdsr.core.files import read_json
from lecdsr.core.paths import Artefacts


def provenance(artefacts: Artefacts, config: dict[str, Any], exclude_history: bool) -> dict[str, Any]:
    """Collect provenance from the metrics of earlier stages, the model's config and the ranking's exclusion rule."""
    ask, embed, candidates, prompts = (
        read_json(artefacts.stage_metrics(stage)) for stage in ("ask", "embed", "candidates", "prompts")
    )
    return {
        "seed": config["seed"],
        "best_epoch": config["best_epoch"],
        "parameters": config["parameters"],
        "text_provider": ask["provider"],
        "text_model": ask["model"],
        "profiles_by_version": prompts["profiles_by_version"],
        "encoder": embed["encoder"],
        "candidates_sha256": candidates["sha256"],
        "exclude_history": exclude_history,
    }
