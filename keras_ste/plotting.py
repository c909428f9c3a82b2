"""`plot`: the picture of an estimator, a quantizer or a surrogate. It needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste import quantizers
from keras_ste.estimators import forwards, straight_through, surrogates


def plot(
    functions: Any,
    low: float = -2.0,
    high: float = 2.0,
    points: int = 1001,
    axes: Sequence[Any] | None = None,
    labels: Sequence[str] | None = None,
) -> Any:
    """Draws what functions compute, and beside it the gradient they train with.

    Args:
        functions: one, or a list of them to compare. Each is a quantizer, an estimator or any other
            function of a float tensor that has a gradient, or a surrogate; or the name of a
            quantizer or surrogate, in this order. A surrogate is drawn with what it was published
            for: the sign, the step from 0 to 1, or rounding. All values are given to a function at
            once, as one channel: a scale computed from its input is that of these values.
        low: where the drawing begins.
        high: where it ends.
        points: how many values are computed in between, the ends included.
        axes: two axes of matplotlib to draw into, for the values and the gradient; by default those
            of a new figure.
        labels: a name for each function; by default its own.

    Returns:
        The `matplotlib.figure.Figure` it is drawn in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: `low` is not less than `high`; fewer than two points; not two axes; not a label
            for each function; or a name that is neither a quantizer's nor a surrogate's.
        TypeError: something that cannot be called.

    >>> figure = plot(["approx_sign", "ste_sign"], low=-1.0, high=1.0, points=5)
    >>> [line.get_ydata().tolist() for line in figure.axes[1].lines]
    [[0.0, 1.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    if not low < high or points < 2:
        raise ValueError(
            "plot draws at least two points from low to a greater high. "
            f"Received: low={low!r}, high={high!r}, points={points!r}."
        )
    functions = list(functions) if isinstance(functions, (list, tuple)) else [functions]
    if labels is None:
        labels = [_label(function) for function in functions]
    if len(labels) != len(functions):
        raise ValueError(
            f"plot needs a label for each function. Received: {len(labels)} labels for {len(functions)}."
        )
    drawn = [_function(function) for function in functions]
    if axes is None:
        axes = new_figure(figsize=(9, 3.5)).subplots(1, 2)
    if len(axes) != 2:
        raise ValueError(f"plot draws into two axes. Received: {len(axes)}.")

    x = np.linspace(low, high, points, dtype="float32")
    for function, label in zip(drawn, labels, strict=True):
        values, gradient = _values_and_gradient(function, x)
        # Steps, so that no slope is drawn where a value jumps.
        axes[0].plot(x, values, label=label, drawstyle="steps-mid")
        axes[1].plot(x, gradient, label=label)
    axes[0].set_title("forward")
    axes[1].set_title("gradient")
    for axis in axes:
        axis.set_xlabel("x")
        axis.grid(alpha=0.3)
    axes[0].legend()
    return axes[0].figure


def _values_and_gradient(function, x):
    # One channel: with a scale for each, every value would be its own scale.
    column = tf.constant(x[:, None])
    with tf.GradientTape() as tape:
        tape.watch(column)
        y = tf.convert_to_tensor(function(column))
    gradient = tape.gradient(y, column, unconnected_gradients="zero")
    return y.numpy()[:, 0], gradient.numpy()[:, 0]


def _function(identifier):
    """The function that is drawn for one of the arguments of `plot`."""
    if isinstance(identifier, str):
        identifier = _by_name(identifier)
    if isinstance(identifier, surrogates.Surrogate):
        return straight_through(_forward(identifier), identifier)
    if not callable(identifier):
        raise TypeError(
            "plot draws quantizers, estimators, surrogates and other functions. "
            f"Received: {identifier!r} of type {type(identifier).__name__}."
        )
    return identifier


def _by_name(name: str) -> Callable:
    for find in (quantizers.get, surrogates.get):
        try:
            return find(name)
        except ValueError:
            continue
    raise ValueError(
        f"{name!r} is neither a quantizer ({', '.join(quantizers.names())}) nor a surrogate "
        f"({', '.join(surrogates.names())})."
    )


def _forward(surrogate):
    """What the surrogate was published for: the sign, the step, or rounding."""
    jump = getattr(surrogate, "jump", None)
    if jump == 2 or isinstance(surrogate, surrogates.MagnitudeAware):
        return forwards.sign
    # Rounding has jumps of 1 too, but at other places.
    step = jump == 1 and not isinstance(surrogate, surrogates.DSQRound)
    if step or isinstance(surrogate, surrogates.StochasticSpikeOperator):
        return forwards.heaviside
    return forwards.round_half_even


def _label(function):
    if isinstance(function, str):
        return function
    if isinstance(function, surrogates.Surrogate):
        return repr(function).replace(", normalize=None", "").replace("(normalize=None)", "")
    if isinstance(function, quantizers.Quantizer):
        return function.name
    return getattr(function, "__name__", None) or type(function).__name__


def new_figure(**options: Any) -> Any:
    """A `matplotlib.figure.Figure` with these options.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: pip install 'keras_ste[plot]'") from error
    # Not by pyplot, which keeps every figure it makes.
    return Figure(layout="constrained", **options)


def plot_codes(model: Any) -> Any:
    """Draws how often each integer code occurs in each quantized weight of a model.

    Args:
        model: a built Keras model.

    Returns:
        A matplotlib `Figure` with one histogram for each weight, under the path of its variable.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: the model has no weight with a quantizer that has codes.

    >>> import keras
    >>> from keras_ste import QuantDense
    >>> model = keras.Sequential([keras.Input((3,)), QuantDense(2, kernel_quantizer="ste_sign")])
    >>> len(plot_codes(model).axes)
    1
    """
    from keras_ste.training.monitor import code_histogram, weight_quantizers

    weights = weight_quantizers(model)
    if not weights:
        raise ValueError(f"Model '{model.name}' has no weight with a quantizer that has codes.")
    columns = min(3, len(weights))
    rows = -(-len(weights) // columns)
    figure = new_figure(figsize=(3.5 * columns, 2.5 * rows))
    for i, (path, (quantizer, variable)) in enumerate(weights.items()):
        histogram = code_histogram(quantizer, variable)
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.bar(list(histogram), list(histogram.values()))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(title=path, xlabel="code", ylabel="weights")
    return figure
