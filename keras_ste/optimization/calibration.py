"""Calibration: learned steps that start from data, so that a quantized model computes nearly what it was made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.optimization.observing import batches, quantized_layers, quantizers_off
from keras_ste.quantizers import Lsq
from keras_ste.quantizers.learned import SMALLEST_STEP
from keras_ste.training import Gradual

METHODS = ("min_max", "percentile", "mse", "lsq")
# How many values of the inputs of a quantizer are looked at.
_SAMPLE = 2**16
# Steps that are tried for the least squared error, as parts of the one that clips nothing.
_PARTS = np.linspace(0.02, 1.0, 99)


def calibrate(
    model: keras.Model,
    data: Any,
    *,
    inputs: str = "mse",
    weights: str = "mse",
    percentile: float = 99.99,
    batch_size: int = 32,
    verbose: int | str = "auto",
) -> dict[str, np.ndarray]:
    """Sets the learned steps (`Lsq`) of a quantized model from its weights and from data.

    What enters each quantizer is looked at while the model computes in float. Steps of weights are found without
    data. Scales that are computed from what is quantized need no calibration, and are left alone.

    Args:
        model: a built model with quantized layers, as of `quantize_model`.
        data: its inputs: arrays in the structure of the model's inputs, or a `tf.data.Dataset` of batches (of inputs,
            or of tuples of which the first is taken). Some hundred examples are usually enough.
        inputs: how the step of an input is found. `"min_max"`: nothing is clipped. `"percentile"`: so many per cent
            of the |x| are not. `"mse"`: the least squared error of 99 steps that are tried. `"lsq"`: 2 mean|x| / √h,
            as LSQ starts (arXiv:1902.08153), h the greatest code.
        weights: the same for weights; `None` leaves them alone.
        percentile: the per cent of `"percentile"`.
        batch_size: for arrays.
        verbose: whether there is a progress bar: 0, 1 or 2 as of `fit`, `"auto"` is 1.

    Returns:
        The steps that were set, by the path of the layer and the name of the quantizer's argument.

    Raises:
        ValueError: an unknown method, a percentile outside of (0, 100], or no examples.

    >>> from keras_ste.optimization import quantize_model
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="net")
    >>> steps = calibrate(quantize_model(model, "lsq(4, 4)"), np.ones((8, 4)), inputs="min_max", verbose=0)
    >>> {name: step.tolist() for name, step in steps.items()}
    {'net/dense/input_quantizer': 0.007874015718698502}
    """
    for argument, method in (("inputs", inputs), ("weights", weights)):
        if method not in METHODS and not (method is None and argument == "weights"):
            raise ValueError(f"calibrate's {argument} must be one of {', '.join(METHODS)}. Received: {method!r}.")
    if not 0 < percentile <= 100:
        raise ValueError(f"calibrate's percentile must be above 0 and up to 100. Received: {percentile!r}.")
    found = {}
    if weights is not None:
        for layer in quantized_layers(model):
            for argument in layer.quantized_weights:
                quantizer = stepped(getattr(layer, argument))
                if quantizer is not None:
                    values = _rows(np.asarray(layer._weight(argument)), quantizer.scale_axis)
                    found[f"{_name(layer)}/{argument}"] = _set(quantizer, values, weights, percentile)
    for (layer, argument), values in _samples(model, data, inputs, batch_size, verbose).items():
        quantizer = stepped(getattr(layer, argument))
        found[f"{_name(layer)}/{argument}"] = _set(quantizer, values, inputs, percentile)
    return found


def stepped(quantizer: Any) -> Lsq | None:
    """The quantizer, or the one blended in by it, if its step is learned; else `None`."""
    while isinstance(quantizer, Gradual):
        quantizer = quantizer.quantizer
    return quantizer if isinstance(quantizer, Lsq) else None


def step_of(
    values: np.ndarray, low: int, high: int, method: str = "mse", percentile: float = 99.99
) -> np.ndarray:
    """The step for each row of values.

    Args:
        values: of shape `(rows, n)`.
        low, high: the least and the greatest code.
        method, percentile: as for `calibrate`.

    >>> step_of(np.array([[-1.0, 0.5, 2.0]]), -8, 7, "min_max").tolist()
    [0.2857142857142857]
    """
    if method == "lsq":
        return 2 * np.abs(values).mean(1) / high**0.5
    if method == "percentile":
        return np.percentile(np.abs(values) if low else np.maximum(values, 0), percentile, axis=1) / high
    widest = np.maximum(values.max(1), 0) / high
    if low:
        widest = np.maximum(widest, values.min(1) / low)
    if method == "min_max":
        return widest
    best, least = widest.copy(), np.full(len(values), np.inf)
    for part in _PARTS:
        step = np.maximum(part * widest, SMALLEST_STEP)[:, np.newaxis]
        error = np.square(np.clip(np.rint(values / step), low, high) * step - values).mean(1)
        better = error < least
        best[better], least[better] = step[better, 0], error[better]
    return best


def _set(quantizer, values, method, percentile):
    step = step_of(values.astype(np.float64), quantizer.low, quantizer.high, method, percentile)
    # Where all values are 0, any step will do: the one it has.
    step = np.where(step > 0, step, np.broadcast_to(quantizer.step.numpy().reshape(-1), step.shape))
    quantizer.step.assign(np.maximum(step, SMALLEST_STEP).reshape(quantizer.step.shape))
    quantizer.initialized.assign(1.0)
    return quantizer.step.numpy()


def _rows(x, scale_axis):
    """Of values with a scale for each index of an axis, a row for each; else one row."""
    return x.reshape(1, -1) if scale_axis is None else np.moveaxis(x, scale_axis, 0).reshape(x.shape[scale_axis], -1)


def _samples(model, data, method, batch_size, verbose):
    """By layer and argument: rows of values that enter the quantizer, for `"min_max"` the extreme ones of all."""
    parts: dict[tuple[Any, str], list[np.ndarray]] = {}
    rng = np.random.default_rng(0)
    inputs, count = batches(data, batch_size)
    share = _SAMPLE // max(count or 32, 1)

    def see(layer, argument, x):
        quantizer = stepped(getattr(layer, argument))
        if quantizer is None:
            return
        rows = _rows(x.numpy(), quantizer.scale_axis)
        size = max(share // len(rows), 1)
        if method == "min_max":
            rows = np.stack([rows.min(1), rows.max(1)], 1)
        elif rows.shape[1] > size:
            rows = rows[:, rng.integers(rows.shape[1], size=size)]
        parts.setdefault((layer, argument), []).append(rows)

    bar = keras.utils.Progbar(count, verbose=1 if verbose == "auto" else verbose, unit_name="batch")
    with quantizers_off(model, see):
        for batch in inputs:
            model(keras.tree.map_structure(tf.convert_to_tensor, batch), training=False)
            bar.add(1)
    return {key: np.concatenate(values, 1) for key, values in parts.items()}


def _name(layer):
    return layer.path or layer.name
