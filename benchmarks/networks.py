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
# With a teacher, the share of the loss that is the distance to what it says, and the temperature of both.
ALPHA = 0.9
TEMPERATURE = 4.0


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


def relu_convnet(keras, inner=None):
    """Four convolutions with batch normalization and ReLU, at 14x14 and 7x7 pixels, and a classifier.

    Args:
        keras: the module.
        inner: makes the layers of each convolution but the first from the number of filters and further arguments of a
            Conv2D. What it makes stands for the ReLU before it too, so that a library may have its own there. By default the
            layers of a float network.
    """
    layers = [keras.Input((28, 28, 1))]
    for i, (filters, strides) in enumerate(zip((16, 32, 64, 64), (2, 2, 1, 1))):
        arguments = {"kernel_size": 3, "strides": strides, "padding": "same", "use_bias": False}
        if i and inner is not None:
            layers += inner(filters, **arguments)
        else:
            layers += [keras.layers.ReLU()] if i else []
            layers.append(keras.layers.Conv2D(filters, **arguments))
        layers.append(keras.layers.BatchNormalization(momentum=0.9))
    return keras.Sequential([*layers, keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(CLASSES)])


def save_weights(model, path):
    """Writes the weights, layer by layer, so that any Keras reads them."""
    np.savez(path, *(array for layer in model.layers for array in layer.get_weights()))


def load_weights(model, path):
    """Gives the layers, in their order, what `save_weights` wrote."""
    with np.load(path) as file:
        arrays = iter([file[f"arr_{i}"] for i in range(len(file.files))])
    for layer in model.layers:
        layer.set_weights([next(arrays) for _ in layer.get_weights()])
    if next(arrays, None) is not None:
        raise ValueError(f"{path} has more weights than the network {model.name}")


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


def train(keras, model, images, labels, epochs, rate, seed, teacher=None):
    """Adam, its rate falling to zero along a cosine; returns the CPU seconds of all threads.

    The loss is the cross entropy with the labels; where there are the logits of a `teacher` for the images, that with what it says,
    too: arXiv:1503.02531.
    """
    start = time.process_time()
    steps = epochs * (len(images) // BATCH)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    variables = model.trainable_variables
    optimizer.build(variables)
    x, y = as_inputs(images), tf.constant(labels.astype(np.int32))
    taught = None if teacher is None else tf.nn.softmax(teacher / TEMPERATURE)

    @tf.function
    def step(index):
        with tf.GradientTape() as tape:
            logits = model(tf.gather(x, index), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(y, index), logits))
            if taught is not None:
                said = logits / TEMPERATURE
                distance = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.gather(taught, index), said))
                loss = (1 - ALPHA) * loss + ALPHA * TEMPERATURE**2 * distance
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    for index in batches(len(images), epochs, seed):
        step(tf.constant(index))
    return time.process_time() - start


def logits_of(model, images):
    """What the model says of the images, float32 [n, 10]."""
    predict = tf.function(lambda x: model(x, training=False))
    return np.concatenate([predict(as_inputs(images[i : i + 1000])).numpy() for i in range(0, len(images), 1000)])


def accuracy(model, images, labels):
    """The share of the images that are classified right."""
    return float(np.mean(logits_of(model, images).argmax(1) == labels))


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
    initialize(model, seed)
    return fine_tuned(keras, model, directory, options, seed)


def fine_tuned(keras, model, directory, options, seed, teacher=None):
    """As `trained`, from the weights that the model has; `teacher` is a file of its teacher's logits for the training images."""
    images, labels = fashion_data.load_split(directory, "train")
    held_out = fashion_data.load_split(directory, "t10k") if options["test"] else (images[-HELD_OUT:], labels[-HELD_OUT:])
    count = options["images"]
    if count > len(images) - (0 if options["test"] else HELD_OUT):
        raise ValueError(f"{count} images are not to be had")
    taught = None if teacher is None else np.load(teacher)[:count]
    seconds = train(keras, model, images[:count], labels[:count], options["epochs"], options["rate"], seed, taught)
    return {"accuracy": accuracy(model, *held_out), "cpu_seconds": seconds}
