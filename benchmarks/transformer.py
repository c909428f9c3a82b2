"""Times the linear layers of a ternary transformer inside the interpreter, against int8 weights and against XNNPACK.

    python benchmarks/transformer.py [--quick] [--json PATH]

A layer of a transformer of d=2048 is the four projections of its attention and its gated MLP of 5632, all with random ternary
weights, float rows in and out, and inputs quantized to int8 at run time by the largest absolute value of each row, as in BitNet
b1.58. At decode there is one row, at prefill there are 512. Beside it the same ops with weights of 8 bits, and XNNPACK's
fully connected op with int8 weights and a dynamic range of the inputs, from TFLite's converter. Each product is an
interpreter of its own, with a copy of its own of packed weights; they run one after the other, so that the caches see all
weights in turn, as they do when a transformer decodes. The weights of the stack of four layers, 51 MB of 2 bits or 205 MB
of 8, are more than the last cache of most machines holds in either form; those of one layer may stay in it, of one form or
of both. The bounds are the stack's. One thread, medians of alternating rounds.
"""

import code_ops
import common
import conv
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste

WIDTH, HIDDEN = 2048, 5632
PRODUCTS = {
    "query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH), "output": (WIDTH, WIDTH),
    "gate": (WIDTH, HIDDEN), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH),
}
STACK = 4  # layers
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


def stack_of_layers(make_interpreter, make_model, rows):
    """The calls of all products, layer by layer."""
    models = [make_model(rows, *shape, seed) for seed, shape in enumerate(PRODUCTS.values())]
    return [conv.invoker(make_interpreter(model_content=m, num_threads=1)) for _ in range(STACK) for m in models]


def in_turn(calls):
    """A function that does one call after the other."""

    def run():
        for call in calls:
            call()

    return run


def compare(phase, count, bound, rounds, rows):
    """The lines of one phase."""
    stacks = [
        stack_of_layers(keras_ste.Interpreter, ternary_model, count),
        stack_of_layers(keras_ste.Interpreter, int8_model, count),
        stack_of_layers(LiteRtInterpreter, dynamic_range_model, count),
    ]
    for layers in (1, STACK):
        runs = [in_turn(calls[:layers * len(PRODUCTS)]) for calls in stacks]
        ternary, int8, xnnpack = (1e6 * t for t in common.time_in_turn(runs, rounds))
        case = f"{phase}, {layers} layer{'s' if layers > 1 else ''}"
        print(f"{case:<20}{ternary:>12.1f}{int8:>12.1f}{xnnpack:>12.1f}{int8 / ternary:>20.2f}{xnnpack / ternary:>20.2f}")
        for metric, value in (("ternary us", ternary), ("8 bits us", int8), ("XNNPACK us", xnnpack)):
            rows.add(case, metric, value)
        at_least = bound if layers == STACK else None
        rows.add(case, "8 bits / ternary", int8 / ternary, at_least)
        rows.add(case, "XNNPACK / ternary", xnnpack / ternary, at_least)


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    print(f"{'us':<20}{'ternary':>12}{'8 bits':>12}{'XNNPACK':>12}{'8 bits / ternary':>20}{'XNNPACK / ternary':>20}")
    for phase, (count, bound) in PHASES.items():
        compare(phase, count, bound, 3 if options.quick else 11, rows)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
