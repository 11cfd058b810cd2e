"""Checkpoints: a killed training resumes from its checkpoint with the same result as one without interruption.

A checkpoint is one safetensors file outside the outputs of DVC, always replaced as a whole. Its name contains a
fingerprint of the training's inputs (settings, data, versions), and its header holds them in full. A training with
other inputs therefore has another file and does not touch this one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lecdsr.core.console import say
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path
from lecdsr.core.paths import checkpoint_folder

INTERVAL = "LECDSR_CHECKPOINT_S"
#: Part of the fingerprint; a new number leaves the files of an earlier layout unused instead of misread.
FORMAT = 2
_DEFAULT_INTERVAL_S = 60.0
_UNREADABLE = (SafetensorError, OSError, KeyError, TypeError, ValueError)


class Checkpoints:
    """Checkpoint file of one training.

    Args:
        pair: name of the pair, which is also the name of the folder.
        model: name of the model.
        inputs: everything that determines the result, as JSON values; see :meth:`with_inputs`.

    Raises:
        UserError: ``LECDSR_CHECKPOINT_S`` is not a number of seconds.
    """

    def __init__(self, pair: str, model: str, inputs: Mapping[str, Any]) -> None:
        self._pair, self._model = pair, model
        self.inputs: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **inputs}))
        self.folder = checkpoint_folder(pair)
        self.path = self.folder / f"{model}-{_fingerprint(self.inputs)}.safetensors"
        self.interval = _interval()
        self._written = time.monotonic()

    def with_inputs(self, **more: Any) -> Checkpoints:
        """Return the checkpoint of a training that also depends on ``more``."""
        return Checkpoints(self._pair, self._model, {**self.inputs, **more})

    def due(self) -> bool:
        """Return whether the interval since the last checkpoint has passed."""
        return time.monotonic() - self._written >= self.interval

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; a kill at any moment leaves the old file or the new one.

        Args:
            state: nested mappings of tensors and JSON values.
        """
        tensors, facts = _split(state)
        header = {"inputs": json.dumps(self.inputs), "facts": json.dumps(facts)}
        with atomic_path(self.path) as temporary:
            save_file(tensors, temporary, metadata=header)
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Read the state that was last written, on the CPU; ``None`` if there is no checkpoint.

        Raises:
            UserError: the file cannot be read, or belongs to another training or an earlier version.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                self._check_inputs(header)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return _join(tensors, json.loads(header["facts"]))
        except _UNREADABLE as error:
            raise UserError(
                f"the checkpoint cannot be read: {error}",
                where=str(self.path),
                do="delete it to train from the beginning",
                code="broken-file",
            ) from error

    def _check_inputs(self, header: Mapping[str, str]) -> None:
        inputs = _inputs_of(header)
        if inputs is None:
            raise UserError(
                "the checkpoint was written by an earlier version of lecdsr",
                where=str(self.path),
                do="delete it to train from the beginning",
                code="earlier-version",
            )
        if inputs != self.inputs:
            raise UserError(
                f"the checkpoint is of a training with other settings or inputs: {difference(inputs, self.inputs)}",
                where=str(self.path),
                do="move or delete it to train from the beginning",
                code="other-training",
            )

    def remove(self) -> None:
        """Delete the checkpoint, after the result of the training is saved."""
        self.path.unlink(missing_ok=True)

    def report_others(self) -> None:
        """Print which other checkpoints of this model exist, and what differs in their inputs."""
        for path in sorted(self.folder.glob(f"{self._model}-*.safetensors")):
            if path == self.path:
                continue
            try:
                with safe_open(path, framework="pt") as file:
                    inputs = _inputs_of(file.metadata() or {})
            except _UNREADABLE:
                continue
            if inputs is None:
                say(f"ignoring {path}: an earlier version of lecdsr wrote it; delete it if you do not need it")
            else:
                say(f"ignoring {path}: it belongs to another training ({difference(inputs, self.inputs)})")


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Describe the first three values in which two sets of inputs differ."""
    flat_theirs, flat_ours = _flatten(theirs), _flatten(ours)
    names = [
        name for name in sorted(flat_theirs.keys() | flat_ours.keys()) if flat_theirs.get(name) != flat_ours.get(name)
    ]
    found = [f"{name} is {flat_theirs.get(name)} in the checkpoint and {flat_ours.get(name)} now" for name in names[:3]]
    return "; ".join(found) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _fingerprint(inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def _inputs_of(header: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the inputs in the header of a checkpoint; ``None`` for a file of the first format."""
    return json.loads(header["inputs"]) if "inputs" in header else None


def _split(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Separate tensors, named by their path with slashes, from JSON values, which keep their nesting."""
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().cpu().contiguous()
        elif isinstance(value, Mapping):
            inner, facts[name] = _split(value, f"{prefix}{name}/")
            tensors.update(inner)
        else:
            facts[name] = value
    return tensors, facts


def _join(tensors: Mapping[str, Tensor], facts: dict[str, Any]) -> dict[str, Any]:
    """Undo :func:`_split`: put every tensor back into its place among the JSON values."""
    for name, tensor in tensors.items():
        *path, last = name.split("/")
        node = facts
        for part in path:
            node = node[part]
        node[last] = tensor
    return facts


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flatten(value, f"{prefix}{name}."))
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
        raise UserError(
            f"the value is {text!r}, expected the number of seconds between two checkpoints",
            where=INTERVAL,
            do=f"set the variable to a number, for example {_DEFAULT_INTERVAL_S:.0f}, or unset it",
            code="wrong-value",
        )
    return seconds
