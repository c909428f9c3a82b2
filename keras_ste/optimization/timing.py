"""What each layer of a model takes with weights of each width, measured, as a cost to allocate widths by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

import keras_ste
from keras_ste.optimization import schemes
from keras_ste.optimization.observing import products
from keras_ste.optimization.quantize import quantize_model
from keras_ste.optimization.schemes import Scheme


def measured_times(
    model: keras.Model,
    widths: Sequence[int] = (2, 3, 4, 6, 8),
    inputs: int = 8,
    measure: Callable[[bytes], Mapping[str, float]] | None = None,
) -> dict[str, dict[int, float]]:
    """What each layer takes with weights of each width: a `cost` for `allocate` and `pareto_front`.

    For each width the whole model is quantized in `lsq` of it, converted and timed, op by op. What a layer takes is
    what its ops do, the one that makes its input's codes included.

    Args:
        model: a Keras 3 model whose layers have names of their own.
        widths: the bits of weights to try, those of `sensitivity`.
        inputs: the bits of the inputs.
        measure: runs a `.tflite` file on the target, and says what the layers take, by the names that
            `keras_ste.inspect` has of them: seconds, cycles, whatever the budget will be in. By default microseconds of
            `keras_ste.benchmark` on this machine, in one thread.

    Raises:
        ValueError: no widths, two layers of one name, a layer that was not timed; and as by `quantize_model` and
            `keras_ste.convert`.

    >>> model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(64, name="a"), keras.layers.Dense(8, name="b")])
    >>> times = measured_times(model, widths=(4, 8))
    >>> {name: list(row) for name, row in times.items()}
    {'a': [4, 8], 'b': [4, 8]}
    """
    if not widths:
        raise ValueError("measured_times needs a width at least.")
    found: dict[str, dict[int, float]] = {}
    for width in widths:
        each = schemes.lsq(width, inputs).default
        quantized = quantize_model(model, Scheme("width", each, first=each, last=each, embeddings=None))
        found_layers = products(quantized)
        layers = {layer.name: layer.path or layer.name for layer in found_layers}
        if len(layers) != len(found_layers):
            raise ValueError(f"measured_times tells layers by their names, which have to differ. Received: {list(layers)}.")
        times = (measure or _on_this_machine)(keras_ste.convert(quantized, strict=True).model_content)
        missing = [path for path in layers.values() if path not in times]
        if missing:
            raise ValueError(f"These layers were not timed: {missing}. Known are: {list(times)}.")
        for name, path in layers.items():
            found.setdefault(name, {})[width] = float(times[path])
    return found


def _on_this_machine(content: bytes) -> dict[str, float]:
    times: dict[str, float] = {}
    for op in keras_ste.benchmark(content).ops:
        if op.row.layer is not None and op.measured_us is not None:
            times[op.row.layer] = times.get(op.row.layer, 0.0) + op.measured_us
    return times
