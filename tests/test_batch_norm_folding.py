"""Layers that fold batch normalization into the kernel: closed forms in float64, Keras's pair, conversion."""

import keras
import layer_checks
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste import layers
from keras_ste.layers.batch_norm_folding import FOLDINGS
from keras_ste.quantizers import UniformQuantizer
from keras_ste.training.monitor import weight_quantizers

CASES = {
    "dense": (layers.QuantDenseBatchNorm, {"units": 4}, (6, 3, 5)),
    "conv1d": (layers.QuantConv1DBatchNorm, {"filters": 4, "kernel_size": 3, "padding": "causal"}, (3, 7, 2)),
    "conv2d": (layers.QuantConv2DBatchNorm, {"filters": 4, "kernel_size": 2, "strides": 2}, (3, 6, 5, 3)),
    "depthwise": (layers.QuantDepthwiseConv2DBatchNorm, {"kernel_size": 3, "depth_multiplier": 2}, (3, 5, 4, 2)),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_folding = pytest.mark.parametrize("folding", FOLDINGS)


def quantizer(cls):
    """Five bits over [-1, 1], under the name that the class has for it."""
    (argument,) = cls.quantized_weights
    return {argument: UniformQuantizer(5, scale=1 / 16)}


def make(case, dtype="float64", **arguments):
    cls, own, shape = case
    layer = cls(**own, dtype=dtype, **arguments)
    layer.build(shape)
    layer_checks.randomize_all(layer, 1)
    return layer, np.random.default_rng(0).normal(size=shape).astype(layer.compute_dtype)


def scaled_kernel(layer, kernel, gain):
    """The kernel times a number for each output channel."""
    axes = kernel.ndim - len(layer.output_axes)
    return (kernel.reshape(*kernel.shape[:axes], -1) * gain).reshape(kernel.shape)


def product(layer, x, kernel):
    """What Keras's layer without a bias makes of this kernel."""
    config = {**layer.folded().get_config(), "use_bias": False, "activation": None, "name": None}
    for name in (*layer.quantizer_arguments, "pad_values"):
        config.pop(name, None)
    float_layer = layer_checks.float_class(type(layer)).from_config(config)
    float_layer.build(x.shape)
    float_layer.kernel.assign(kernel)
    return float_layer(x).numpy()


def moments(layer, x):
    """Mean and variance of each channel over the batch, of the product with the float kernel and the bias."""
    y = product(layer, x, layer.kernel.numpy())
    y = (y + layer.bias.numpy()).reshape(-1, y.shape[-1])
    return y.mean(0), y.var(0)


def state(layer):
    return [v.numpy().copy() for v in (layer.moving_mean, layer.moving_variance, layer.steps)]


@each_folding
@each_case
def test_closed_form_in_training_and_outside(case, folding):
    layer, x = make(case, folding=folding, momentum=0.9, epsilon=0.01, activation="relu", **quantizer(case[0]))
    gamma, beta, bias, kernel = (v.numpy() for v in (layer.gamma, layer.beta, layer.bias, layer.kernel))
    q = quantizer(case[0]).popitem()[1]
    (mean, variance), (moving_mean, moving_variance, _) = moments(layer, x), state(layer)

    used = moving_variance if folding == "moving" else variance
    quantized = q(scaled_kernel(layer, kernel, gamma / np.sqrt(used + 0.01))).numpy()
    y = product(layer, x, quantized)
    y = y * np.sqrt((used + 0.01) / (variance + 0.01)) + beta + (bias - mean) * gamma / np.sqrt(variance + 0.01)
    np.testing.assert_allclose(layer(x, training=True), np.maximum(y, 0), rtol=1e-9, atol=1e-9)

    moving_mean, moving_variance = 0.9 * moving_mean + 0.1 * mean, 0.9 * moving_variance + 0.1 * variance
    for now, expected in zip(state(layer), (moving_mean, moving_variance, 1), strict=True):
        np.testing.assert_allclose(now, expected, rtol=1e-12)
    gain = gamma / np.sqrt(moving_variance + 0.01)
    np.testing.assert_allclose(layer.folded_kernel, scaled_kernel(layer, kernel, gain), rtol=1e-12)
    np.testing.assert_allclose(layer.folded_bias, beta + (bias - moving_mean) * gain, rtol=1e-9)
    np.testing.assert_array_equal(layer.quantized_kernel, q(layer.folded_kernel))
    y = product(layer, x, layer.quantized_kernel) + layer.folded_bias.numpy()
    np.testing.assert_allclose(layer(x), np.maximum(y, 0), rtol=1e-9, atol=1e-12)


@each_folding
@each_case
def test_unquantized_it_trains_as_keras_s_pair_does(case, folding):
    """Step for step, and infers as it does: variables, moving statistics and outputs."""
    layer, x = make(case, folding=folding, momentum=0.8)
    norm = keras.layers.BatchNormalization(momentum=0.8, dtype="float64")
    config = {key: value for key, value in layer.get_config().items() if key in case[1]}
    conv = layer_checks.float_class(case[0])(**config, dtype="float64")
    pair = keras.Sequential([keras.Input(x.shape[1:], dtype="float64"), conv, norm])
    for name in ("kernel", "bias"):
        getattr(conv, name).assign(getattr(layer, name))
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(norm, name).assign(getattr(layer, name))
    target = np.random.default_rng(3).normal(size=pair(x).shape)
    np.testing.assert_allclose(layer(x), pair(x), rtol=1e-9, atol=1e-12)
    optimizers = {each: keras.optimizers.SGD(0.3, momentum=0.9) for each in (layer, pair)}
    for _ in range(4):
        for each, optimizer in optimizers.items():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(each(x, training=True) - target))
            variables = each.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
        for name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"):
            expected = getattr(norm if hasattr(norm, name) else conv, name)
            np.testing.assert_allclose(getattr(layer, name), expected, rtol=1e-8, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(layer(x), pair(x), rtol=1e-8, atol=1e-8)


@each_folding
def test_gradients_are_those_of_an_expression_of_its_own(folding):
    """Through the quantizer as if it were not there, through the batch's statistics, past the moving ones."""
    layer, x = make(CASES["dense"], folding=folding, use_bias=False, **quantizer(layers.QuantDenseBatchNorm))
    upstream = np.random.default_rng(2).normal(size=(6, 3, 4))
    w, gamma, beta = (tf.Variable(v.numpy()) for v in (layer.kernel, layer.gamma, layer.beta))
    inputs = tf.Variable(x)
    moving = tf.constant(layer.moving_variance.numpy())
    with tf.GradientTape() as tape:
        z = tf.reshape(inputs, (18, 5)) @ w
        mean = tf.reduce_mean(z, 0)
        variance = tf.reduce_mean(z * z, 0) - mean * mean
        folded = w * gamma / tf.sqrt((moving if folding == "moving" else variance) + 1e-3)
        codes = tf.clip_by_value(tf.round(folded * 16), -16, 15) / 16
        # The clipped identity: straight through within the range of the codes.
        clipped = tf.clip_by_value(folded, -1.0, 15 / 16)
        quantized = clipped + tf.stop_gradient(codes - clipped)
        y = tf.reshape(inputs, (18, 5)) @ quantized
        if folding == "moving":
            y *= tf.sqrt(moving + 1e-3) / tf.sqrt(variance + 1e-3)
        y = tf.reshape(y + beta - mean * gamma / tf.sqrt(variance + 1e-3), (6, 3, 4))
    expected = tape.gradient(y, [w, gamma, beta, inputs], output_gradients=upstream)
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        ours = layer(inputs, training=True)
    np.testing.assert_allclose(ours, y, rtol=1e-9, atol=1e-9)
    sources = [v.value for v in (layer.kernel, layer.gamma, layer.beta)]
    gradients = tape.gradient(ours, [*sources, inputs], output_gradients=upstream)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert np.any(wanted != 0)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-7)


@each_folding
@pytest.mark.parametrize("freeze_after", [0, 2])
def test_frozen_from_exactly_that_step_on(folding, freeze_after):
    """One graph: first the batch's statistics, then training is inference, and nothing moves any more."""
    layer, x = make(CASES["conv2d"], dtype="float32", folding=folding, freeze_after=freeze_after)
    step = tf.function(lambda x: layer(x, training=True))
    for number in range(4):
        before, inferred = state(layer), layer(x).numpy()
        y = step(tf.constant(x)).numpy()
        frozen = number >= freeze_after
        assert np.array_equal(y, inferred) == frozen
        for old, new in zip(before[:2], state(layer)[:2], strict=True):
            assert np.array_equal(old, new) == frozen
        assert layer.steps.numpy() == number + 1
    assert step.experimental_get_tracing_count() == 1


def test_frozen_gradients_pass_by_the_statistics():
    layer, x = make(CASES["dense"], freeze_after=0)
    with tf.GradientTape(persistent=True) as tape:
        trained, inferred = layer(x, training=True), layer(x)
    for gradients in zip(*(tape.gradient(y, layer.trainable_variables) for y in (trained, inferred)), strict=True):
        np.testing.assert_array_equal(*gradients)


def test_fit_counts_and_freezes_compiled():
    layer = layers.QuantDenseBatchNorm(3, freeze_after=2, kernel_quantizer="xnor_sign")
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile("sgd", "mse", jit_compile=True)
    x = np.random.default_rng(0).normal(size=(8, 5))
    model.fit(x, np.ones((8, 3)), batch_size=4, verbose=0)
    moved = state(layer)
    model.fit(x, np.ones((8, 3)), batch_size=4, verbose=0)
    assert moved[2] == 2 and layer.steps.numpy() == 4
    for old, new in zip(moved[:2], state(layer)[:2], strict=True):
        np.testing.assert_array_equal(old, new)


@each_folding
def test_channels_first(folding):
    arguments = {"folding": folding, "kernel_quantizer": "xnor_sign"}
    last, x = make(CASES["conv2d"], dtype="float32", **arguments)
    first = layers.QuantConv2DBatchNorm.from_config({**last.get_config(), "data_format": "channels_first"})
    first.build((3, 3, 6, 5))
    first.set_weights(last.get_weights())
    for training in (True, False):
        y = keras.ops.transpose(first(x.transpose(0, 3, 1, 2), training=training), (0, 2, 3, 1))
        np.testing.assert_allclose(y, last(x, training=training), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(state(first), state(last), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_layer_that_is_not_trainable_uses_the_moving_statistics():
    layer, x = make(CASES["conv1d"])
    layer.trainable = False
    before = state(layer)
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    for old, new in zip(before, state(layer), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("given", [{"center": False}, {"scale": False}, {"use_bias": False}])
def test_without_a_part(given):
    """It is as if the part were 0, or 1."""
    whole, x = make(CASES["conv2d"])
    layer, _ = make(CASES["conv2d"], **given)
    whole.gamma.assign(np.ones(4) if "scale" in given else layer.gamma)
    whole.beta.assign(np.zeros(4) if "center" in given else layer.beta)
    whole.bias.assign(np.zeros(4) if "use_bias" in given else layer.bias)
    for name in ("kernel", "moving_mean", "moving_variance"):
        getattr(whole, name).assign(getattr(layer, name))
    assert len(layer.trainable_variables) == len(whole.trainable_variables) - 1
    for training in (True, False):
        np.testing.assert_allclose(layer(x, training=training), whole(x, training=training), rtol=1e-12)


def test_regularizers_and_constraints_of_gamma_and_beta():
    layer, x = make(
        CASES["dense"],
        beta_regularizer=keras.regularizers.L2(0.5),
        gamma_regularizer=keras.regularizers.L1(0.25),
        gamma_constraint="non_neg",
    )
    layer(x)
    losses = sorted(float(loss) for loss in layer.losses)
    beta, gamma = layer.beta.numpy(), layer.gamma.numpy()
    np.testing.assert_allclose(losses, sorted([0.5 * np.sum(beta**2), 0.25 * np.sum(np.abs(gamma))]))
    assert isinstance(layer.gamma.constraint, keras.constraints.NonNeg)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@each_case
def test_folded_is_the_plain_layer_with_the_same_values(case):
    (argument,) = case[0].quantized_weights
    layer, x = make(case, dtype="float32", activation="relu", **{argument: "lsq"})
    plain = layer.folded()
    assert type(plain) is case[0].plain_class and plain.name == layer.name
    np.testing.assert_array_equal(plain.kernel, layer.folded_kernel)
    np.testing.assert_array_equal(plain.bias, layer.folded_bias)
    np.testing.assert_array_equal(plain(x), layer(x))
    # Variables of its own.
    copied = getattr(plain, argument)
    assert copied is not getattr(layer, argument) and copied.step.numpy() == getattr(layer, argument).step.numpy()


@each_case
def test_from_layers_stands_for_the_pair(case):
    cls, own, shape = case
    (argument,) = cls.quantized_weights
    conv = layer_checks.float_class(cls)(**own)
    norm = keras.layers.BatchNormalization(momentum=0.7, epsilon=0.02, scale=False)
    pair = keras.Sequential([keras.Input(shape[1:]), conv, norm])
    layer_checks.randomize_all(norm, 2)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = cls.from_layers(conv, norm, activation="relu", folding="batch")
    assert layer.momentum == 0.7 and layer.gamma is None and layer.folding == "batch"
    for training in (False, True):
        expected = keras.ops.relu(pair(x, training=training))
        np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, norm.moving_mean, rtol=1e-5, atol=1e-6)

    quantized = cls.plain_class(**own, **{argument: "lsq"})
    quantized(x, training=True)
    layer = cls.from_layers(quantized, norm)
    ours, theirs = getattr(layer, argument), getattr(quantized, argument)
    assert ours is not theirs and ours.step.numpy() == theirs.step.numpy()


def test_from_layers_refuses_what_is_no_pair():
    conv = keras.layers.Conv2D(4, 3)
    norm = keras.layers.BatchNormalization()
    conv.build((1, 5, 5, 2))
    with pytest.raises(ValueError, match="has no weights yet"):
        layers.QuantConv2DBatchNorm.from_layers(conv, norm)
    norm.build((1, 3, 3, 4))
    with pytest.raises(TypeError, match="QuantConv1DBatchNorm does not stand for a Conv2D"):
        layers.QuantConv1DBatchNorm.from_layers(conv, norm)
    with pytest.raises(TypeError, match="needs a keras.layers.BatchNormalization. Received: LayerNormalization"):
        layers.QuantConv2DBatchNorm.from_layers(conv, keras.layers.LayerNormalization())
    other_axis = keras.layers.BatchNormalization(axis=1)
    other_axis.build((1, 4, 3, 4))
    with pytest.raises(ValueError, match="must normalize axis 3.*axis=1"):
        layers.QuantConv2DBatchNorm.from_layers(conv, other_axis)
    conv.activation = keras.activations.relu
    with pytest.raises(ValueError, match="has an activation"):
        layers.QuantConv2DBatchNorm.from_layers(conv, norm)
    with pytest.raises(ValueError, match="has no weights yet"):
        layers.QuantConv2DBatchNorm(4, 3).folded()


def test_bad_arguments():
    with pytest.raises(ValueError, match="folding must be 'moving' or 'batch'. Received: 'ema'"):
        layers.QuantDenseBatchNorm(3, folding="ema")
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match=f"freeze_after must be a number of steps or None. Received: {steps}"):
            layers.QuantDenseBatchNorm(3, freeze_after=steps)


def test_half_precision_folds_in_float32():
    """A γ, a variance and a bias that float16 cannot hold reach the folded kernel and bias."""
    layer, x = make(CASES["dense"], dtype="mixed_float16")
    full = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    full.build(x.shape)
    layer.moving_variance.assign(np.full(4, 1e6))
    layer.gamma.assign(np.full(4, 1e5))
    full.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), full(x.astype("float32")), rtol=0.01, atol=0.1)


@pytest.mark.parametrize("behind", ["signs", "float"])
def test_conversion_is_that_of_the_plain_layer(behind):
    """Packed, with scale and folded bias; the numbers of Keras; thresholds where signs follow."""
    layer = layers.QuantConv2DBatchNorm(8, 3, input_quantizer="ste_sign", kernel_quantizer="xnor_sign")
    tail = [layers.QuantConv2D(3, 2, input_quantizer="ste_sign", kernel_quantizer="ste_sign")]
    model = keras.Sequential([keras.Input((6, 5, 4)), layer, *(tail if behind == "signs" else [])])
    layer_checks.randomize_all(layer, 4)
    layer.gamma.assign(layer.gamma * np.array([1, -1] * 4))
    plain = keras.Sequential([keras.Input((6, 5, 4)), layer.folded(), *model.layers[1:]])
    x = np.random.default_rng(0).normal(size=(5, 6, 5, 4)).astype("float32")
    results, rows = [], []
    for each in (model, plain):
        converted = keras_ste.convert(each, strict=True)
        rows.append([(row.op, row.input, row.output, row.packed) for row in converted.report.rows])
        (y,) = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()(
            **{each.inputs[0].name: x}
        ).values()
        results.append(y)
    assert rows[0] == rows[1]
    assert ("SteConv2D", "packed 1-bit", "float32" if behind == "float" else "packed 1-bit") in [r[:3] for r in rows[0]]
    for y in results:
        np.testing.assert_array_equal(y, model.predict(x, verbose=0))


def test_tools_that_look_at_codes_see_the_folded_kernel():
    layer = layers.QuantDenseBatchNorm(4, kernel_quantizer="ste_sign", name="dense")
    model = keras.Sequential([keras.Input((3,)), layer], name="net")
    layer_checks.randomize_all(layer, 4)
    layer.gamma.assign(-layer.gamma)
    ((path, (_, seen)),) = weight_quantizers(model).items()
    assert path == "net/dense/folded_kernel"
    np.testing.assert_array_equal(seen, layer.folded_kernel)
