"""Annealed widths, progressive and partial quantization of whole models, and distillation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import keras_ste
from keras_ste.optimization import quantize_model, schemes
from keras_ste.quantizers import Lsq, SteSign, UniformQuantizer, XnorSign
from keras_ste.training import (
    BitWidthAnnealing,
    Distiller,
    Gradual,
    GradualQuantization,
    Partial,
    ProgressiveQuantization,
    gradual_quantizers,
)


def dense_model():
    layers = [keras.layers.Dense(6, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])


def data(count=16):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    return x, np.abs(x[:, :3])


def test_widths_fall_by_a_bit_and_end_as_the_models_own():
    model = quantize_model(dense_model(), "lsq(3, 4)")
    model.compile("sgd", "mse")
    layer, seen = model.layers[1], []

    def note(epoch, logs):
        q = layer.kernel_quantizer
        codes = layer.kernel_quantizer.encode(layer.kernel).numpy()
        assert abs(codes).max() <= q.high
        seen.append((q.bits, layer.input_quantizer.bits, logs["bits"], float(np.mean(q.step) * q.high)))

    callbacks = [BitWidthAnnealing(start=5), keras.callbacks.LambdaCallback(on_epoch_end=note)]
    model.fit(*data(), epochs=4, verbose=0, callbacks=callbacks, validation_data=data())
    assert [row[:3] for row in seen] == [(5, 5, 5), (4, 4, 4), (3, 4, 4), (3, 4, 4)]
    # The range goes on from width to width.
    ranges = [row[3] for row in seen]
    assert max(ranges) < 1.5 * min(ranges)
    assert layer.kernel_quantizer.get_config()["bits"] == 3
    assert len(np.unique(layer.quantized_kernel / layer.kernel_quantizer.step)) <= 7


def test_a_training_that_ends_early_leaves_the_models_widths():
    model = quantize_model(dense_model(), "lsq(2, 2)")
    model.compile("sgd", "mse")
    model.fit(*data(), epochs=1, verbose=0, callbacks=[BitWidthAnnealing(start=8, every=3)])
    assert model.layers[1].kernel_quantizer.bits == 2
    expected = model(data()[0])
    np.testing.assert_allclose(model.predict(data()[0], verbose=0), expected, rtol=1e-5, atol=1e-6)


@given(st.integers(2, 8), st.integers(2, 8))
def test_another_width_keeps_the_range(before, after):
    quantizer = Lsq(before, initial_step=0.5)
    quantizer.build((3,))
    quantizer.set_bits(after)
    assert (quantizer.low, quantizer.high) == (-(2 ** (after - 1)), 2 ** (after - 1) - 1)
    np.testing.assert_allclose(quantizer.step * quantizer.high, 0.5 * (2 ** (before - 1) - 1), rtol=1e-6)
    uniform = UniformQuantizer(before)
    uniform.set_bits(after)
    x = tf.constant([-1.0, 0.3, 0.8])
    np.testing.assert_array_equal(uniform(x), UniformQuantizer(after)(x))


def test_weights_are_quantized_first_then_inputs():
    model = quantize_model(dense_model(), schemes.get("xnor").gradual())
    assert len(gradual_quantizers(model)) == 8
    float_result = model(data()[0])
    reference = dense_model()
    for old, new in zip(reference.layers, model.layers, strict=True):
        old.kernel.assign(new.kernel)
        old.bias.assign(new.bias)
    np.testing.assert_allclose(reference(data()[0]), float_result, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    callback = ProgressiveQuantization(weights=(0, 4), inputs=(4, 8))
    history = model.fit(*data(), batch_size=8, epochs=5, verbose=0, callbacks=[callback]).history
    assert history["weight_strength"] == [0.25, 0.75, 1, 1, 1]
    assert history["input_strength"] == [0, 0, 0.25, 0.75, 1]
    layer = model.layers[1]
    np.testing.assert_array_equal(layer.quantized_kernel, XnorSign()(layer.kernel))
    keras_ste.convert(model, strict=True)


def test_schemes_made_gradual_keep_their_axes_and_functions():
    x = keras.Input((6, 6, 4))
    y = keras.layers.Conv2DTranspose(7, 2)(keras.layers.DepthwiseConv2D(3)(keras.layers.Conv2D(4, 1)(x)))
    model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
    found = quantize_model(model, schemes.get("lsq(4, 4)").gradual())
    quantizers = [getattr(layer, next(iter(layer.quantized_weights))) for layer in found.layers[2:4]]
    assert [tuple(q.quantizer.step.shape) for q in quantizers] == [(1, 1, 4, 1), (1, 1, 7, 1)]
    bitnet = quantize_model(model, schemes.get("bitnet").gradual())
    assert all(isinstance(layer.input_quantizer, Gradual) for layer in bitnet.layers[1:])


@pytest.mark.parametrize("choice", ["largest", "random"])
@pytest.mark.parametrize("scheme", ["xnor", "lsq(4, 4)"])
def test_a_growing_share_of_the_weights_of_a_model_is_quantized(scheme, choice):
    """Incremental and stochastic quantization of a whole model, from float to the file."""
    x, y = data()
    reference = dense_model()
    model = quantize_model(reference, schemes.get(scheme).gradual(choice=choice), strict=True)
    weights = [layer.kernel_quantizer for layer in model.layers]
    assert all(isinstance(q, Partial) and q.choice == choice for q in weights)
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[ProgressiveQuantization((0, 4), (2, 5))])
    assert all(q.strength == 1 for q in gradual_quantizers(model))
    for layer in model.layers:
        np.testing.assert_array_equal(layer.quantized_kernel, layer.kernel_quantizer.quantizer(layer.kernel))
    keras_ste.convert(model, strict=True, verify=x)


@given(st.floats(0, 1), st.integers(1, 30))
def test_the_largest_share_is_quantized(share, size):
    x = np.random.default_rng(size).normal(size=size).astype("float32")
    q = Partial(SteSign(), strength=share)
    values = q(tf.constant(x)).numpy()
    chosen = values != x
    count = int(np.round(np.float32(share) * np.float32(size)))
    assert chosen.sum() == count
    assert not count or np.abs(x)[chosen].min() >= np.abs(x)[~chosen].max(initial=0)
    np.testing.assert_array_equal(values[chosen], np.where(x[chosen] >= 0, 1, -1))


def test_at_full_strength_a_partial_quantizer_is_the_quantizer():
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 8)).astype("float32"))
    for choice in ("largest", "random"):
        q = Partial(XnorSign(), strength=1.0, choice=choice)
        np.testing.assert_array_equal(q(x, training=True), XnorSign()(x))
        np.testing.assert_array_equal(q.encode(x)[0], XnorSign().encode(x)[0])


def test_channels_are_drawn_in_training_only():
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 400)).astype("float32"))
    q = Partial(SteSign(), strength=0.25, choice="random", seed=1)
    first, second = (q(x, training=True).numpy() != x.numpy() for _ in range(2))
    for chosen in (first, second):
        assert np.all(chosen == chosen[:1])
        assert 0.15 < chosen[0].mean() < 0.35
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(q(x), SteSign()(x))


@pytest.mark.parametrize("choice", ["largest", "random"])
def test_partial_quantizers_train_and_are_moved_and_saved(choice, tmp_path):
    layers = [
        keras_ste.QuantDense(8, kernel_quantizer=Partial("xnor_sign", choice=choice), activation="relu"),
        keras_ste.QuantDense(3),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "mse")
    history = model.fit(*data(), batch_size=8, epochs=3, verbose=0, callbacks=[GradualQuantization(0, 4)]).history
    assert history["strength"] == [0.25, 0.75, 1.0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0].kernel_quantizer, Partial)
    np.testing.assert_array_equal(loaded(data()[0]), model(data()[0]))


def teacher_and_student():
    teacher = dense_model()
    return teacher, quantize_model(teacher, "xnor")


def test_the_loss_of_a_distiller_is_the_one_of_its_docstring():
    teacher, student = teacher_and_student()
    x, _ = data()
    y = np.arange(len(x)) % 3
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller = Distiller(student, teacher, alpha=0.25, temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), cross_entropy)
    student(x, training=True)
    taught, said = (tf.nn.softmax(model(x) / 2.0).numpy() for model in (teacher, student))
    divergence = 4 * np.mean(np.sum(taught * np.log(taught / said), -1))
    expected = 0.75 * float(cross_entropy(y, student(x))) + 0.25 * divergence
    history = distiller.fit(x, y, batch_size=len(x), verbose=0).history
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-4)
    np.testing.assert_allclose(history["distillation_loss"], [divergence], rtol=1e-4)
    evaluated = [float(cross_entropy(y, student(x))), divergence]
    np.testing.assert_allclose(distiller.evaluate(x, y, verbose=0), evaluated, rtol=1e-4)
    np.testing.assert_array_equal(distiller(x), student(x))


@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_a_student_comes_nearer_to_its_teacher_which_stays(loss):
    teacher, student = teacher_and_student()
    teacher.layers[0].kernel_regularizer = keras.regularizers.L2(0.1)
    x, y = data(64)
    before = [value.copy() for value in teacher.get_weights()]
    distiller = Distiller(student, teacher, alpha=1.0, temperature=1.0, loss=loss)
    distiller.compile(keras.optimizers.AdamW(0.02, weight_decay=0.01), "mse")
    history = distiller.fit(x, y, epochs=15, verbose=0).history["distillation_loss"]
    assert history[-1] < 0.85 * history[0]
    assert all(np.array_equal(*pair) for pair in zip(before, teacher.get_weights(), strict=True))
    assert {id(v) for v in distiller.trainable_variables} == {id(v) for v in student.trainable_variables}


def test_a_distiller_is_saved_with_both_of_its_models(tmp_path):
    teacher, student = teacher_and_student()
    distiller = Distiller(student, teacher, alpha=0.25, temperature=2.0, loss="mse")
    distiller.compile("adam", "mse")
    distiller.fit(*data(), verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    for role in ("student", "teacher"):
        np.testing.assert_array_equal(getattr(loaded, role)(data()[0]), getattr(distiller, role)(data()[0]))
    configs = [model.get_config() for model in (distiller, loaded)]
    for key in ("alpha", "temperature", "loss", "from_logits"):
        assert configs[0][key] == configs[1][key]


def test_bad_arguments_are_refused():
    teacher, student = teacher_and_student()
    for options, message in (
        ({"alpha": 2}, "alpha"),
        ({"temperature": 0}, "temperature"),
        ({"loss": "l1"}, "loss"),
    ):
        with pytest.raises(ValueError, match=f"Distiller's {message}"):
            Distiller(student, teacher, **options)
    with pytest.raises(TypeError, match="teacher must be"):
        Distiller(student, None)
    with pytest.raises(ValueError, match="2 to 16 bits"):
        BitWidthAnnealing(1)
    with pytest.raises(ValueError, match="0 <= start <= end"):
        ProgressiveQuantization((3, 2), (0, 0))
    with pytest.raises(ValueError, match="choice must be"):
        Partial("ste_sign", choice="smallest")
    teacher.compile("sgd", "mse")
    for callback in (BitWidthAnnealing(), ProgressiveQuantization((0, 1), (1, 2))):
        with pytest.raises(ValueError, match="has none"):
            teacher.fit(*data(), verbose=0, callbacks=[callback])
