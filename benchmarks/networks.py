"""The networks of accuracy.py and their training, the same in Keras 3 and, for Larq, in tf_keras.

The Keras to use is the first argument, so that this file has no import of one. Weights start from values that NumPy draws, batches
come in an order that NumPy draws: two libraries that compute alike are trained alike.
"""

import time

import fashion_data
import numpy as np
import tensorflow as tf

BATCH = 128
CLASSES = 10
HELD_OUT = 10000


def use_one_thread():
    """So that the seconds of a training are those of one core, and its sums are added in one order."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def convnet(keras, binary_convolution, filters):
    """A float convolution, binary ones at 14x14 and 7x7 pixels, and a float classifier.

    Args:
        keras: the module.
        binary_convolution: a function of the number of filters and further arguments of a Conv2D, which returns the layers of a
            convolution whose inputs and weights are signs.
        filters: of the float convolution and of each binary one, the first of which is pooled.
    """
    arguments = {"kernel_size": 3, "padding": "same", "use_bias": False}
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(filters[0], strides=2, **arguments),
        keras.layers.BatchNormalization(momentum=0.9),
    ]
    for i, count in enumerate(filters[1:]):
        layers += binary_convolution(count, **arguments, kernel_constraint=keras.constraints.get(clipped))
        if i == 0:
            layers.append(keras.layers.MaxPooling2D())
        layers.append(keras.layers.BatchNormalization(momentum=0.9))
    layers += [keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    return keras.Sequential(layers)


def clipped(kernel):
    """The constraint on latent weights, which no gradient reaches beyond 1."""
    return tf.clip_by_value(kernel, -1.0, 1.0)


def initialize(model, seed):
    """Draws all kernels anew, Glorot's uniform distribution."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            fan = (shape[-1] + shape[-2]) * np.prod(shape[:-2])
            variable.assign(rng.uniform(-1, 1, shape) * np.sqrt(6 / fan))


def batches(count, epochs, seed):
    """The indices of each step's images: every epoch another order, what does not fill a batch left out."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(count).astype(np.int32)
        yield from order[: count // BATCH * BATCH].reshape(-1, BATCH)


def as_inputs(images):
    return tf.constant(images.astype(np.float32) / 127.5 - 1.0)


def train(keras, model, images, labels, epochs, rate, seed):
    """Adam, its rate falling to zero along a cosine; returns the CPU seconds of all threads."""
    start = time.process_time()
    steps = epochs * (len(images) // BATCH)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    variables = model.trainable_variables
    optimizer.build(variables)
    x, y = as_inputs(images), tf.constant(labels.astype(np.int32))

    @tf.function
    def step(index):
        with tf.GradientTape() as tape:
            logits = model(tf.gather(x, index), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(y, index), logits))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    for index in batches(len(images), epochs, seed):
        step(tf.constant(index))
    return time.process_time() - start


def accuracy(model, images, labels):
    """The share of the images that are classified right."""
    predict = tf.function(lambda x: tf.argmax(model(x, training=False), axis=1))
    classes = [predict(as_inputs(images[i : i + 1000])).numpy() for i in range(0, len(images), 1000)]
    return float(np.mean(np.concatenate(classes) == labels))


def trained(keras, model, directory, options, seed):
    """Trains `model` on the first of the training images, and looks at others.

    Args:
        directory: of Fashion-MNIST's files.
        options: `images`, `epochs` and `rate`; and whether to `test` on the test images, or on the last of the training images, so
            that these choose among surrogates and the test images judge.
        seed: of the weights and of the order of the batches.

    Returns:
        The share that is right, and the CPU seconds of the training.
    """
    images, labels = fashion_data.load_split(directory, "train")
    held_out = fashion_data.load_split(directory, "t10k") if options["test"] else (images[-HELD_OUT:], labels[-HELD_OUT:])
    if options["images"] > len(images) - (0 if options["test"] else HELD_OUT):
        raise ValueError(f"{options['images']} images are not to be had")
    initialize(model, seed)
    seconds = train(
        keras, model, images[: options["images"]], labels[: options["images"]], options["epochs"], options["rate"], seed
    )
    return {"accuracy": accuracy(model, *held_out), "cpu_seconds": seconds}
