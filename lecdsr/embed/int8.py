"""Run a sentence encoder in int8 on the CPU with OpenVINO (`pip install -e '.[fast-embed]'`).

Weights are int8 with one scale per output channel; activations are quantised dynamically with one scale per 64
components. There is no calibration, so the vectors depend only on the encoder and the text.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lecdsr.core.errors import UserError
from lecdsr.embed.base import normalised

# Components of an activation that share a scale. With 32, OpenVINO's default, the mean cosine to float32 is
# 0.9993 instead of 0.9991, at 7/8 of the speed; with one scale for all components it is 0.9975.
_GROUP = 64


class Int8Model:
    """An encoder computed in int8, with the part of the ``SentenceTransformer`` interface that this project uses.

    Args:
        model: the encoder in float32; it is not changed.

    Raises:
        UserError: the extra is not installed, or OpenVINO cannot convert the encoder.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._compiled = _compile(model)

    @property
    def max_seq_length(self) -> int | None:
        """Maximum length of a text in tokens."""
        length: int | None = self._model.max_seq_length
        return length

    @property
    def tokenizer(self) -> Any:
        """Tokenizer of the encoder."""
        return self._model.tokenizer

    def get_embedding_dimension(self) -> int:
        """Return the number of components of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(
        self, texts: Sequence[str], batch_size: int, normalize_embeddings: bool, show_progress_bar: bool = False
    ) -> NDArray[np.float32]:
        """Encode texts to ``[len(texts), width]``; batches hold texts of similar length and run on all cores."""
        from openvino import AsyncInferQueue

        rows = np.zeros((len(texts), self.get_embedding_dimension()), np.float32)

        def keep(request: Any, places: list[int]) -> None:
            rows[places] = request.get_output_tensor(0).data

        jobs = AsyncInferQueue(self._compiled)
        jobs.set_callback(keep)
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            jobs.start_async(_inputs(self._model, [texts[place] for place in places]), places)
        jobs.wait_all()
        return normalised(rows) if normalize_embeddings else rows


class _Traced(torch.nn.Module):
    """The encoder from tokens to vectors, with its input tensors as arguments sorted by name, as tracing requires."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._names = model, [name for name, _ in _named(model, ["a text"])]

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._model(dict(zip(self._names, tensors, strict=True)))["sentence_embedding"]
        return vectors


def _named(model: Any, texts: list[str]) -> list[tuple[str, torch.Tensor]]:
    inputs = model.preprocess(texts, prompt=model.prompts.get(model.default_prompt_name))
    return sorted((name, tensor) for name, tensor in inputs.items() if isinstance(tensor, torch.Tensor))


def _inputs(model: Any, texts: list[str]) -> list[NDArray[np.int64]]:
    return [tensor.numpy() for _, tensor in _named(model, texts)]


def _compile(model: Any) -> Any:
    # Disable the telemetry of both packages.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise UserError(
            f"precision int8 needs packages that are not installed: {error}",
            where="embed.precision",
            do="run `pip install -e '.[fast-embed]'`, or set it to float32",
            code="not-installed",
        ) from error
    nncf.set_log_level(logging.ERROR)
    # Tracing warns about every branch in transformers, and the compression draws its own progress bars.
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        example = tuple(tensor for _, tensor in _named(model, ["two texts", "of different lengths"]))
        try:
            graph = openvino.convert_model(_Traced(model).eval(), example_input=example)
        except RuntimeError as error:
            raise UserError(
                f"OpenVINO cannot convert the encoder: {str(error).splitlines()[0]}",
                where="embed.precision",
                do="set it to float32",
            ) from error
        graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
    return openvino.compile_model(
        graph,
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            # Everything else stays float32, even on processors with bfloat16, so that vectors agree on all machines.
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
        },
    )
