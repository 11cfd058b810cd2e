"""Put metrics, training curves, facts and examples of a pair on one page.

Reads the metrics of every model and the trained models of a pair; writes data/PAIR/report.html, one
self-contained file.
"""

from lecdsr.base.console import console, say
from lecdsr.base.door import run_stage
from lecdsr.base.files import read_json, write_text
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import DOMAINS
from lecdsr.base.settings import load_block, load_pair, load_selection
from lecdsr.evaluate.show import metrics_table
from lecdsr.recommend.shop import Shop, best_model, open_shop
from lecdsr.report.curves import curves
from lecdsr.report.page import Content, Example, render
from lecdsr.report.settings import Settings

STAGES = ("sequences", "candidates", "prompts", "ask", "embed")
HISTORY = 10


def example(shop: Shop, user: int, k: int) -> Example:
    """One user with recommendations in both domains."""
    items, times = shop.history(user)
    lines = [shop.line(int(item), int(time)) for item, time in zip(items, times, strict=True)]
    top = {key: shop.recommend(user, items, times, code, k) for code, key in enumerate(DOMAINS)}
    return Example(shop.users["reviewer"][user].as_py(), shop.profiles.get(user, ""), lines[-HISTORY:], top)


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts, settings, entry = Artefacts(pair), load_block("report", Settings, pair), load_pair(pair)
    _, models = load_selection()
    metrics = {model: read_json(artefacts.model_metrics(model)) for model in models}
    best = best_model(artefacts)
    shop = open_shop(artefacts, best)
    page = render(
        Content(
            pair=pair,
            domains=entry.domains,
            synthetic=entry.synthetic,
            metrics=metrics,
            stages={stage: read_json(artefacts.stage_metrics(stage)) for stage in STAGES},
            curves=curves({model: artefacts.training_log(model) for model in models}),
            example_model=best,
            examples=[example(shop, u, settings.top_k) for u in range(min(settings.example_users, len(shop.users)))],
        )
    )
    write_text(artefacts.report, page)
    console.print(metrics_table(f"Test metrics on {pair}", metrics))
    say(f"report: {artefacts.report}")


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
