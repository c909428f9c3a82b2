"""Compiled training steps of one layer, in Keras 3 and, for Larq, in tf_keras, and their times."""

import time

import numpy as np
import tensorflow as tf

CONV = {"filters": 128, "kernel_size": 3, "padding": "same"}
CONV_INPUT = (32, 28, 28, 128)
DENSE = {"units": 1024}
DENSE_INPUT = (256, 1024)


def training_step(keras, layers, shape):
    """A compiled step on one fixed batch, and its model: Adam, mean squared error.

    Args:
        keras: the module, Keras 3 or tf_keras.
        layers: a function from a Keras tensor to another, a layer or a block.
        shape: of the batch.

    Returns:
        A function, which returns when the weights are updated, and the model.
    """
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape).astype(np.float32))
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layers(inputs))
    target = tf.zeros(tf.shape(model(x)))
    optimizer = keras.optimizers.Adam(1e-4)
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - target))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    def run():
        step().numpy()

    return run, model


def seconds(run, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def seconds_of_both(run, reference, repeats, reference_first=False):
    """The seconds of one call of each, one after the other: `[run's, reference's]`."""
    if reference_first:
        return seconds_of_both(reference, run, repeats)[::-1]
    return [seconds(run, repeats), seconds(reference, repeats)]
