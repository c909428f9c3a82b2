"""Times a training step of each quantized layer against the same step of its float Keras layer.

    python benchmarks/training.py [--quick] [--json PATH]

Graph mode, Adam, mean squared error; the steps alternate, and the figure is the median of the ratios of neighbouring rounds.
Where qkeras-v3 is installed (pip install qkeras-v3), its layer is timed against the same float layer too.
"""

import functools
import importlib.util
import statistics
import time

import common
import keras
import numpy as np
import tensorflow as tf

import keras_ste
from keras_ste.blocks import bitnet_block

CONV = {"filters": 128, "kernel_size": 3, "padding": "same"}
CONV_INPUT = (32, 28, 28, 128)
DENSE = {"units": 1024}
DENSE_INPUT = (256, 1024)
BLOCK = {"heads": 4, "hidden": 768}
BLOCK_INPUT = (16, 128, 256)
FLOAT = {"kernel_quantizer": None, "input_quantizer": None}


def both(quantizer):
    return {"input_quantizer": quantizer, "kernel_quantizer": quantizer}


# case, shape of a batch, quantized layer or block, float layer or block, at most
CASES = [
    (
        "Conv2D 3x3x128, W1A1",
        CONV_INPUT,
        lambda: keras_ste.QuantConv2D(**CONV, **both("ste_sign")),
        lambda: keras.layers.Conv2D(**CONV),
        1.05,
    ),
    (
        "Dense 1024, W1A1",
        DENSE_INPUT,
        lambda: keras_ste.QuantDense(**DENSE, **both("ste_sign")),
        lambda: keras.layers.Dense(**DENSE),
        1.10,
    ),
    (
        "Dense 1024, W4A4 uniform",
        DENSE_INPUT,
        lambda: keras_ste.QuantDense(**DENSE, **both({"class_name": "UniformQuantizer", "config": {"bits": 4}})),
        lambda: keras.layers.Dense(**DENSE),
        1.20,
    ),
    (
        "Dense 1024, W4A4 LSQ",
        DENSE_INPUT,
        lambda: keras_ste.QuantDense(**DENSE, **both({"class_name": "Lsq", "config": {"bits": 4}})),
        lambda: keras.layers.Dense(**DENSE),
        1.25,
    ),
    (
        "BitNet block, d=256",
        BLOCK_INPUT,
        lambda: functools.partial(bitnet_block, **BLOCK),
        lambda: functools.partial(bitnet_block, **BLOCK, **FLOAT),
        1.25,
    ),
]


def qkeras_cases():
    """qkeras-v3's layers for the cases above, or nothing where it is not installed."""
    if importlib.util.find_spec("qkeras") is None:
        return {}
    import qkeras

    def binary(cls, arguments):
        return qkeras.QActivation("binary(alpha=1)"), cls(kernel_quantizer="binary(alpha=1)", **arguments)

    return {
        "Conv2D 3x3x128, W1A1": lambda: keras.Sequential(binary(qkeras.QConv2D, CONV)),
        "Dense 1024, W1A1": lambda: keras.Sequential(binary(qkeras.QDense, DENSE)),
    }


def training_step(layer, shape):
    """A compiled step of a layer or block on one fixed batch; called, it returns when the weights are updated."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape).astype(np.float32))
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))
    target = tf.zeros(tf.shape(model(x)))
    optimizer = keras.optimizers.Adam(1e-4)
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - target))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def run():
        step().numpy()

    return run


def seconds(run, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def ratio(run, reference, rounds, repeats=3):
    """The median over the rounds of run's time by the reference's; and the median times."""
    for warm in (run, reference):
        warm()
        warm()
    pairs = []
    for i in range(rounds):
        order = (run, reference) if i % 2 else (reference, run)
        times = {each: seconds(each, repeats) for each in order}
        pairs.append((times[run], times[reference]))
    return (
        statistics.median(a / b for a, b in pairs),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )


def main():
    options = common.arguments(__doc__.split("\n")[0])
    common.print_header(("keras_ste", "tensorflow", "keras", "qkeras-v3", "numpy"))
    rows = common.Rows()
    peers = qkeras_cases()
    rounds = 7 if options.quick else 25
    print(f"{'case':<28}{'ms':>10}{'float ms':>10}{'ratio':>8}{'qkeras-v3':>11}")
    for case, shape, quantized, plain, bound in CASES:
        float_step = training_step(plain(), shape)
        own, mine, reference = ratio(training_step(quantized(), shape), float_step, rounds)
        rows.add(case, "step ms", 1e3 * mine)
        rows.add(case, "float step ms", 1e3 * reference)
        rows.add(case, "step / float step", own, at_most=bound)
        text = "-"
        if case in peers:
            peer, _, _ = ratio(training_step(peers[case](), shape), float_step, rounds)
            rows.add(case, "qkeras-v3 step / float step", peer)
            rows.add(case, "own ratio / qkeras-v3's", own / peer, at_most=1.0)
            text = f"{peer:.2f}"
        print(f"{case:<28}{1e3 * mine:>10.1f}{1e3 * reference:>10.1f}{own:>8.3f}{text:>11}")
    rows.finish(options.json)


if __name__ == "__main__":
    main()
