"""Checkpoints: a killed training goes on where it was, and ends with the numbers of an unbroken one.

A checkpoint is one safetensors file outside the outputs of DVC, replaced as a whole. Its header holds a
description of all that the training rests on, by which its name is made: a training of other settings or other
data has another file and leaves this one alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lecdsr.core.console import say
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path
from lecdsr.core.paths import store_root

FOLDER, INTERVAL = "LECDSR_CHECKPOINTS", "LECDSR_CHECKPOINT_S"
_DEFAULT_INTERVAL_S = 60.0


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by name, and facts that JSON can hold."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under ``name.``, without it."""
        start = name + "."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


class Checkpoints:
    """The checkpoint of one training.

    Args:
        pair: name of the pair.
        model: name of the model.
        rests_on: settings, hashes of the data, versions: everything that decides the result.

    Raises:
        UserError: the interval in the environment is no number of seconds.
    """

    def __init__(self, pair: str, model: str, rests_on: Mapping[str, Any]) -> None:
        self.rests_on = json.loads(json.dumps(rests_on, sort_keys=True))
        self.folder = Path(os.environ.get(FOLDER) or store_root() / ".checkpoints") / pair
        digest = hashlib.sha256(json.dumps(self.rests_on, sort_keys=True).encode()).hexdigest()[:16]
        self._prefix = f"{model}-"
        self.path = self.folder / f"{self._prefix}{digest}.safetensors"
        self.interval = _interval()
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.interval

    def write(self, saved: Saved) -> None:
        """Replace the checkpoint; a kill at any moment leaves the old one or the new one."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in saved.tensors.items()}
        header = {"rests_on": json.dumps(self.rests_on, sort_keys=True), "facts": json.dumps(saved.facts)}
        with atomic_path(self.path) as temporary:
            save_file(tensors, temporary, metadata=header)
        self._last = time.monotonic()

    def read(self) -> Saved | None:
        """The checkpoint of this training; None where there is none. Others of the same model are named.

        Raises:
            UserError: the file cannot be read, or is that of another training.
        """
        if not self.path.exists():
            self._tell_of_others()
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                rests_on, facts = json.loads(header["rests_on"]), json.loads(header["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise UserError(
                f"the checkpoint cannot be read: {error}",
                where=str(self.path),
                do="delete it to train from the beginning",
            ) from error
        if rests_on != self.rests_on:
            raise UserError(
                f"the checkpoint is that of another training: {difference(rests_on, self.rests_on)}",
                where=str(self.path),
                do="it is kept; move it away to train from the beginning",
            )
        return Saved(tensors, facts)

    def remove(self) -> None:
        """Forget the checkpoint of a training whose result is kept."""
        self.path.unlink(missing_ok=True)

    def _tell_of_others(self) -> None:
        for path in sorted(self.folder.glob(f"{self._prefix}*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    other = json.loads((file.metadata() or {})["rests_on"])
            except (SafetensorError, OSError, KeyError, ValueError):
                continue
            say(f"{path} is the checkpoint of another training ({difference(other, self.rests_on)}); it is kept")


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The first few values in which two descriptions differ, in words."""
    flat_theirs, flat_ours = _flat(theirs), _flat(ours)
    names = [
        name for name in sorted(flat_theirs.keys() | flat_ours.keys()) if flat_theirs.get(name) != flat_ours.get(name)
    ]
    told = [f"{name} {flat_theirs.get(name)} there, {flat_ours.get(name)} here" for name in names[:3]]
    return "; ".join(told) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def _interval() -> float:
    text = os.environ.get(INTERVAL, "")
    try:
        seconds = float(text) if text else _DEFAULT_INTERVAL_S
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"expected seconds between checkpoints, got {text!r}", where=INTERVAL)
    return seconds


def random_state(device: torch.device) -> Tensor:
    """The state of the sources that dropout draws from, as bytes."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def restore_random_state(state: Tensor, device: torch.device) -> None:
    """Put the sources back into a state that :func:`random_state` gave."""
    size = len(torch.get_rng_state())
    torch.set_rng_state(state[:size])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[size:], device)
