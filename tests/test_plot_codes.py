"""plot_codes: the bars are the counts of the codes."""

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import keras_ste


def test_the_bars_are_the_counts_of_the_codes():
    layers = [
        keras_ste.QuantConv2D(4, 3, kernel_quantizer="ste_sign", name="conv"),
        keras.layers.Flatten(),
        keras_ste.QuantDense(2, kernel_quantizer="xnor_sign", name="dense"),
        keras.layers.Dense(2, name="float"),
    ]
    model = keras.Sequential([keras.Input((5, 5, 2)), *layers], name="net")
    figure = keras_ste.plot_codes(model)
    assert isinstance(figure, Figure) and len(figure.axes) == 2
    for axes, layer in zip(figure.axes, (layers[0], layers[2]), strict=True):
        assert axes.get_title() == layer.kernel.path
        positive = int((np.asarray(layer.kernel) >= 0).sum())
        bars = {round(b.get_x() + b.get_width() / 2): int(b.get_height()) for b in axes.patches}
        wanted = {0: np.asarray(layer.kernel).size - positive, 1: positive}
        assert bars == {code: count for code, count in wanted.items() if count}


def test_a_float_model_has_no_codes():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match="'plain' has no weight"):
        keras_ste.plot_codes(model)
