"""SurrogateScheduler: which schedules it finds, where it moves them, and that nothing is traced again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste import straight_through
from keras_ste.estimators import DSQ, EDE, EWGS, Tanh, schedules
from keras_ste.layers import QuantDense
from keras_ste.optimization import LayerScheme, Scheme, quantize_model
from keras_ste.quantizers import SteSign
from keras_ste.training import HyperparameterScheduler, SurrogateScheduler, schedules_of

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X[:, :2]


def model_with(schedule, **compile_arguments):
    model = keras.Sequential(
        [keras.Input((6,)), QuantDense(2, kernel_quantizer=SteSign(surrogate=EDE(t=schedule)))]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", **compile_arguments)
    return model


class Record(keras.callbacks.Callback):
    """What the variable of a schedule holds in each step."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule, self.values = schedule, []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(self.schedule.variable))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_epoch_is_its_share_of_the_schedule(jit_compile):
    schedule = schedules.EDESchedule()
    record = Record(schedule)
    model = model_with(schedule, jit_compile=jit_compile)
    model.fit(X, Y, batch_size=20, epochs=4, verbose=0, callbacks=[SurrogateScheduler(), record])
    expected = np.repeat([0.1 * 100 ** (epoch / 4) for epoch in range(4)], 2)
    np.testing.assert_allclose(record.values, expected, rtol=1e-6)


def test_layers_of_a_quantized_model_have_schedules_of_their_own_that_are_moved():
    net = keras.Sequential([keras.Input((6,)), *(keras.layers.Dense(units) for units in (5, 5, 2))])
    signs = SteSign(surrogate=EDE(t=schedules.EDESchedule()))
    each = LayerScheme(signs, signs)
    model = quantize_model(net, Scheme("ede", each, first=each, last=each))
    found = schedules_of(model)
    assert len({id(schedule.variable) for schedule in found}) == 6
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[SurrogateScheduler()])
    np.testing.assert_allclose([schedule.variable for schedule in found], 0.1 * 100**0.75, rtol=1e-6)


def test_a_step_is_its_share_of_the_schedule():
    schedule = schedules.Linear(1.0, 3.0)
    record = Record(schedule)
    callbacks = [SurrogateScheduler([schedule], update_freq="step"), record]
    model_with(schedule).fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(record.values, 1 + 2 * np.arange(8) / 8, rtol=1e-6)


@pytest.mark.parametrize("update_freq, total", [("epoch", 4), ("step", 16)])
def test_a_training_in_two_parts_is_one(update_freq, total):
    schedule = schedules.EDESchedule()
    record = Record(schedule)
    model = model_with(schedule)
    for first, last in ((0, 1), (1, 4)):
        callbacks = [SurrogateScheduler(update_freq=update_freq, total=total), record]
        model.fit(
            X, Y, batch_size=10, initial_epoch=first, epochs=last, verbose=0, callbacks=callbacks
        )
    progress = np.arange(16) / 16 if update_freq == "step" else np.repeat(np.arange(4) / 4, 4)
    np.testing.assert_allclose(record.values, 0.1 * 100**progress, rtol=1e-6)


def test_beyond_the_total_it_stays_at_the_end():
    schedule = schedules.EDESchedule()
    callbacks = [SurrogateScheduler(total=1)]
    model_with(schedule).fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)
    assert schedule.progress == 1.0 and float(schedule.variable) == pytest.approx(10.0)


def test_the_gradient_follows_and_nothing_is_traced_again():
    schedule = schedules.Exponential(1.0, 4.0)
    estimator = straight_through(tf.sign, Tanh(schedule))
    traces = []

    @tf.function
    def gradient(x):
        traces.append(1)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = estimator(x)
        return tape.gradient(y, x)

    for progress, sharpness in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        schedule.progress = progress
        np.testing.assert_allclose(gradient(tf.zeros([1])), [sharpness], rtol=1e-6)
    assert len(traces) == 1


def test_the_general_scheduler_moves_a_schedule_too():
    schedule = schedules.Linear(1.0, 3.0)
    callback = HyperparameterScheduler(lambda epoch: epoch / 2, "progress", target=schedule)
    model_with(schedule).fit(X, Y, epochs=2, verbose=0, callbacks=[callback])
    assert float(schedule.variable) == 2.0


def test_schedules_are_found_wherever_surrogates_are():
    kernel, inner, activation = (schedules.Linear(1.0, 2.0) for _ in range(3))
    shared = SteSign(surrogate=Tanh(kernel))
    nested = SteSign(surrogate=EWGS(surrogate=DSQ(schedules.Linear(0.1, 0.2))))
    model = keras.Sequential(
        [
            keras.Input((6,)),
            QuantDense(4, kernel_quantizer=shared, input_quantizer=SteSign(surrogate=EDE(inner))),
            keras.layers.Dense(4, activation=straight_through(tf.round, Tanh(activation))),
            keras.Sequential([QuantDense(4, kernel_quantizer=shared)]),
            QuantDense(4, kernel_quantizer=nested),
        ]
    )
    model(X)
    found = schedules_of(model)
    assert len(found) == 4 and len({id(schedule) for schedule in found}) == 4
    for schedule in (kernel, inner, activation, nested.surrogate.surrogate.alpha):
        assert any(schedule is each for each in found)


def test_a_saved_model_keeps_the_progress(tmp_path):
    schedule = schedules.EDESchedule()
    model = model_with(schedule)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[SurrogateScheduler()])
    model.save(tmp_path / "m.keras")
    (loaded,) = schedules_of(keras.models.load_model(tmp_path / "m.keras"))
    assert loaded.progress == schedule.progress == 0.5
    assert float(loaded.variable) == float(schedule.variable)


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="update_freq.*'batch'"):
        SurrogateScheduler(update_freq="batch")
    with pytest.raises(ValueError, match="positive.*total=0"):
        SurrogateScheduler(total=0)
    with pytest.raises(ValueError, match="no schedule in the model"):
        model_with(0.5).fit(X, Y, verbose=0, callbacks=[SurrogateScheduler()])
    endless = tf.data.Dataset.from_generator(
        lambda: iter([(X, Y)]),
        output_signature=(tf.TensorSpec([40, 6]), tf.TensorSpec([40, 2])),
    )
    with pytest.raises(ValueError, match="does not say how many steps"):
        callbacks = [SurrogateScheduler(update_freq="step")]
        model_with(schedules.EDESchedule()).fit(endless, verbose=0, callbacks=callbacks)
