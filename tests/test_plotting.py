"""plot: the numbers that it draws."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

import keras_ste
from keras_ste import plot, quantizers
from keras_ste.estimators import ATan, ClippedIdentity, SwishSign, forwards, ste_round, surrogates
from keras_ste.optimization import plot_pareto
from keras_ste.quantizers import SteSign, XnorSign

X = np.linspace(-2, 2, 1001, dtype="float32")


def lines(figure):
    """The values and the gradients of what a figure shows, in order."""
    for axis in figure.axes:
        for line in axis.lines:
            np.testing.assert_allclose(line.get_xdata(), X, atol=1e-6)
    return [[line.get_ydata() for line in axis.lines] for axis in figure.axes]


def test_it_draws_the_values_and_the_gradient():
    values, gradients = lines(plot(SteSign()))
    np.testing.assert_array_equal(values, [np.where(X >= 0, 1, -1)])
    np.testing.assert_array_equal(gradients, [np.abs(X) <= 1])


def test_a_scale_is_that_of_all_the_values():
    values, gradients = lines(plot(XnorSign()))
    scale = np.abs(X).mean()
    np.testing.assert_allclose(values, [np.where(X >= 0, scale, -scale)], rtol=1e-5)
    np.testing.assert_allclose(gradients, [scale * (np.abs(X) <= 1) + 1 / X.size], rtol=1e-4)


@pytest.mark.parametrize(
    "name, forward",
    [
        ("swish_sign", np.vectorize(lambda x: 1 if x >= 0 else -1)),
        ("atan", np.vectorize(lambda x: float(x >= 0))),
        ("sso", np.vectorize(lambda x: float(x >= 0))),
        ("magnitude_aware", np.vectorize(lambda x: 1 if x >= 0 else -1)),
        ("dsq_round", np.round),
        ("ewgs", np.round),
    ],
)
def test_a_surrogate_is_drawn_with_what_it_was_published_for(name, forward):
    values, _ = lines(plot(surrogates.get(name)))
    np.testing.assert_array_equal(values[0], forward(X))


@pytest.mark.parametrize("surrogate", [SwishSign(), ATan(alpha=3.0), ClippedIdentity(0.5)])
def test_the_gradient_of_a_surrogate_is_its_derivative(surrogate):
    _, gradients = lines(plot(surrogate))
    np.testing.assert_allclose(gradients[0], surrogate(X).numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", surrogates.names())
def test_every_surrogate_can_be_drawn(name):
    for drawn in lines(plot(surrogates.get(name))):
        assert np.isfinite(drawn).all()


def test_several_are_compared_under_their_names():
    mine = lambda x: tf.nn.relu(x)
    figure = plot(["ste_sign", "reste", ste_round, ATan(alpha=3.0), SwishSign(), SteSign(), mine])
    names = ["ste_sign", "reste", "ste_round", "ATan(alpha=3.0)", "SwishSign(beta=5.0)", "ste_sign", "<lambda>"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
    values, gradients = lines(figure)
    assert len(values) == len(gradients) == 7
    np.testing.assert_array_equal(gradients[6], X > 0)
    labelled = plot(["atan", "atan"], labels=["a", "b"])
    assert [line.get_label() for line in labelled.axes[1].lines] == ["a", "b"]


def test_a_name_is_a_quantizers_before_it_is_a_surrogates():
    assert "approx_sign" in quantizers.names() and "approx_sign" in surrogates.names()
    _, gradients = lines(plot("approx_sign"))
    np.testing.assert_allclose(gradients[0], np.maximum(0, 2 - 2 * np.abs(X)), atol=1e-6)


def test_the_range_and_the_axes_are_ones_own():
    axes = Figure().subplots(1, 2)
    figure = plot(forwards.sign, low=0.0, high=1.0, points=3, axes=axes)
    assert figure is axes[0].figure
    assert axes[0].lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    # No gradient at all is one of 0.
    assert axes[1].lines[0].get_ydata().tolist() == [0.0, 0.0, 0.0]


def test_a_function_without_a_gradient_is_drawn_flat():
    _, gradients = lines(plot(lambda x: tf.stop_gradient(tf.round(x))))
    np.testing.assert_array_equal(gradients[0], np.zeros_like(X))


@pytest.mark.parametrize("name", quantizers.names())
def test_every_quantizer_can_be_drawn(name):
    for drawn in lines(plot(name)):
        assert len(drawn) == 1 and np.isfinite(drawn).all()


def test_a_figure_can_be_saved(tmp_path):
    plot("ste_sign").savefig(tmp_path / "sign.png")
    assert (tmp_path / "sign.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"functions": "foo"}, ValueError, "'foo' is neither a quantizer.*nor a surrogate"),
        ({"functions": 3}, TypeError, "3 of type int"),
        ({"functions": "atan", "low": 1.0, "high": 1.0}, ValueError, "greater high"),
        ({"functions": "atan", "points": 1}, ValueError, "at least two points"),
        ({"functions": "atan", "labels": ["a", "b"]}, ValueError, "2 labels for 1"),
        ({"functions": "atan", "axes": [None]}, ValueError, "two axes.*1"),
    ],
)
def test_errors_say_what_was_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        plot(**arguments)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    model = keras.Sequential([keras.Input((3,)), keras_ste.QuantDense(2, kernel_quantizer="ste_sign")])
    pictures = (
        lambda: plot("atan"),
        lambda: keras_ste.plot_codes(model),
        keras_ste.summary(model).plot,
        lambda: plot_pareto([]),
    )
    for draw in pictures:
        with pytest.raises(ImportError, match=r"keras_ste\[plot\]"):
            draw()


def test_the_package_is_imported_without_matplotlib():
    assert "plot" in dir(keras_ste)
    # None stands for a module that cannot be imported.
    code = (
        "import sys; sys.modules['matplotlib'] = None; import keras_ste; "
        "assert 'keras_ste.plotting' not in sys.modules; keras_ste.plot"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
