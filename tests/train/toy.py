"""A training in a real process: a small pair on disk, and a script that trains it and writes the results."""

import os
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, PROFILES, USERS, WINDOWS
from lecdsr.data.profiles import Profiles
from lecdsr.embed.base import to_table
from tests.programs import KILL, program
from tests.tiny import interactions, items_table, profiles, sequences, windows_table

ROOT = Path(__file__).parents[2]
N = 12
SCRIPT = """
import json, sys
from pathlib import Path
from lecdsr.core.paths import Artefacts
from lecdsr.models.registry import find_model
from lecdsr.models.saved import save
from lecdsr.train.fit import fit
from lecdsr.train.state import log_to_csv
from tests.models.settings import lecdsr_settings, sasrec_settings, shared_settings
chosen = json.loads(sys.argv[1])
of_model = {"lecdsr": lecdsr_settings, "sasrec": sasrec_settings}[chosen["model"]]
fitted = fit(Artefacts("toy"), chosen["model"], of_model(**chosen["settings"]), shared_settings(**chosen["shared"]))
if fitted.context.is_main:
    made_of = {"model": chosen["model"], "settings": chosen["settings"], "seed": 0}
    save(Path("out"), fitted.network, {**made_of, "epochs": len(fitted.result.log)})
    Path("out/log.csv").write_text(log_to_csv(fitted.result.log))
print("ended", flush=True)
"""


def write_pair(folder: Path, seed: int = 0, users: int = 40) -> None:
    """Write random walks in two domains of N items, with random vectors, as the files of the pair ``toy``."""
    draw = np.random.default_rng(seed)
    walks = [[int(item) for item in draw.permutation(2 * N)[: draw.integers(6, 14)]] for _ in range(users)]
    table, built = interactions(walks, N), sequences(walks, N)
    rows = zip(built.split, built.user, built.start, built.first_target, built.end, strict=True)
    artefacts = Artefacts("toy")
    tables = (
        (artefacts.interactions, table, INTERACTIONS),
        (artefacts.windows, windows_table([tuple(int(value) for value in row) for row in rows]), WINDOWS),
        (artefacts.items, items_table(N, N), ITEMS),
        (artefacts.users, pa.table({name: _column(USERS.field(name).type, users) for name in USERS.names}), USERS),
    )
    for path, content, schema in tables:
        write_table(folder / path, content.cast(schema), schema)
    vectors = to_table(draw.standard_normal((2 * N, 8)).astype(np.float32), "random")
    write_table(folder / artefacts.item_vectors, vectors, vectors.schema)
    texts = torch.from_numpy(draw.standard_normal((2 * users + 9, 8)).astype(np.float32))
    write_profiles(artefacts, profiles(users, texts), folder)


def write_profiles(artefacts: Artefacts, known: Profiles, folder: Path = Path()) -> None:
    """Write the two files of profiles as the stage ``embed`` does."""
    vectors, padding = to_table(known.vectors[:-1].numpy(), "random"), len(known.vectors) - 1
    lists = [[[row for row in part if row < padding] for part in known.lists[:-1, d].tolist()] for d in (0, 1)]
    whole = known.whole[:-1].numpy()
    columns = {"user": known.user, "as_of": known.as_of, "whole": whole, "next_x": lists[0], "next_y": lists[1]}
    write_table(folder / artefacts.phrase_vectors, vectors, vectors.schema)
    write_table(folder / artefacts.profiles, pa.table(columns).cast(PROFILES), PROFILES)


def _column(kind: pa.DataType, count: int) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([f"u{number}" for number in range(count)])
    return pa.array(np.arange(count)).cast(kind)


def environment(**changed: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LECDSR_CHECKPOINT_S": "0", **changed}


def launch(folder: Path, chosen: str, *before: str, **changed: str) -> subprocess.Popen[str]:
    """Start the script in ``folder``; ``before`` is put before it on the command line."""
    script = folder / "script.py"
    if not script.exists():  # another process may be reading it
        script.write_text(SCRIPT)
    command = [program("python"), *before, "script.py", chosen]
    return subprocess.Popen(
        command, cwd=folder, env=environment(**changed), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def addresses() -> dict[str, str]:
    """Environment of two processes that find each other, but for their ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def pair_of_processes(folder: Path, chosen: str) -> list[subprocess.Popen[str]]:
    """Both processes of a distributed training, started by hand, so that each can be killed."""
    common = addresses()
    return [launch(folder, chosen, **common, RANK=rank, LOCAL_RANK=rank) for rank in "01"]


def kill(process: subprocess.Popen[str], said: str, after_s: float = 0.0) -> None:
    """Send SIGKILL some time after a line that contains ``said``."""
    assert process.stdout is not None
    assert any(said in line for line in process.stdout), f"never said {said!r}"
    time.sleep(after_s)
    process.send_signal(KILL)
    process.wait()


def finish(process: subprocess.Popen[str]) -> str:
    """Return the output of the process, which must have succeeded."""
    try:
        printed, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun then stops its workers, which a kill would leave behind
        try:
            printed, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired as error:  # workers that outlived torchrun hold the pipe open
            printed = (error.stdout or b"").decode()
        raise AssertionError(f"still running after 300 s:\n{printed}") from None
    assert process.returncode == 0, printed
    return printed
