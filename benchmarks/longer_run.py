"""Trains a binary convnet of fewer than 0.5 M parameters on Fashion-MNIST for longer than the other benchmarks do.

    python benchmarks/longer_run.py [--quick] [--seed N] [--threads N] [--log PATH] [--save PATH] [--load PATH] [--json PATH]

The binary convolutions have a shortcut each, as in Bi-Real Net (arXiv:1808.00278), learned thresholds and RPReLU, as in ReActNet
(arXiv:2003.03488). First the float twin is trained, then the binary network, from the twin's weights and towards its answers as well as
the labels. All 60,000 training images are used and no test image is looked at before the last step. docs/longer_run.log is what a run of
it printed.
"""

import pathlib
import sys
import time

import common
import keras
import numpy as np
import tensorflow as tf

import keras_ste

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))
import fashion_data

BATCH = 128
CHANNELS = 64
FINE_CONVOLUTIONS, COARSE_CONVOLUTIONS = 3, 2  # at 14x14 pixels, and with twice the channels at 7x7
TWIN_EPOCHS, EPOCHS = 10, 24
TWIN_RATE, RATE = 3e-3, 2e-3
TEMPERATURE, TWIN_SHARE = 2.0, 0.5
SHIFT = 2
AT_LEAST = 0.929


def network(binary):
    """Images of 28x28 pixels between -1 and 1 to ten logits; stem, transition and classifier are in float."""
    inputs = keras.Input((28, 28, 1))
    x = convolution(inputs, 16, 3)
    x = keras.layers.ReLU()(x)
    x = convolution(x, CHANNELS, 3, strides=2)
    for i in range(FINE_CONVOLUTIONS):
        x = residual(x, binary, f"fine_{i}")
    x = keras.layers.AveragePooling2D(2)(x)
    x = convolution(x, 2 * CHANNELS, 1)
    for i in range(COARSE_CONVOLUTIONS):
        x = residual(x, binary, f"coarse_{i}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(10, dtype="float32")(x)
    return keras.Model(inputs, logits, name="binary" if binary else "float_twin")


def convolution(x, filters, size, strides=1):
    x = keras.layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return keras.layers.BatchNormalization(momentum=0.9)(x)


def residual(x, binary, name):
    quantizers = {"input_quantizer": "rsign", "kernel_quantizer": "magnitude_aware_sign"} if binary else {}
    y = keras_ste.QuantConv2D(x.shape[-1], 3, padding="same", use_bias=False, name=name, **quantizers)(x)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    return keras_ste.RPReLU()(keras.layers.Add()([x, y]))


def take_weights(student, twin):
    """All weights of the twin; the thresholds, which it has not, stay what they are."""
    for ours, theirs in zip(student.layers, twin.layers, strict=True):
        others = [variable for variable in ours.variables if "threshold" not in variable.path]
        for variable, value in zip(others, theirs.variables, strict=True):
            variable.assign(value)


def augmented(images, rng):
    """Half of the images mirrored, all moved by up to SHIFT pixels."""
    images = images.copy()
    mirrored = rng.random(len(images)) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), constant_values=-1)
    y = rng.integers(0, 2 * SHIFT + 1, len(images))[:, None] + np.arange(28)
    x = rng.integers(0, 2 * SHIFT + 1, len(images))[:, None] + np.arange(28)
    return padded[np.arange(len(images))[:, None, None], y[:, :, None], x[:, None, :]]


def training_step(model, optimizer, twin=None):
    """A function of images and labels that trains once and returns the loss and the number of right answers."""

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            if twin is not None:
                answers = tf.nn.softmax(twin(images, training=False) / TEMPERATURE)
                softened = tf.nn.softmax_cross_entropy_with_logits(answers, logits / TEMPERATURE)
                loss = (1 - TWIN_SHARE) * loss + TWIN_SHARE * TEMPERATURE**2 * tf.reduce_mean(softened)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.int32))
        return loss, right

    return step


def train(model, images, labels, epochs, rate, seed, log, twin=None):
    """Adam; the rate rises for a twentieth of the steps and falls to zero along a cosine."""
    steps = len(images) // BATCH
    warmup = epochs * steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps - warmup, warmup_target=rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(model.trainable_variables)
    step = training_step(model, optimizer, twin)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        losses, right = [], 0
        for indices in rng.permutation(len(images))[: steps * BATCH].reshape(-1, BATCH):
            loss, count = step(augmented(images[indices], rng), labels[indices])
            losses.append(float(loss))
            right += int(count)
        log(
            f"{model.name:<10} epoch {epoch + 1:>2}/{epochs}  loss {np.mean(losses):.4f}  "
            f"right in training {right / (steps * BATCH):.4f}  CPU {time.process_time() / 60:.1f} min"
        )


def accuracy(model, images, labels):
    return float(np.mean(model.predict(images, batch_size=500, verbose=0).argmax(-1) == labels))


def converted_accuracy(model, images, labels):
    """Accuracy of the converted network, and how many of its classes are those of Keras; both compute in float32 but for the signs."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    twin = network(binary=True)
    keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    interpreter = keras_ste.Interpreter(model_content=keras_ste.convert(twin, strict=True).model_content)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, [500, *images.shape[1:]])
    interpreter.allocate_tensors()
    classes = []
    for batch in images.reshape(-1, 500, *images.shape[1:]):
        interpreter.set_tensor(place, batch)
        interpreter.invoke()
        classes.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax(-1))
    classes = np.concatenate(classes)
    equal = int(np.sum(classes == twin.predict(images, batch_size=500, verbose=0).argmax(-1)))
    return float(np.mean(classes == labels)), equal


def binary_weights(model):
    """The number of weights that are one bit each; raises where the effective ones take other values."""
    count = 0
    for layer in model.layers:
        if isinstance(layer, keras_ste.QuantConv2D):
            kernel = np.abs(layer.quantized_kernel.numpy())
            if not (kernel == kernel[:1, :1, :1]).all():
                raise ValueError(f"The weights of {layer.name} are no signs times a scale for each channel.")
            count += kernel.size
    return count


def trained(options, images, labels, log):
    """The float twin and the binary network that it taught."""
    twin_epochs, epochs = TWIN_EPOCHS, EPOCHS
    if options.quick:
        images, labels, twin_epochs, epochs = images[:6400], labels[:6400], 1, 1
    twin, model = network(binary=False), network(binary=True)
    train(twin, images, labels, twin_epochs, TWIN_RATE, options.seed, log)
    take_weights(model, twin)
    train(model, images, labels, epochs, RATE, options.seed + 1, log, twin)
    return twin, model


def main():
    parser = common.argument_parser(__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", metavar="PATH", help="also write what is printed to this file")
    parser.add_argument("--save", metavar="PATH", help="write the binary network to this .keras file")
    parser.add_argument("--load", metavar="PATH", help="test the network that --save has written, instead of training one")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(options.seed)
    # Products of signs are exact in bfloat16, and the sums are made in float32.
    keras.config.set_dtype_policy("mixed_bfloat16")

    file = open(options.log, "w", encoding="utf-8") if options.log else None

    def log(line):
        print(line, flush=True)
        if file:
            print(line, file=file, flush=True)

    log(f"python benchmarks/longer_run.py {' '.join(sys.argv[1:])}")
    log(f"seed {options.seed}, {options.threads} threads, {common.processor()}")
    images, labels = fashion_data.load_split(fashion_data.DEBIAN_DATA, "train")
    test_images, test_labels = fashion_data.load_split(fashion_data.DEBIAN_DATA, "t10k")
    images, test_images = (x.astype(np.float32) / 127.5 - 1 for x in (images, test_images))

    rows = common.Rows()
    if options.load:
        model = keras.models.load_model(options.load)
    else:
        start = time.perf_counter()
        twin, model = trained(options, images, labels.astype(np.int32), log)
        minutes, cpu = (time.perf_counter() - start) / 60, time.process_time() / 60
        rows.add("binary convnet", "CPU minutes", cpu, at_most=240)
        rows.add("float twin", "test accuracy", accuracy(twin, test_images, test_labels))
        log(f"{minutes:.0f} min, {cpu:.0f} CPU min; float twin {rows.rows[-1]['value']:.4f} of the test images")
    if options.save:
        model.save(options.save)

    at_least = None if options.quick else AT_LEAST
    own = accuracy(model, test_images, test_labels)
    converted, equal = converted_accuracy(model, test_images, test_labels)
    log(f"{model.count_params():,} parameters, {binary_weights(model):,} of them one bit")
    log(f"binary {own:.4f} of the 10,000 test images; converted {converted:.4f}, {equal:,} classes as in Keras in float32")
    rows.add("binary convnet", "parameters", model.count_params(), at_most=500_000)
    rows.add("binary convnet", "test accuracy", own, at_least=at_least)
    rows.add("binary convnet", "test accuracy, converted", converted, at_least=at_least)
    rows.add("binary convnet", "classes equal to Keras's", equal, at_least=len(test_labels))
    rows.finish(options.json)


if __name__ == "__main__":
    main()
