"""A sentence encoder in int8 on the CPU, by OpenVINO (`pip install -e '.[fast-embed]'`).

Weights are int8, one scale for each output channel; activations become int8 as they come, one scale for every
64 components. Nothing is calibrated, so the vectors depend on the encoder and the text alone.
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
from lecdsr.embed.cached import normalised

# Components of an activation that share a scale. With 32, OpenVINO's own choice, the mean cosine to float32 is
# .9993 in place of .9991, at seven eighths of the speed; with all of them .9975.
_GROUP = 64


class Int8Model:
    """What of a ``SentenceTransformer`` the encoder uses, its arithmetic in int8.

    Args:
        model: the encoder in float32; it is left as it is.

    Raises:
        UserError: the extra is not installed, or OpenVINO cannot convert the encoder.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._compiled = _compile(model)

    @property
    def max_seq_length(self) -> int | None:
        """Tokens that the encoder reads at once."""
        length: int | None = self._model.max_seq_length
        return length

    @property
    def tokenizer(self) -> Any:
        """The encoder's tokenizer."""
        return self._model.tokenizer

    def get_embedding_dimension(self) -> int:
        """Width of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(
        self, texts: Sequence[str], batch_size: int, normalize_embeddings: bool, show_progress_bar: bool = False
    ) -> NDArray[np.float32]:
        """``[len(texts), width]``; texts of like length share a batch, as many batches at once as there are cores."""
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
    """The encoder from tokens to vectors, its tensors as arguments in the order of their names: so tracing wants it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._names = model, [name for name, _ in _named(model, ["a text"])]

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._model(dict(zip(self._names, tensors, strict=True)))["sentence_embedding"]
        return vectors


def _named(model: Any, texts: list[str]) -> list[tuple[str, torch.Tensor]]:
    told = model.preprocess(texts, prompt=model.prompts.get(model.default_prompt_name))
    return sorted((name, tensor) for name, tensor in told.items() if isinstance(tensor, torch.Tensor))


def _inputs(model: Any, texts: list[str]) -> list[NDArray[np.int64]]:
    return [tensor.numpy() for _, tensor in _named(model, texts)]


def _compile(model: Any) -> Any:
    # Both packages report their use to their maker; without this module they do not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise UserError(
            f"int8 needs the extra `fast-embed`: {error}",
            where="embed.precision",
            do="pip install -e '.[fast-embed]', or set it to float32",
        ) from error
    nncf.set_log_level(logging.ERROR)
    # Tracing warns of every branch in transformers, and the compression draws its own bars.
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
            # What is not int8 stays float32, on processors with bfloat16 too: vectors are to be alike everywhere.
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
        },
    )
