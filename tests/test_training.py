"""Training tools: single steps by hand, optimizers side by side, resumed trainings, boundaries."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import keras_ste
from keras_ste import QuantDense, training
from keras_ste.training import (
    Bipolar,
    Bop,
    Bop2,
    CaseOptimizer,
    Gradual,
    GradualQuantization,
    HyperparameterScheduler,
    QuantizationMonitor,
    TwoStageTraining,
    WeightClip,
    is_binary,
)

seeds = st.integers(0, 2**32 - 1)
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


# Optimizers


@given(seed=seeds, threshold=st.sampled_from([0.0, 0.01, 0.5]), gamma=st.sampled_from([0.1, 1.0]))
def test_bop_flips_by_its_rule(seed, threshold, gamma):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=20).astype(np.float32)
    start[:2] = 0
    variable = keras.Variable(start)
    optimizer = Bop(threshold=threshold, gamma=gamma)
    weights, mean = np.where(start >= 0, 1.0, -1.0), np.zeros(20)
    for _ in range(4):
        gradient = rng.normal(size=20)
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        mean = (1 - gamma) * mean + gamma * gradient
        weights = np.where((np.abs(mean) > threshold) & (np.sign(mean) == weights), -weights, weights)
        np.testing.assert_array_equal(variable, weights)


@given(seed=seeds, corrected=st.booleans())
def test_bop2_flips_by_its_rule(seed, corrected):
    rng = np.random.default_rng(seed)
    variable = keras.Variable(rng.normal(size=20))
    gamma, sigma, threshold = 0.2, 0.3, 0.4
    optimizer = Bop2(threshold=threshold, gamma=gamma, sigma=sigma, bias_correction=corrected)
    weights = np.where(variable.numpy() >= 0, 1.0, -1.0)
    mean, square = np.zeros(20), np.zeros(20)
    for step in range(1, 5):
        gradient = rng.normal(size=20)
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        mean = (1 - gamma) * mean + gamma * gradient
        square = (1 - sigma) * square + sigma * gradient**2
        m = mean / (1 - (1 - gamma) ** step) if corrected else mean
        v = square / (1 - (1 - sigma) ** step) if corrected else square
        pressure = m / (np.sqrt(v) + 1e-10)
        weights = np.where((np.abs(pressure) > threshold) & (np.sign(pressure) == weights), -weights, weights)
        np.testing.assert_array_equal(variable, weights)


def classifier(seed=0, **kernel):
    keras.utils.set_random_seed(seed)
    binary = {**BINARY, **kernel}
    layers = [
        keras.Input((16,)),
        keras.layers.Dense(64),
        keras.layers.BatchNormalization(),
        QuantDense(64, use_bias=False, **binary),
        keras.layers.BatchNormalization(),
        QuantDense(32, **binary),
        keras.layers.Dense(2),
    ]
    return keras.Sequential(layers)


def data(n=512):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 16)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int32)


def compiled(model, optimizer, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


def bop_and_adam():
    return CaseOptimizer((is_binary, Bop(1e-6, 1e-3)), default_optimizer=keras.optimizers.Adam(1e-2))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_bop_trains_weights_of_one_bit(jit_compile):
    model = compiled(classifier(), bop_and_adam(), jit_compile=jit_compile)
    x, y = data()
    history = model.fit(x, y, batch_size=64, epochs=30, verbose=0)
    for layer in model.layers:
        if isinstance(layer, QuantDense):
            assert set(np.unique(layer.kernel)) == {-1.0, 1.0}
    assert history.history["accuracy"][-1] > 0.9


def test_case_optimizer_is_its_optimizers_by_hand():
    model = classifier()
    variables = model.trainable_variables
    rng = np.random.default_rng(0)
    gradients = [[tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables] for _ in range(3)]
    start = model.get_weights()
    optimizer = bop_and_adam()
    for each in gradients:
        optimizer.apply(each, variables)
    together = model.get_weights()
    model.set_weights(start)
    bop, adam = Bop(1e-6, 1e-3), keras.optimizers.Adam(1e-2)
    for each in gradients:
        bop.apply([g for g, v in zip(each, variables) if is_binary(v)], [v for v in variables if is_binary(v)])
        adam.apply([g for g, v in zip(each, variables) if not is_binary(v)], [v for v in variables if not is_binary(v)])
    for a, b in zip(together, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert sum(map(is_binary, variables)) == 2


@pytest.mark.parametrize(
    "make",
    [
        bop_and_adam,
        lambda: CaseOptimizer((is_binary, Bop2(1e-3, 1e-2, 1e-2)), default_optimizer="sgd"),
    ],
)
def test_a_resumed_training_is_the_same_bit_for_bit(make, tmp_path):
    x, y = data()
    model = compiled(classifier(), make())
    model.fit(x, y, batch_size=64, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(resumed.optimizer, CaseOptimizer)
    for each in (model, resumed):
        each.fit(x, y, batch_size=64, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_case_optimizer_in_mixed_precision():
    inner = bop_and_adam()
    model = compiled(classifier(), keras.optimizers.LossScaleOptimizer(inner))
    x, y = data()
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    assert int(inner.iterations) > 0
    assert set(np.unique(model.layers[2].kernel)) == {-1.0, 1.0}


def test_learning_rate_and_gamma_are_scheduled():
    x, y = data(128)
    optimizer = bop_and_adam()
    model = compiled(classifier(), optimizer)
    bop = optimizer.case_optimizers[0]
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 ** (epoch + 1)),
        HyperparameterScheduler(lambda epoch: 0.25 * (epoch + 1), "gamma", bop),
        HyperparameterScheduler(lambda step: float(step), "threshold", bop, update_freq="step"),
    ]
    history = model.fit(x, y, batch_size=64, epochs=2, verbose=0, callbacks=callbacks).history
    assert float(optimizer.default_optimizer.learning_rate) == 0.25
    assert (float(bop.gamma), bop.threshold) == (0.5, 3.0)
    assert history["gamma"] == [0.25, 0.5] and history["threshold"] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bop(threshold=-1), ValueError, "threshold of at least 0"),
        (lambda: Bop(weight_decay=1e-4), ValueError, "no weight_decay"),
        (lambda: Bop(use_ema=True), ValueError, "no use_ema"),
        (lambda: Bop2(sigma=0), ValueError, "sigma"),
        (lambda: Bop2(epsilon=0), ValueError, "epsilon"),
        (lambda: CaseOptimizer("sgd"), TypeError, "pairs"),
        (lambda: (lambda o: CaseOptimizer((is_binary, o), default_optimizer=o))(Bop()), ValueError, "of its own"),
        (lambda: WeightClip(0), ValueError, "clip_value"),
        (lambda: Bipolar(order=3), ValueError, "order"),
        (lambda: Bipolar(-1), ValueError, "strength"),
        (lambda: Bipolar(target=0), ValueError, "target"),
        (lambda: Gradual("ste_sign", 1.5), ValueError, "from 0 to 1"),
        (lambda: Gradual(tf.sign), TypeError, "takes a Quantizer"),
        (lambda: GradualQuantization(5, 3), ValueError, "start <= end"),
        (lambda: TwoStageTraining(-1), ValueError, "at least 0"),
        (lambda: HyperparameterScheduler(float, "gamma", update_freq="batch"), ValueError, "update_freq"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_variable_that_no_case_takes():
    model = compiled(classifier(), CaseOptimizer((is_binary, Bop())))
    x, y = data(64)
    with pytest.raises(ValueError, match="No case of CaseOptimizer takes the variable"):
        model.fit(x, y, verbose=0)
    with pytest.raises(AttributeError, match="default_optimizer"):
        CaseOptimizer((is_binary, Bop())).learning_rate


def test_schedules_of_what_is_read_only_once_are_refused():
    x, y = data(64)
    model = compiled(classifier(), "adam")
    for name, message in (("beta_1", "has to be a variable"), ("speed", "no hyperparameter 'speed'")):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0, callbacks=[HyperparameterScheduler(float, name)])


@pytest.mark.parametrize(
    "optimizer",
    [
        Bop(0.5, 0.25, clipnorm=1.0),
        Bop(gamma=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
        Bop2(0.5, 0.25, 0.125, 1e-5, True, name="other"),
        bop_and_adam(),
    ],
)
def test_optimizers_from_their_config(optimizer):
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(restored) is type(optimizer)
    assert restored.get_config() == optimizer.get_config()


# Regularizers, constraints


def test_regularizer_and_clipping_in_a_layer(tmp_path):
    layer = QuantDense(4, kernel_regularizer=Bipolar(0.1, 2), kernel_constraint=WeightClip(0.75), **BINARY)
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.SGD(10.0), "mse")
    x = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    np.testing.assert_allclose(model.losses[0], 0.1 * np.sum((1 - np.abs(layer.kernel)) ** 2), rtol=1e-5)
    model.fit(x, np.ones((16, 4)), verbose=0)
    assert np.abs(layer.kernel).max() <= 0.75 + 1e-7
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert again.kernel_regularizer.get_config() == layer.kernel_regularizer.get_config()
    assert again.kernel_constraint.get_config() == layer.kernel_constraint.get_config()


@given(seed=seeds, order=st.sampled_from([1, 2]), target=st.sampled_from([0.5, 1.0]))
def test_gradient_of_the_bipolar_regularizer(seed, order, target):
    w = tf.Variable(np.random.default_rng(seed).normal(size=20).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = Bipolar(0.5, order, target)(w)
    v = w.numpy().astype(np.float64)
    inward = -np.sign(v) * (np.sign(target - np.abs(v)) if order == 1 else 2 * (target - np.abs(v)))
    np.testing.assert_allclose(tape.gradient(loss, w), 0.5 * inward, rtol=1e-5, atol=1e-6)


# Gradual quantization


@pytest.mark.parametrize("inner", ["ste_sign", "xnor_sign"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gradual_at_its_ends(inner, dtype):
    x = tf.cast(np.random.default_rng(0).normal(size=(30, 5)), dtype)
    quantizer = keras_ste.quantizers.get(inner)
    whole = Gradual(inner, strength=1.0)
    np.testing.assert_array_equal(tf.cast(whole(x), "float32"), tf.cast(quantizer(x), "float32"))
    for a, b in zip(whole.factors(x), quantizer.factors(x)):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(tf.cast(a, "float32"), tf.cast(b, "float32"))
    none = Gradual(inner, strength=0.0)
    tolerance = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    np.testing.assert_allclose(tf.cast(none(x), "float32"), tf.cast(x, "float32"), rtol=tolerance)


@given(seed=seeds, strength=st.floats(0, 1), inner=st.sampled_from(["ste_sign", "xnor_sign"]))
def test_values_and_gradients_between(seed, strength, inner):
    x = tf.constant(np.random.default_rng(seed).normal(size=(6, 3)), tf.float32)
    g = tf.constant(np.random.default_rng(seed + 1).normal(size=(6, 3)), tf.float32)
    gradual, plain = Gradual(inner, strength), keras_ste.quantizers.get(inner)
    values, gradients = [], []
    for quantizer in (gradual, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values.append(quantizer(x))
        gradients.append(tape.gradient(values[-1], x, output_gradients=g))
    np.testing.assert_allclose(values[0], (1 - strength) * x + strength * values[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[0], (1 - strength) * g + strength * gradients[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_warm_up_ends_in_the_plain_quantizer_and_converts(jit_compile, tmp_path):
    x, y = data(256)
    model = compiled(classifier(kernel_quantizer=Gradual("xnor_sign")), "adam", jit_compile=jit_compile)
    with pytest.raises(ValueError, match="its kernel_quantizer gives other values than integers"):
        keras_ste.convert(model, strict=True)
    with pytest.raises(ValueError, match="strength 1 only; its strength is 0"):
        training.gradual_quantizers(model)[0].encode(model.layers[2].kernel)
    warm_up = GradualQuantization(4, 12)
    history = model.fit(x, y, batch_size=64, epochs=4, verbose=0, callbacks=[warm_up]).history
    # Steps are counted from 0, and a step's strength is set before it: the last of 16 is number 15.
    assert history["strength"] == [0.0, 3 / 8, 7 / 8, 1.0]
    assert [warm_up.strength(step) for step in (0, 4, 8, 12, 99)] == [0, 0, 0.5, 1, 1]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert all(float(q.strength) == 1 for q in training.gradual_quantizers(again))
    np.testing.assert_array_equal(again(x), model(x))
    layer = again.layers[2]
    np.testing.assert_array_equal(layer.quantized_kernel, keras_ste.XnorSign()(layer.kernel))
    ops = [row.op for row in keras_ste.convert(again, strict=True).report.rows]
    assert ops.count("SteFullyConnected") == 2


def test_variables_of_the_same_path_are_all_found():
    layers = [QuantDense(3, kernel_quantizer=Gradual("ste_sign"), name="dense") for _ in range(2)]
    blocks = [keras.Sequential([keras.Input((3,)), layer], name="block") for layer in layers]
    parts = [keras.Sequential([keras.Input((3,)), block]) for block in blocks]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, parts[0](inputs) + parts[0](parts[1](inputs)))
    assert layers[0].kernel.path == layers[1].kernel.path
    found = training.weight_quantizers(model)
    assert list(found) == ["block/dense/kernel", "block/dense/kernel_1"]
    assert {id(variable) for _, variable in found.values()} == {id(layer.kernel) for layer in layers}


def test_two_stages():
    x, y = data(128)
    model = compiled(classifier(kernel_quantizer=Gradual("ste_sign")), "adam")
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([float(q.strength) for q in training.gradual_quantizers(model)])
    )
    model.fit(x, y, epochs=3, verbose=0, callbacks=[TwoStageTraining(2), look])
    assert seen == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(ValueError, match="kernel_quantizer=Gradual"):
        compiled(classifier(), "adam").fit(x, y, verbose=0, callbacks=[TwoStageTraining(2)])
    with pytest.raises(ValueError, match="has none"):
        compiled(classifier(), "adam").fit(x, y, verbose=0, callbacks=[GradualQuantization(0, 2)])


# Measurements


def test_the_monitor_counts_what_numpy_counts(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    x, y = data(128)
    model = compiled(classifier(), keras.optimizers.Adam(0.05))
    kernels = {layer.kernel.path: layer.kernel for layer in model.layers if isinstance(layer, QuantDense)}
    before = {path: kernel.numpy() for path, kernel in kernels.items()}
    monitor = QuantizationMonitor(log_dir=tmp_path)
    history = model.fit(x, y, verbose=0, callbacks=[monitor]).history
    (record,) = monitor.history
    assert set(record) == set(kernels)
    flips, stuck, count = 0, 0, 0
    for path, kernel in kernels.items():
        after = kernel.numpy()
        flipped = (before[path] >= 0) != (after >= 0)
        assert record[path]["flip_ratio"] == pytest.approx(flipped.mean())
        assert record[path]["saturated_share"] == pytest.approx((np.abs(after) > 1).mean())
        assert record[path]["code_histogram"] == {0: int((after < 0).sum()), 1: int((after >= 0).sum())}
        flips, stuck, count = flips + flipped.sum(), stuck + (np.abs(after) > 1).sum(), count + after.size
    assert 0 < flips
    assert history["flip_ratio"] == [pytest.approx(flips / count)]
    assert history["saturated_share"] == [pytest.approx(stuck / count)]
    (events,) = tmp_path.iterdir()
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {f"{kind}/{path}" for kind in ("flip_ratio", "saturated_share", "codes") for path in kernels} <= tags


def test_nothing_to_monitor():
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(2)])
    x, y = data(64)
    with pytest.raises(ValueError, match="no quantized weights"):
        compiled(model, "adam").fit(x, y, verbose=0, callbacks=[QuantizationMonitor()])
    with pytest.raises(ValueError, match="equal shapes"):
        training.flip_ratio([1, 2], [1])


def test_keras_s_own_moving_average_of_latent_weights():
    """use_ema of Keras's optimizers is the moving average of latents: the codes follow the average."""
    x, y = data(128)
    model = compiled(classifier(), keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    kernel = model.layers[2].kernel
    # Keras's average starts at the first weights it sees, those after the first step.
    average, steps = None, []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(kernel.numpy()))
    model.fit(x, y, batch_size=32, epochs=1, verbose=0, callbacks=[record])
    for weights in steps:
        average = weights if average is None else 0.5 * average + 0.5 * weights
    np.testing.assert_allclose(kernel, average, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.layers[2].quantized_kernel, np.where(kernel.numpy() >= 0, 1, -1))
