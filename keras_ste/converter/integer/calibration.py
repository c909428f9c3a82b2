"""What a representative data set makes of every tensor of floats: the least and the greatest number."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.converter.graph import Model, Tensor, TensorType
from keras_ste.converter.passes.exact_shapes import exact_shapes
from keras_ste.converter.passes.pack_weights import pack_weights
from keras_ste.converter.samples import batches
from keras_ste.converter.writer import write_model


class _Runner:
    """The float file, whose tensors can be read after a run."""

    def __init__(self, content: bytes):
        from keras_ste.runtime.interpreter import Interpreter
        from keras_ste.runtime.native import litert

        self._interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=litert().OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._shapes: list[tuple[int, ...]] | None = None

    def run(self, arrays: Sequence[np.ndarray]) -> None:
        details = self._interpreter.get_input_details()
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            for detail, shape in zip(details, shapes, strict=True):
                self._interpreter.resize_tensor_input(detail["index"], shape, strict=True)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for detail, array in zip(details, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()

    def tensor(self, index: int) -> np.ndarray:
        return self._interpreter.get_tensor(index)


def calibrate(model: Model, data: Any, inputs: Sequence[tf.TensorSpec]) -> dict[Tensor, tuple[float, float]]:
    """Runs the model in float on the data.

    Args:
      model: the graph, before its weights are packed; it is not changed.
      data: the representative data set: samples as `samples.batches` takes them, or a function that gives them.
      inputs: the model's.

    Returns:
      The least and the greatest number of every tensor of floats that is computed.

    Raises:
      TypeError, ValueError: the data do not fit the inputs, there are none, or they lead to a NaN or an infinite
        number.
    """
    data = getattr(data, "input_gen", data)  # a tf.lite.RepresentativeDataset
    wanted = [t for t in model.graphs[0].tensors() if t.type == TensorType.FLOAT32 and not t.constant]
    copied, twins = copy.deepcopy((model, wanted))
    for graph in copied.graphs:
        # No other pass: every tensor stays to be looked at.
        exact_shapes(graph)
        pack_weights(graph)
    index_of = {tensor: index for index, tensor in enumerate(copied.graphs[0].tensors())}
    (signature,) = model.signatures
    positions = [[spec.name for spec in inputs].index(name) for name in signature.inputs]
    runner = _Runner(write_model(copied))
    lows = np.full(len(wanted), np.inf)
    highs = np.full(len(wanted), -np.inf)
    for batch in batches(data() if callable(data) else data, inputs, "representative_dataset"):
        runner.run([batch[position] for position in positions])
        for i, twin in enumerate(twins):
            values = runner.tensor(index_of[twin])
            if values.size:
                lows[i], highs[i] = np.minimum(lows[i], values.min()), np.maximum(highs[i], values.max())
    _check(wanted, lows, highs)
    return {t: (float(low), float(high)) for t, low, high in zip(wanted, lows, highs, strict=True)}


def _check(tensors: Sequence[Tensor], lows: np.ndarray, highs: np.ndarray) -> None:
    for tensor, low, high in zip(tensors, lows, highs, strict=True):
        if not np.isfinite([low, high]).all():
            raise ValueError(f"on the representative data the tensor '{tensor.name}' has a NaN or an infinite number")
