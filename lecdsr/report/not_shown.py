"""Write the sentences that say what the results page does not show: missing runs and their time, and open questions."""

from __future__ import annotations

from collections.abc import Sequence

from lecdsr.core.markdown import escape
from lecdsr.experiments.plan import CONTROL, SEED
from lecdsr.experiments.records import Row
from lecdsr.report.recorded import Recorded, any_parameters, is_older, runs_of


def not_shown(pairs: Sequence[Recorded], others: Sequence[str] = ()) -> str:
    """Write the sentence on what the page does not show.

    Args:
        pairs: records of the pairs on the page.
        others: names of the other pairs of the repository.
    """
    parts = [part for one in pairs for part in _not_run(one)]
    parts += [part for one in pairs if (part := _tied(one))]
    if others:
        parts.append(f"runs on the other pairs of the repository ({', '.join(others)})")
    if len({one.facts.domains for one in pairs}) == 1:
        parts.append(f"other domains than {' and '.join(map(escape, pairs[0].facts.domains))}")
    encoders = {name for one in pairs for name in one.facts.encoders}
    if len(encoders) == 1:
        parts.append(f"other text encoders than {escape(encoders.pop())}")
    for who, when in dict.fromkeys(writer for one in pairs for writer in one.facts.writers):
        parts.append(
            f"how far descriptions and profiles by {escape(who)} of {escape(when)} depend on hindsight about items"
        )
    if any(is_older(row, one) for one in pairs for row in one.rows):
        parts.append("figures of the present code in place of those marked †")
    if not parts:
        return "Every declared run is recorded."
    return " ".join([f"Not shown: {'; '.join(parts)}.", *_times_of_missing(pairs)])


def _not_run(one: Recorded) -> list[str]:
    """List methods without runs, methods with fewer seeds than declared, and count controls with fewer."""
    seeds, count, controls = len(one.declared.seeds), _incomplete(one), one.declared.controls
    wanted = len(one.declared.seeds_of_controls)
    few = [name for name, given in controls.items() if len(runs_of(one.rows, given.method, CONTROL, name)) < wanted]
    parts = (
        ("no run of", [f"`{method}`" for method, number in count.items() if not number]),
        (f"fewer than {seeds} seeds of", [f"`{method}` ({number})" for method, number in count.items() if number]),
        (f"fewer than {wanted} seeds of", [f"{len(few)} of {len(controls)} controls"] if few else []),
    )
    told = [f"{words} {', '.join(names)}" for words, names in parts if names]
    return [f"on `{one.facts.pair}` {', '.join(told)}"] if told else []


def _incomplete(one: Recorded) -> dict[str, int]:
    """Count the seeds of the methods of which runs are missing."""
    seeds = len(one.declared.seeds)
    runs = {method: runs_of(one.rows, method, SEED) for method in one.declared.methods}
    return {method: len(rows) for method, rows in runs.items() if _lacks(rows, seeds)}


def _times_of_missing(pairs: Sequence[Recorded]) -> list[str]:
    """Write the sentence on how long a missing run takes, by method; none if no time is declared."""
    methods: dict[str, dict[str, None]] = {}
    for one in pairs:
        for method in _incomplete(one):
            if time := one.declared.methods[method].time:
                methods.setdefault(time, {})[f"`{method}`"] = None
    told = [f"{escape(time)} ({', '.join(names)})" for time, names in methods.items()]
    return [f"One of the missing runs takes {'; '.join(told)}."] if told else []


def _lacks(rows: Sequence[Row], seeds: int) -> bool:
    """Return whether runs of a method are missing; without parameters one run is enough."""
    return not rows or (any_parameters(rows) and len(rows) < seeds)


def _tied(one: Recorded) -> str | None:
    """State the share of test targets on the day of the item before, from the recorded slices."""
    sizes = {
        (row["domain"], row["slice"]): int(row["targets"]) for row in one.slices if row["slice"] in ("tied", "untied")
    }
    tied = sum(size for (_, name), size in sizes.items() if name == "tied")
    if not tied:
        return None
    share = 100 * tied / sum(sizes.values())
    return f"on `{one.facts.pair}` the order within a day, unknown for {share:.0f} % of the test targets"
