"""Times the linear layers of a ternary transformer inside the interpreter, against int8 weights and against XNNPACK.

    python benchmarks/transformer.py [--quick] [--json PATH]

One layer of a transformer of d=2048: the four projections of its attention and its gated MLP of 5632, all with random ternary
weights, float rows in and out, and inputs quantized to int8 at run time by the largest absolute value of each row, as in BitNet
b1.58. At decode there is one row, at prefill there are 512. Beside it the same ops with weights of 8 bits, and XNNPACK's
fully connected op with int8 weights and a dynamic range of the inputs, from TFLite's converter. Each of the seven products is
a model of its own with weights of its own; they run one after the other, so that the caches see all their weights in
turn, and their times are added. One thread, medians of alternating rounds.
"""

import code_ops
import common
import conv
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste

WIDTH, HIDDEN = 2048, 5632
LAYERS = {
    "query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH), "output": (WIDTH, WIDTH),
    "gate": (WIDTH, HIDDEN), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH),
}
# Rows of the input, and what the time of int8 must at least be of ours.
PHASES = {"decode": (1, 2.0), "prefill": (512, 0.97)}


def ternary_model(rows, inputs, outputs, seed):
    return code_ops.dense_model(rows, inputs, outputs, (2, "ternary"), code_ops.ROWS, seed)


def int8_model(rows, inputs, outputs, seed):
    return code_ops.dense_model(rows, inputs, outputs, (8, "signed"), code_ops.ROWS, seed)


def dynamic_range_model(rows, inputs, outputs, seed):
    """A fully connected op of TFLite with int8 weights, which quantizes its float input at run time."""
    kernel = tf.constant(np.random.default_rng(seed).normal(size=(inputs, outputs)).astype(np.float32))
    function = tf.function(lambda x: tf.matmul(x, kernel), input_signature=[tf.TensorSpec((rows, inputs))])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def all_layers(make_interpreter, make_model, rows):
    """A function that runs the seven products one after the other."""
    calls = []
    for seed, (inputs, outputs) in enumerate(LAYERS.values()):
        interpreter = make_interpreter(model_content=make_model(rows, inputs, outputs, seed), num_threads=1)
        calls.append(conv.invoker(interpreter))

    def run():
        for call in calls:
            call()

    return run


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    print(f"{'us':<12}{'ternary':>12}{'8 bits':>12}{'XNNPACK':>12}{'8 bits / ternary':>20}{'XNNPACK / ternary':>20}")
    for phase, (count, bound) in PHASES.items():
        runs = [
            all_layers(keras_ste.Interpreter, ternary_model, count),
            all_layers(keras_ste.Interpreter, int8_model, count),
            all_layers(LiteRtInterpreter, dynamic_range_model, count),
        ]
        ternary, int8, xnnpack = (1e6 * t for t in common.time_in_turn(runs, rounds=5 if options.quick else 21))
        print(f"{phase:<12}{ternary:>12.1f}{int8:>12.1f}{xnnpack:>12.1f}{int8 / ternary:>20.2f}{xnnpack / ternary:>20.2f}")
        for metric, value in (("ternary us", ternary), ("8 bits us", int8), ("XNNPACK us", xnnpack)):
            rows.add(phase, metric, value)
        rows.add(phase, "8 bits / ternary", int8 / ternary, at_least=bound)
        rows.add(phase, "XNNPACK / ternary", xnnpack / ternary, at_least=bound)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
