"""The data that a conversion is checked with: arrays, dictionaries and lists of them, datasets and generators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH = 32


def batches(data: Any, inputs: Sequence[tf.TensorSpec], argument: str = "verify") -> Iterator[list[np.ndarray]]:
    """Batches of samples, each a list with one array for each input.

    Args:
      data: an array, a list of arrays in the order of the inputs or a dictionary by their names, which are
        cut into batches; or a `tf.data.Dataset` or an iterator of batches. A batch is such an array, list or
        dictionary, or a tuple that begins with one, as `fit` takes it: its labels are not looked at.
      inputs: the model's, named.
      argument: the name of the data in messages.

    Raises:
      TypeError, ValueError: the data does not fit the inputs, or has no samples.
    """
    nothing = True
    for batch in _each(data, inputs, argument):
        for array, spec in zip(batch, inputs, strict=True):
            if len(array) and spec.shape[0] not in (None, len(array)):
                raise ValueError(
                    f"{argument}: the input '{spec.name}' takes batches of {spec.shape[0]} samples, got {len(array)}"
                )
        if len(batch[0]):
            nothing = False
            yield batch
    if nothing:
        raise ValueError(f"{argument} has no samples")


def _each(data: Any, inputs: Sequence[tf.TensorSpec], argument: str) -> Iterator[list[np.ndarray]]:
    if not isinstance(data, tf.data.Dataset) and not hasattr(data, "__next__"):
        arrays = _arrays(data, inputs, argument)
        size = inputs[0].shape[0] or BATCH
        for start in range(0, len(arrays[0]), size):
            yield [array[start : start + size] for array in arrays]
        return
    for element in data:
        yield _arrays(element[0] if isinstance(element, tuple) else element, inputs, argument)


def _arrays(data: Any, inputs: Sequence[tf.TensorSpec], argument: str) -> list[np.ndarray]:
    """One array for each input, of its type."""
    names = [spec.name for spec in inputs]
    if isinstance(data, dict) and set(data) == set(names):
        given = [data[name] for name in names]
    elif isinstance(data, (dict, list, tuple)):
        given = keras.tree.flatten(data)
    else:
        given = [data]
    if len(given) != len(names):
        raise ValueError(f"{argument} has {len(given)} arrays, the model has {len(names)} inputs: {', '.join(names)}")
    arrays = [_array(value, spec, argument) for value, spec in zip(given, inputs, strict=True)]
    sizes = {len(array) for array in arrays}
    if len(sizes) > 1:
        raise ValueError(f"{argument} has different numbers of samples for the inputs: {[len(array) for array in arrays]}")
    return arrays


def _array(value: Any, spec: tf.TensorSpec, argument: str) -> np.ndarray:
    array = np.asarray(value)
    wanted = np.dtype(spec.dtype.as_numpy_dtype)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{argument} takes arrays of numbers, got {type(value).__name__} for the input '{spec.name}'")
    if array.ndim == 0 or not spec.shape[1:].is_compatible_with(array.shape[1:]):
        raise ValueError(f"{argument}: the input '{spec.name}' takes {spec.shape}, got an array of shape {array.shape}")
    converted = array.astype(wanted)
    if wanted.kind in "iub" and not np.array_equal(converted, array):
        raise ValueError(f"{argument}: the input '{spec.name}' takes {wanted.name}, which does not hold all values given")
    return converted
