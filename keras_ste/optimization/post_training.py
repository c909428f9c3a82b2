"""Quantization without training: calibrated steps, corrected biases, weights rounded for their layer."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.convolution import SeparableConvolution
from keras_ste.optimization import schemes
from keras_ste.optimization.calibration import calibrate, stepped
from keras_ste.optimization.observing import examples, products, quantizers_off, replaced
from keras_ste.optimization.quantize import quantize_model


def post_training_quantize(
    model: keras.Model,
    data: Any,
    scheme: Any = "w4a8",
    *,
    inputs: str = "mse",
    weights: str = "mse",
    bias_correction: bool = False,
    adaround: bool | int = False,
    samples: int = 256,
    verbose: int | str = "auto",
    **options: Any,
) -> keras.Model:
    """A quantized copy of a trained model that needs no training: for 4 to 8 bits.

    `quantize_model` with batch normalization folded, `calibrate`, and on request `round_adaptively` and
    `correct_bias`.

    Args:
        model: a trained Keras 3 model.
        data: inputs as it was trained with, as for `calibrate`.
        scheme: as for `quantize_model`.
        inputs, weights, verbose: as for `calibrate`.
        bias_correction: whether biases take up the mean error of each output channel.
        adaround: whether weights are rounded up or down by what is best for the layer's result, or the number of
            steps for each layer.
        samples: how many examples these two look at.
        **options: as of `quantize_model`.

    Raises:
        ValueError, TypeError: as by `quantize_model` and `calibrate`.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> quantized = post_training_quantize(model, x, "w4a8", bias_correction=True, verbose=0)
    >>> bool(np.abs(quantized(x) - model(x)).max() < 0.3)
    True
    """
    scheme = schemes.get(scheme).replace(fold_batch_norm=True)
    quantized = quantize_model(model, scheme, **options)
    calibrate(quantized, data, inputs=inputs, weights=weights, verbose=verbose)
    float_weights = quantized.get_weights()
    if adaround:
        steps = {} if adaround is True else {"steps": int(adaround)}
        round_adaptively(quantized, data, samples=samples, verbose=verbose, **steps)
    if bias_correction:
        correct_bias(quantized, data, samples=samples, float_weights=float_weights)
    return quantized


def correct_bias(
    model: keras.Model, data: Any, samples: int = 256, float_weights: list[np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Adds to each bias what quantization takes from the mean of its output channel.

    Layer by layer, in the order in which they are run, each with what the corrected layers before it give: M. Nagel
    et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, arXiv:1906.04721, section 4.2
    and appendix D, with means from data. Layers without a bias (folded ones without a beta) are left alone.

    Args:
        model: a calibrated quantized model.
        data: its inputs, as for `calibrate`.
        samples: how many examples the means are of.
        float_weights: what `model.get_weights()` gave before its weights were rounded (`round_adaptively`); without it,
            the float network is the one with the weights that the model has now.

    Returns:
        What was added, by the path of the layer.

    >>> from keras_ste.optimization import quantize_model
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")], name="net")
    >>> quantized, x = quantize_model(model, "int8"), np.ones((8, 4), "float32")
    >>> sorted(correct_bias(quantized, x)), bool(np.allclose(quantized(x), model(x), atol=1e-6))
    (['net/dense'], True)
    """
    batch = keras.tree.map_structure(tf.convert_to_tensor, examples(data, samples))
    layers = [layer for layer in products(model) if _bias_of(layer) is not None]
    means: dict[Any, tf.Tensor] = {}
    added = {}

    def remember(layer, compute):
        def call(inputs, training):
            outputs = compute(inputs, training)
            # Of a layer that is used twice, the first time counts.
            means.setdefault(layer, _means(layer, outputs))
            return outputs

        return call

    def correct(layer, compute):
        def call(inputs, training):
            if _name(layer) not in added:
                difference = means[layer] - _means(layer, compute(inputs, training))
                _bias_of(layer).assign_add(difference)
                added[_name(layer)] = difference.numpy()
            return compute(inputs, training)

        return call

    with _with_weights(model, float_weights), quantizers_off(model), replaced(layers, "_compute", remember):
        model(batch, training=False)
    with replaced(layers, "_compute", correct):
        model(batch, training=False)
    return added


@contextlib.contextmanager
def _with_weights(model, weights):
    """Within it, the model has these weights, where there are some."""
    own = model.get_weights()
    model.set_weights(own if weights is None else weights)
    try:
        yield
    finally:
        model.set_weights(own)


def _bias_of(layer):
    """The variable that is added to the product of a layer, or `None`."""
    return layer.beta if isinstance(layer, BatchNormFolding) else layer.bias


def _means(layer, outputs):
    """The mean of what a bias is added to, in the bias's shape."""
    shape = _bias_of(layer).shape
    if getattr(layer, "data_format", None) == "channels_first":
        outputs = tf.experimental.numpy.moveaxis(outputs, 1, -1)
    lead = outputs.shape.rank - len(shape)
    summed = [*range(lead), *(lead + axis for axis, size in enumerate(shape) if size == 1)]
    return tf.reshape(tf.reduce_mean(outputs, summed), shape)


def round_adaptively(
    model: keras.Model,
    data: Any,
    *,
    steps: int = 1000,
    samples: int = 256,
    batch_size: int = 32,
    learning_rate: float = 2e-2,
    strength: float = 1.0,
    seed: int = 0,
    verbose: int | str = "auto",
) -> dict[str, float]:
    """AdaRound: rounds each weight up or down by what is best for the result of its layer.

    For each layer in turn, with h(V) between 0 and 1 for each weight, it minimizes

        |f(W x) - f(s · clip(⌊W/s⌋ + h(V)) x̂)|² / E + λ mean(1 - |2 h(V) - 1|^β)

    where x are the inputs of the layer in the float network, x̂ those that the layers before it give once they are
    quantized and rounded, f is the layer's activation, β falls from 20 to 2, and E is what the first term is with
    weights rounded to the nearest (the paper has no E and a sum in place of the mean, so that its λ goes with the size
    of layer and result): M. Nagel et al., *Up or Down? Adaptive Rounding for Post-Training Quantization*,
    arXiv:2004.10568. Where that is not better than to the nearest, weights are rounded to the nearest. They
    become multiples of their steps, so that quantizing them changes nothing.

    Only kernels with learned steps (`Lsq`) are rounded: where a scale is computed from the weights, it would move with
    them. Separable convolutions, with two kernels, are left alone.

    Args:
        model: a calibrated quantized model.
        data: its inputs, as for `calibrate`.
        steps: of the optimizer (Adam) for each layer.
        samples: how many examples are looked at.
        batch_size: how many of them each step takes.
        learning_rate: of Adam.
        strength: λ.
        seed: of the choice of batches.
        verbose: whether there is a progress bar, as for `calibrate`.

    Returns:
        By the path of the layer, the share of its weights that are not rounded to the nearest.

    Raises:
        ValueError: no kernel of the model has a learned step.
    """
    layers = [layer for layer in products(model) if _rounds(layer)]
    if not layers:
        raise ValueError("round_adaptively needs kernels with learned steps, as of the schemes lsq and w4a8.")
    batch = keras.tree.map_structure(tf.convert_to_tensor, examples(data, samples))
    rng = np.random.default_rng(seed)
    bar = keras.utils.Progbar(len(layers), verbose=1 if verbose == "auto" else verbose, unit_name="layer")
    moved = {}
    # The layers before are rounded by then: without these, the target would be what their rounded weights give.
    float_weights = model.get_weights()
    for layer in _in_running_order(model, layers, batch):
        with _with_weights(model, float_weights), quantizers_off(model):
            _, target = _first_call(model, layer, batch)
        x, _ = _first_call(model, layer, batch)
        moved[_name(layer)] = _round_layer(layer, x, target, rng, steps, batch_size, learning_rate, strength)
        bar.add(1)
    return moved


def _rounds(layer):
    if isinstance(layer, SeparableConvolution):
        return False
    (argument,) = layer.quantized_weights
    return stepped(getattr(layer, argument)) is getattr(layer, argument) is not None


def _in_running_order(model, layers, batch):
    """The layers that are run, in that order."""
    order = []

    def note(layer, compute):
        def call(inputs, training):
            if layer not in order:
                order.append(layer)
            return compute(inputs, training)

        return call

    with replaced(layers, "_compute", note):
        model(batch, training=False)
    return order


class _Found(Exception):
    """Ends a run of the model at a layer."""


def _first_call(model, layer, batch):
    """What a layer gets, and what it makes of it, the first time that it is called."""
    found = []

    def catch(_, compute):
        def call(inputs, training):
            found.extend((inputs, compute(inputs, training)))
            raise _Found

        return call

    try:
        with replaced([layer], "_compute", catch):
            model(batch, training=False)
    except _Found:
        pass
    return found


# h(V) is a sigmoid stretched beyond 0 and 1, and clipped there.
_STRETCH = 1.2
_BETAS = (20.0, 2.0)
# Without the regularizer at first.
_WARM_UP = 0.2
# Below it, there is nothing to be made better.
_LEAST_ERROR = 1e-12


def _round_layer(layer, x, target, rng, steps, batch_size, learning_rate, strength):
    """Rounds the kernel of one layer; returns the share of weights not rounded to the nearest."""
    (argument,) = layer.quantized_weights
    quantizer = getattr(layer, argument)
    kernel = tf.convert_to_tensor(layer._weight(argument))
    step = tf.convert_to_tensor(quantizer.step)
    floor = tf.floor(kernel / step)
    fraction = tf.clip_by_value(kernel / step - floor, 0.01, 0.99)
    start = (fraction + (_STRETCH - 1) / 2) / _STRETCH
    v = tf.Variable(tf.math.log(start / (1 - start)))
    optimizer = keras.optimizers.Adam(learning_rate)
    activation = layer.activation or keras.activations.linear
    target = activation(target)

    def up():
        return tf.clip_by_value(tf.sigmoid(v) * _STRETCH - (_STRETCH - 1) / 2, 0.0, 1.0)

    def integers(h):
        return tf.clip_by_value(floor + h, float(quantizer.low), float(quantizer.high))

    def with_these_weights(_, factors):
        def call(name, value, training):
            return (weights[-1], step) if name == argument else factors(name, value, training)

        return call

    def error(values, chosen=None):
        """The squared error of the layer's result with these integers, on the chosen examples."""
        inputs, wanted = (x, target) if chosen is None else (tf.gather(x, chosen), tf.gather(target, chosen))
        weights.append(values)
        squares = tf.square(activation(layer._compute(inputs, False)) - wanted)
        weights.pop()
        return tf.reduce_mean(squares)

    @tf.function
    def gradient(chosen, beta, weight, unit):
        with tf.GradientTape() as tape:
            loss = error(integers(up()), chosen) / unit
            loss += weight * tf.reduce_mean(1 - tf.pow(tf.abs(2 * up() - 1), beta))
        return tape.gradient(loss, v)

    # What stands for the integers of the weight.
    weights: list[tf.Tensor] = []
    nearest = integers(tf.cast(kernel / step - floor > 0.5, tf.float32))
    with replaced([layer], "_factors", with_these_weights):
        of_nearest = error(nearest)
        for number in range(steps):
            chosen = rng.integers(len(x), size=min(batch_size, len(x)))
            done = max(number / steps - _WARM_UP, 0) / (1 - _WARM_UP)
            beta = _BETAS[1] + (_BETAS[0] - _BETAS[1]) * 0.5 * (1 + np.cos(done * np.pi))
            weight = strength if number >= _WARM_UP * steps else 0.0
            numbers = (tf.constant(number, tf.float32) for number in (beta, weight))
            optimizer.apply([gradient(tf.constant(chosen), *numbers, tf.maximum(of_nearest, _LEAST_ERROR))], [v])
        found = integers(tf.cast(up() > 0.5, tf.float32))
        if error(found) >= of_nearest:
            found = nearest
    _assign(layer, found * step)
    return float(np.mean(found != nearest))


def _assign(layer, values):
    """Makes the weight that is quantized these values; of a folded kernel, by what is folded."""
    if isinstance(layer, BatchNormFolding):
        gain = layer._gain(layer._moving_statistics()[1])
        outputs = {axis % len(values.shape) for axis in layer.output_axes}
        gain = tf.reshape(gain, [size if axis in outputs else 1 for axis, size in enumerate(values.shape)])
        values = tf.math.divide_no_nan(values, gain)
    layer.kernel.assign(values)


def _name(layer):
    return layer.path or layer.name
