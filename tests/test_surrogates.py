"""Every registered surrogate: closed form, area, peak, config, every way to run it, its row in the docs.

The tests go over the registry. A surrogate without an entry in CLOSED_FORMS fails.
"""

import functools
import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste.estimators import forwards, schedules, straight_through, surrogates
from keras_ste.estimators.surrogates import EDE, EWGS, ClippedIdentity, Tanh

NAMES = surrogates.names()
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "jit": functools.partial(tf.function, jit_compile=True),
}
DOCS = pathlib.Path(__file__).parents[1] / "docs" / "surrogates.md"


def cosines(x, terms, period, height):
    return height / period * sum(np.cos((2 * i + 1) * 2 * np.pi * x / period) for i in range(terms))


def reste(x, o, t, m):
    size = np.abs(x)
    slope = np.where(size <= m, m ** (1 / o) / m, np.maximum(size, m) ** ((1 - o) / o) / o)
    return np.where(size <= t, slope, 0)


def logistic(z):
    return 0.5 * (1 + np.tanh(z / 2))


def sech2(z):
    return 1 / np.cosh(np.clip(z, -300, 300)) ** 2


def swish(x, beta):
    z = np.clip(beta * x, -300, 300)
    return beta * (2 - z * np.tanh(z / 2)) / (1 + np.cosh(z))


def dsq(x, alpha):
    k, s = math.atanh(1 - alpha), 1 / (1 - alpha)
    return np.where(np.abs(x) <= 1, s * k * sech2(k * x), 0)


def dsq_round(x, alpha):
    k, s = 2 * math.atanh(1 - alpha), 1 / (1 - alpha)
    return s * k / 2 * sech2(k * (np.mod(x, 1.0) - 0.5))


# name: (derivative in float64, written without looking at the package's; kinks or jumps of it; the
# arguments it is tested with besides the defaults).
CLOSED_FORMS = {
    "approx_sign": (lambda x: np.where(abs(x) < 1, 2 - 2 * abs(x), 0), [-1, 0, 1], {}),
    "atan": (lambda x, alpha: 2 * alpha / (4 + (np.pi * alpha * x) ** 2), [], {"alpha": 0.7}),
    "clipped_identity": (
        lambda x, width: (abs(x) <= width).astype(float),
        [-1, 1, 0.5, -0.5],
        {"width": 0.5},
    ),
    "dsq": (dsq, [-1, 1], {"alpha": 0.5}),
    "dsq_round": (dsq_round, [-2, -1, 0, 1, 2], {"alpha": 0.5}),
    "ede": (lambda x, t: max(1, t) * sech2(t * x), [], {"t": 0.3}),
    "erf": (
        lambda x, alpha: alpha / np.pi**0.5 * np.exp(-np.square(alpha * x)),
        [],
        {"alpha": 0.5},
    ),
    "fake_numerical_gradient": (
        lambda x, alpha: np.where(abs(x) > 1 / alpha, 1 / np.maximum(abs(x), 1e-9), alpha),
        [1 / 0.3, -1 / 0.3, 0],
        {"alpha": 2.0},
    ),
    "fast_sigmoid": (lambda x, slope: (1 + slope * abs(x)) ** -2.0, [0], {"slope": 3.0}),
    "fourier_series": (functools.partial(cosines, height=8), [], {"terms": 3, "period": 5.0}),
    "identity": (lambda x: np.ones_like(x), [], {}),
    "leaky_k_relu": (lambda x, leak, k: np.where(x < 0, leak, k), [0], {"leak": 0.25, "k": 2.0}),
    "leaky_spike_operator": (lambda x, slope: np.where(x > 0, 1, slope), [0], {"slope": 0.5}),
    "log_tailed_relu": (
        lambda x, alpha: np.select([x <= 0, x <= 1], [alpha, 1], 1 / np.where(x > 1, x, 1)),
        [0, 1],
        {"alpha": 0.25},
    ),
    "nonzero_sign_log_abs": (lambda x, alpha: alpha / (1 + alpha * abs(x)), [0], {"alpha": 3.0}),
    "piecewise_exp": (
        lambda x, alpha: alpha * np.exp(-abs(alpha * x)) / 2,
        [0],
        {"alpha": 2.5},
    ),
    "piecewise_leaky_relu": (
        lambda x, w, c: np.where(abs(x) < w, 1 / (2 * w), c),
        [-1, 1, -0.5, 0.5],
        {"w": 0.5, "c": 0.0},
    ),
    "piecewise_quadratic": (
        lambda x, alpha: np.where(abs(x) < 1 / alpha, alpha * (1 - alpha * abs(x)), 0),
        [-1, 0, 1, 0.5],
        {"alpha": 2.0},
    ),
    "polynomial": (
        lambda x, degree, width: np.where(
            abs(x) < width,
            (degree + 1) / width ** (degree + 1) * np.maximum(width - abs(x), 0) ** degree,
            0,
        ),
        [-1, 0, 1, 2],
        {"degree": 3.0, "width": 2.0},
    ),
    "q_pseudo_spike": (
        lambda x, alpha: ((alpha - 1) / (alpha - 1 + 2 * abs(x))) ** alpha,
        [0],
        {"alpha": 3.0},
    ),
    "rect": (
        lambda x, alpha: np.where(2 * alpha * abs(x) < 1, alpha, 0),
        [-0.5, 0.5, 0.25],
        {"alpha": 2.0},
    ),
    "reste": (reste, [-1.5, -0.1, 0.1, 1.5, 0], {"o": 1.5, "t": 1.25, "m": 0.125}),
    "s2nn": (
        lambda x, alpha, beta: np.where(
            x < 0,
            alpha * logistic(alpha * x) * (1 - logistic(alpha * x)),
            beta / (1 + np.maximum(x, 0)),
        ),
        [0, -1],
        {"alpha": 2.0, "beta": 0.25},
    ),
    "sigmoid": (lambda x, alpha: alpha / 4 * sech2(alpha * x / 2), [], {"alpha": 25.0}),
    "softsign": (
        lambda x, alpha: 1 / (2 * alpha * (1 / alpha + abs(x)) ** 2),
        [0],
        {"alpha": 0.5},
    ),
    "sparse_fast_sigmoid": (
        lambda x, slope, bound: np.where(x > bound, (1 + slope * abs(x)) ** -2.0, 0),
        [1, -0.5, 0],
        {"slope": 2.0, "bound": -0.5},
    ),
    "spike_rate_escape": (
        lambda x, beta, slope: slope / np.exp(np.minimum(beta * abs(x - 1), 700)),
        [1],
        {"beta": 2.0, "slope": 1.5},
    ),
    "squarewave_fourier_series": (
        functools.partial(cosines, height=4),
        [],
        {"terms": 3, "period": 5.0},
    ),
    "super_spike": (lambda x, alpha: alpha / np.square(1 + abs(x)), [0], {"alpha": 0.5}),
    "swish_sign": (swish, [], {"beta": 2.0}),
    "tanh": (lambda x, alpha: alpha * sech2(alpha * x), [], {"alpha": 3.0}),
    "triangular": (lambda x, threshold: np.where(x < 0, threshold, -threshold), [0], {"threshold": 2.0}),
}
# Not functions of x alone, and tested by themselves below.
SPECIAL = {"ewgs", "magnitude_aware", "stochastic_spike_operator"}
FORMULAS = sorted(set(NAMES) & set(CLOSED_FORMS))


def variants(name):
    """The surrogate with its defaults, with other arguments, and normalized in each way it can be."""
    cls = type(surrogates.get(name))
    made = [cls(), cls(**CLOSED_FORMS[name][2])]
    if issubclass(cls, surrogates.ParametricSurrogate):
        for normalize in ("area", "peak"):
            if math.isfinite(getattr(made[1], normalize)):
                made.append(cls(**CLOSED_FORMS[name][2], normalize=normalize))
    return made


def arguments(surrogate):
    return {key: value for key, value in surrogate.get_config().items() if key != "normalize"}


def expected(name, surrogate, x):
    """d(x) in float64, normalized by an area and a peak that are measured, not looked up."""
    function = functools.partial(CLOSED_FORMS[name][0], **arguments(surrogate))
    d = np.asarray(function(np.asarray(x, "float64")), "float64")
    normalize = getattr(surrogate, "normalize", None)
    if normalize == "area":
        d = d * surrogate.jump / measured_area(name, surrogate)
    elif normalize == "peak":
        d = d / measured_peak(name, surrogate)
    return d


def plain(name, surrogate):
    return functools.partial(CLOSED_FORMS[name][0], **arguments(surrogate))


@functools.cache
def nodes():
    return np.polynomial.legendre.leggauss(40)


def measured_area(name, surrogate):
    """The integral of the closed form, by Gauss's rule between its kinks and out to 2^60."""
    low, high = getattr(surrogate, "support", (-math.inf, math.inf))
    ends = [1.0 * 2.0**i for i in range(-30, 61)]
    cuts = [0.0, *ends, *(-e for e in ends)]
    values = arguments(surrogate).values()
    for center in [*CLOSED_FORMS[name][1], *values, *(-v for v in values)]:
        cuts += [center, *(center + s * 2.0**i for i in range(-30, 4) for s in (-1, 1))]
    cuts += [s * 0.5 / v for v in values if v for s in (-1, 1)]
    cuts += [s / v for v in values if v for s in (-1, 1)]
    if math.isfinite(low):
        cuts += [low, high]
    cuts = np.unique([c for c in cuts if low <= c <= high])
    t, weights = nodes()
    half = np.diff(cuts)[:, None] / 2
    x = cuts[:-1, None] + half * (t + 1)
    return float(np.sum(half * weights * plain(name, surrogate)(x)))


def measured_peak(name, surrogate):
    low, high = getattr(surrogate, "support", (-8.0, 8.0))
    low, high = max(low, -8.0), min(high, 8.0)
    kinks = np.array([0.0, *CLOSED_FORMS[name][1], *arguments(surrogate).values()])
    near = np.concatenate([kinks, kinks + 1e-12, kinks - 1e-12, -kinks])
    return float(np.max(plain(name, surrogate)(np.append(np.linspace(low, high, 80001), near))))


def points(name, count=1000):
    rng = np.random.default_rng(len(name))
    x = np.concatenate([rng.normal(size=count // 2), rng.uniform(-8, 8, size=count - count // 2)])
    return np.concatenate([x, [0.0, -0.0], CLOSED_FORMS[name][1]])


def value_and_gradient(function, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x, output_gradients=upstream)


def test_every_surrogate_is_tested():
    assert set(NAMES) == set(CLOSED_FORMS) | SPECIAL


@pytest.mark.parametrize("name", NAMES)
def test_every_surrogate_is_documented_where_it_stands(name):
    cls = type(surrogates.get(name))
    assert ">>> " in cls.__doc__, "an example"
    assert " = " in cls.__doc__, "an equation"
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|As in (SpikingJelly|snnTorch)|University Press|snnTorch", cls.__doc__)
    assert cls.__name__ in surrogates.__all__


@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_the_closed_form(name):
    x = points(name)
    upstream = np.random.default_rng(1).normal(size=x.shape)
    for surrogate in variants(name):
        estimator = straight_through(forwards.sign, surrogate)
        _, gradient = value_and_gradient(estimator, tf.constant(x), tf.constant(upstream))
        np.testing.assert_allclose(
            gradient, upstream * expected(name, surrogate, x), rtol=1e-9, atol=1e-9
        )
        x32 = x.astype("float32")
        d = surrogate(x32).numpy()
        kinks = np.concatenate([CLOSED_FORMS[name][1], list(arguments(surrogate).values())])
        kinks = np.concatenate([kinks, 1 / kinks[kinks != 0], 0.5 / kinks[kinks != 0]])
        # float32 has no 0.1: which side of a kink there a float32 number is on, its own value decides.
        kinks = kinks[kinks.astype("float32") != kinks]
        near = np.abs(np.abs(x32[:, None]) - np.abs(kinks)).min(axis=1, initial=1) < 1e-5
        np.testing.assert_allclose(
            d[~near], expected(name, surrogate, x32)[~near], rtol=0, atol=1e-6 * surrogate.peak
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", FORMULAS)
def test_in_16_bits_the_derivative_is_rounded_once(name, dtype):
    surrogate = surrogates.get(name)
    x = tf.cast(points(name), dtype)
    d = surrogate(x)
    assert d.dtype == x.dtype and d.shape == x.shape
    if name != "clipped_identity":
        np.testing.assert_array_equal(d, tf.cast(surrogate(tf.cast(x, "float32")), dtype))
    else:
        np.testing.assert_array_equal(d, tf.cast(tf.abs(x) <= 1, dtype))


@pytest.mark.parametrize("name", FORMULAS)
def test_area_and_peak_are_the_measured_ones(name):
    for surrogate in variants(name):
        peak, area = surrogate.peak, surrogate.area
        normalize = getattr(surrogate, "normalize", None)
        if normalize == "peak":
            assert peak == pytest.approx(1, rel=1e-9)
        elif normalize == "area":
            assert area == pytest.approx(surrogate.jump, rel=1e-9)
        else:
            assert peak == pytest.approx(measured_peak(name, surrogate), rel=1e-6)
            if math.isfinite(area):
                assert area == pytest.approx(measured_area(name, surrogate), rel=1e-6)
            else:
                # Out to 2^60, each of these has gathered far more than a jump; one has a part of each sign.
                assert math.isnan(area) or measured_area(name, surrogate) > 8
        # What the class computes has the area and the peak that the attributes say.
        if math.isfinite(area):
            raw = CLOSED_FORMS[name][0]
            ratio = area / measured_area(name, surrogate)
            x = points(name)
            np.testing.assert_allclose(
                surrogate(x), raw(x, **arguments(surrogate)) * ratio, rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_the_forward_is_exactly_the_function(name, dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(scale=3, size=400), [0.0, -0.0, np.inf, -np.inf, 3e4, 1e-4]])
    x = tf.cast(x, dtype)
    for forward in (forwards.sign, forwards.heaviside, forwards.round_half_even):
        y, gradient = value_and_gradient(straight_through(forward, name), x, tf.ones_like(x))
        assert y.numpy().tobytes() == forward(x).numpy().tobytes()
        assert gradient.dtype == x.dtype
        # A cosine has no value at an infinity; one infinity makes a mean of sizes infinite.
        finite = np.isfinite(x.numpy().astype("float32"))
        # EWGS multiplies by the distance, which is infinite unless the forward function rounds.
        if name == "magnitude_aware" or (name == "ewgs" and forward is not forwards.round_half_even):
            continue
        if "fourier" in name:
            gradient = gradient[finite]
        assert np.isfinite(gradient.numpy().astype("float32")).all()
    assert set(straight_through(forwards.sign, name)(x).numpy().tolist()) == {-1.0, 1.0}
    nan = straight_through(forwards.sign, name)(tf.cast([np.nan], dtype))
    assert np.isnan(nan.numpy().astype("float32")).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_in_every_mode(name, mode):
    if name == "stochastic_spike_operator":
        surrogate = surrogates.StochasticSpikeOperator(variance=0.0)
    else:
        surrogate = surrogates.get(name)
    x = tf.constant(np.random.default_rng(3).normal(size=(4, 5)), tf.float32)
    estimator = straight_through(forwards.round_half_even, surrogate)
    both = MODES[mode](lambda x: value_and_gradient(estimator, x, tf.ones_like(x)))
    y, gradient = both(x)
    np.testing.assert_array_equal(y, tf.round(x))
    reference = value_and_gradient(estimator, x, tf.ones_like(x))[1]
    np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=1e-6)
    for shape in ((), (0,), (2, 0)):
        y, gradient = both(tf.fill(shape, 0.25))
        assert y.shape == shape and gradient.shape == shape


@pytest.mark.parametrize("name", FORMULAS)
def test_the_second_derivative_is_the_derivatives(name):
    x = points(name, 200)
    kinks = np.array([0.0, *CLOSED_FORMS[name][1]])
    step = 1e-6
    for surrogate in variants(name)[:2]:
        edges = np.concatenate([kinks, list(arguments(surrogate).values())])
        edges = np.concatenate([edges, -edges, 1 / edges[edges != 0], 0.5 / edges[edges != 0]])
        smooth = x[np.abs(x[:, None] - edges).min(axis=1) > 1e-3]
        x64 = tf.constant(smooth)
        estimator = straight_through(forwards.sign, surrogate)
        with tf.GradientTape() as outer:
            outer.watch(x64)
            _, first = value_and_gradient(estimator, x64, tf.ones_like(x64))
        second = outer.gradient(first, x64, unconnected_gradients="zero")
        d = plain(name, surrogate)
        slope = (d(smooth + step) - d(smooth - step)) / (2 * step)
        np.testing.assert_allclose(second, slope, rtol=1e-4, atol=1e-4)


def test_the_second_derivative_of_those_that_look_at_more_than_x():
    x, g = np.random.default_rng(4).normal(size=(2, 50))
    noise = surrogates.StochasticSpikeOperator(seed=1)
    wanted = {EWGS(0.25): 0.25 * np.abs(g), surrogates.MagnitudeAware(scale_axis=None): 0 * g, noise: 0 * g}
    for surrogate, second in wanted.items():
        with tf.GradientTape() as outer:
            x64 = tf.constant(x)
            outer.watch(x64)
            estimator = straight_through(forwards.round_half_even, surrogate)
            _, first = value_and_gradient(estimator, x64, tf.constant(g))
        found = outer.gradient(first, x64, unconnected_gradients="zero")
        np.testing.assert_allclose(found, second, rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_second_derivative_at_kinks_is_finite(name):
    x = tf.constant([0.0, -0.0, *CLOSED_FORMS[name][1]], tf.float32)
    for surrogate in variants(name):
        with tf.GradientTape() as tape:
            tape.watch(x)
            d = surrogate(x)
        second = tape.gradient(d, x, unconnected_gradients="zero")
        assert np.isfinite(second.numpy()).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_configs_and_names(name):
    for surrogate in variants(name):
        again = surrogates.get(surrogates.serialize(surrogate))
        assert type(again) is type(surrogate) and again.get_config() == surrogate.get_config()
        short = {"class_name": type(surrogate).__name__, "config": surrogate.get_config()}
        assert surrogates.get(short).get_config() == surrogate.get_config()
    for alias in surrogates.names_of(type(surrogate)):
        assert type(surrogates.get(alias)) is type(surrogate)


def counted_gradient(surrogate):
    """A tf.function of x that returns d(x), and the list that grows with each trace."""
    traces = []

    @tf.function
    def gradient(x):
        traces.append(1)
        return value_and_gradient(straight_through(forwards.sign, surrogate), x, tf.ones_like(x))[1]

    return gradient, traces


def parametric():
    return [n for n in FORMULAS if arguments(surrogates.get(n))]


@pytest.mark.parametrize("kind", ["tf", "keras", "schedule"])
@pytest.mark.parametrize("name", parametric())
def test_a_parameter_may_change_without_a_new_trace(name, kind):
    cls, values = type(surrogates.get(name)), CLOSED_FORMS[name][2]
    fixed = {"terms": values["terms"]} if "terms" in values else {}
    moving = {key: value for key, value in values.items() if key not in fixed}
    # ReSTE's m may not pass its t.
    key, value = next(iter(moving.items()))
    others = {**fixed, **{k: v for k, v in moving.items() if k != key}}
    later = 0.75 * value if name != "reste" else 2 * value
    if name in ("q_pseudo_spike",):
        later = value + 1
    if kind == "schedule":
        parameter = schedules.Linear(value, later)
        move = lambda: setattr(parameter, "progress", 1.0)
    else:
        parameter = tf.Variable(value) if kind == "tf" else keras.Variable(value)
        move = lambda: parameter.assign(later)
    x = tf.constant(points(name, 50), tf.float32)
    for normalize in (None, "peak"):
        moves = cls(**others, **{key: parameter}, normalize=normalize)
        gradient, traces = counted_gradient(moves)
        for step, now in enumerate((value, later)):
            if step:
                move()
            still = cls(**others, **{key: now}, normalize=normalize)
            np.testing.assert_allclose(gradient(x), still(x), rtol=1e-5, atol=1e-6)
            assert moves.area == pytest.approx(still.area, rel=1e-6, nan_ok=True)
            assert moves.peak == pytest.approx(still.peak, rel=1e-6)
        assert len(traces) == 1
        again = surrogates.get(surrogates.serialize(moves))
        np.testing.assert_allclose(again(x), moves(x), rtol=1e-5, atol=1e-6)
        if kind == "schedule":
            parameter.progress = 0.0
            assert getattr(again, key).progress == 1.0
        else:
            parameter.assign(value)


def test_the_published_schedule_of_ede():
    schedule = schedules.EDESchedule()
    surrogate = EDE(schedule)
    for i, n in ((0, 120), (60, 120), (120, 120)):
        schedule.progress = i / n
        t = 0.1 * 10 ** (i / n * math.log10(10 / 0.1))
        x = np.linspace(-2, 2, 41).astype("float32")
        np.testing.assert_allclose(surrogate(x), max(1 / t, 1) * t * sech2(t * x), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_ewgs_is_not_linear_in_the_upstream_gradient(dtype):
    rng = np.random.default_rng(5)
    x, g = rng.uniform(-3, 3, 1000), rng.normal(size=1000)
    x, g = tf.cast(x, dtype), tf.cast(g, dtype)
    x64, g64 = x.numpy().astype("float64"), g.numpy().astype("float64")
    for inner, d in (("identity", 1.0), ("clipped_identity", np.abs(x64) <= 1)):
        estimator = straight_through(tf.round, EWGS(delta=0.25, surrogate=inner))
        y, gradient = value_and_gradient(estimator, x, g)
        np.testing.assert_array_equal(y, tf.round(x))
        wanted = g64 * d * (1 + 0.25 * np.sign(g64) * (x64 - np.rint(x64)))
        tolerance = {"float32": 1e-6, "float16": 3e-3, "bfloat16": 3e-2}[dtype]
        np.testing.assert_allclose(gradient.numpy().astype("float64"), wanted, rtol=tolerance, atol=tolerance)
    plain_ste = value_and_gradient(straight_through(tf.round, EWGS(delta=0.0)), x, g)[1]
    np.testing.assert_array_equal(plain_ste, g)
    with pytest.raises(TypeError, match="EWGS has no derivative of x alone"):
        EWGS()(x)
    config = EWGS(delta=0.5, surrogate="clipped_identity").get_config()
    again = surrogates.get({"class_name": "EWGS", "config": config})
    assert again.delta == 0.5 and isinstance(again.surrogate, ClippedIdentity)


@pytest.mark.parametrize("scale_axis", [-1, 0, None])
def test_the_magnitude_aware_gradient(scale_axis):
    rng = np.random.default_rng(6)
    w = rng.normal(size=(3, 3, 4, 5))
    axes = tuple(a for a in range(4) if scale_axis is None or a != scale_axis % 4)
    alpha = np.abs(w).mean(axis=axes, keepdims=True)
    surrogate = surrogates.MagnitudeAware(scale_axis=scale_axis)
    np.testing.assert_allclose(surrogate(w), alpha * (np.abs(w) <= 1), rtol=1e-12)
    again = surrogates.get(surrogates.serialize(surrogate))
    assert again.get_config() == {"width": 1.0, "scale_axis": scale_axis}
    with pytest.raises(ValueError, match="scale_axis=7"):
        surrogates.MagnitudeAware(scale_axis=7)(w)
    # In 16 bits the sum of many sizes overflows, their mean does not.
    many = tf.fill([300, 300], tf.constant(1.0, tf.float16))
    assert surrogates.MagnitudeAware(scale_axis=None)(many).numpy().max() == 1.0


def test_the_noise_of_the_stochastic_spike_operator():
    x = tf.constant(np.repeat([-1.0, 0.0, 2.0], 20000), tf.float32)
    surrogate = surrogates.StochasticSpikeOperator(mean=0.5, variance=0.2, seed=3)
    d = surrogate(x).numpy().reshape(3, -1)
    assert (d[2] == 1).all() and surrogate.peak == 1.0
    for noise in d[:2]:
        assert noise.min() >= 0 and noise.max() <= 0.2
        assert noise.mean() == pytest.approx(0.1, abs=2e-3)
        assert noise.var() == pytest.approx(0.2**2 / 12, rel=0.05)
    first = surrogates.StochasticSpikeOperator(seed=3)(x).numpy()
    again = surrogates.get(surrogates.serialize(surrogates.StochasticSpikeOperator(seed=3)))
    np.testing.assert_array_equal(again(x), first)
    assert (again(x).numpy() != first).any(), "each call draws anew"
    with_generator = surrogates.StochasticSpikeOperator(seed=keras.random.SeedGenerator(3))
    np.testing.assert_array_equal(with_generator(x), first)
    assert surrogates.get(surrogates.serialize(with_generator)).get_config()["variance"] == 0.2


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="normalize must be None, 'area' or 'peak'.*'max'"):
        Tanh(normalize="max")
    with pytest.raises(ValueError, match="LeakyKReLU cannot be normalized by its area, which is inf"):
        surrogates.LeakyKReLU(normalize="area")
    with pytest.raises(ValueError, match="Triangular cannot be normalized by its area, which is nan"):
        surrogates.Triangular(normalize="area")
    with pytest.raises(ValueError, match="Tanh needs a positive alpha.*alpha=-1"):
        Tanh(-1)
    with pytest.raises(ValueError, match="Tanh needs a positive alpha"):
        Tanh(schedules.Linear(-1.0, 2.0))
    with pytest.raises(TypeError, match="alpha must be a number, a variable or a schedule.*'high'"):
        Tanh("high")
    with pytest.raises(ValueError, match="QPseudoSpike needs alpha > 1"):
        surrogates.QPseudoSpike(1.0)
    with pytest.raises(ValueError, match="ReSTE needs o >= 1"):
        surrogates.ReSTE(o=0.5)
    with pytest.raises(ValueError, match="DSQ needs an alpha below 1"):
        surrogates.DSQ(1.0)
    with pytest.raises(ValueError, match="positive number of terms.*terms=0"):
        surrogates.FourierSeries(terms=0)
    with pytest.raises(NotImplementedError, match="gradient"):
        straight = straight_through(tf.round, surrogates.UpstreamSurrogate())
        value_and_gradient(straight, tf.ones(2), tf.ones(2))


def rows():
    pattern = re.compile(r"^\| `(\w+)` \|.*\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
    return {name: (area, peak) for name, area, peak in pattern.findall(DOCS.read_text())}


def test_the_table_in_the_docs_has_every_surrogate_and_no_other():
    assert sorted(rows()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_in_the_docs_are_those_of_the_class(name):
    surrogate = surrogates.get(name)
    area, peak = rows()[name]
    assert (area, peak) == (f"{surrogate.area:.4g}", f"{surrogate.peak:.4g}")
