"""Running a quantized model so that something can be seen, or done, at each of its quantizers and products."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.layers.common import ProductLayer, QuantizedLayer
from keras_ste.layers.tree import layers_within


def batches(data: Any, batch_size: int) -> tuple[list[Any] | tf.data.Dataset, int | None]:
    """Batches of inputs, and their number where it is known.

    Args:
        data: arrays, alone or in the structure of the model's inputs; or a `tf.data.Dataset` of batches, of inputs
            alone or in tuples with targets, which are left out.
        batch_size: for arrays.

    Raises:
        ValueError: there are no examples, or not as many of all arrays.
    """
    if isinstance(data, tf.data.Dataset):
        count = int(data.cardinality().numpy())
        inputs = data.map(lambda *batch: batch[0]) if isinstance(data.element_spec, tuple) else data
        return inputs, count if count >= 0 else None
    sizes = {len(array) for array in keras.tree.flatten(data)}
    if len(sizes) != 1 or not min(sizes):
        raise ValueError(f"Calibration takes arrays of equally many examples. Received numbers of: {sorted(sizes)}.")
    (size,) = sizes
    starts = range(0, size, batch_size)
    slices = [keras.tree.map_structure(lambda x, i=i: np.asarray(x[i : i + batch_size]), data) for i in starts]
    return slices, len(slices)


def examples(data: Any, count: int) -> Any:
    """The first so many examples, as one batch."""
    inputs, _ = batches(data, count)
    parts, found = [], 0
    for batch in inputs:
        parts.append(batch)
        found += len(keras.tree.flatten(batch)[0])
        if found >= count:
            break
    return keras.tree.map_structure(lambda *arrays: np.concatenate([np.asarray(a) for a in arrays])[:count], *parts)


def quantized_layers(model: keras.Model) -> list[QuantizedLayer]:
    """The quantized layers of a model, nested ones too, each once."""
    return [layer for layer in layers_within(model) if isinstance(layer, QuantizedLayer)]


@contextlib.contextmanager
def replaced(layers: list[Any], name: str, make: Callable[[Any, Callable], Callable]) -> Iterator[None]:
    """Within it, a method of each layer is what `make(layer, method)` returns."""
    for layer in layers:
        # Not by Keras, which would look whether there is something to track.
        object.__setattr__(layer, name, make(layer, getattr(layer, name)))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, name)


def quantizers_off(
    model: keras.Model, see: Callable[[Any, str, tf.Tensor], None] | None = None, but: Any = None
) -> contextlib.AbstractContextManager[None]:
    """Within it, the model computes in float when it is called.

    Args:
        model: the model.
        see: is called with a layer, the name of its quantizer's argument and what that would quantize.
        but: the layer that goes on quantizing.
    """

    def make(layer, _):
        def factors(argument, x, training):
            if see is not None and argument in layer.quantized_tensors:
                see(layer, argument, x)
            return x, None

        return factors

    return replaced([layer for layer in quantized_layers(model) if layer is not but], "_factors", make)


def products(model: keras.Model) -> list[ProductLayer]:
    """The layers that compute one product, or two of a separable convolution."""
    return [layer for layer in quantized_layers(model) if isinstance(layer, ProductLayer)]
