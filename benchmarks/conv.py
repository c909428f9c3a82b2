"""Times one layer of each width inside the interpreter against XNNPACK's int8 and float layers of the same shape.

    python benchmarks/conv.py [--quick] [--json PATH]

W1A4 has weights of 1 bit and inputs of 4. An op on packed codes writes packed codes of the same kind, as between two such layers;
one on int8 (A8) writes int8, as XNNPACK's int8 layer does, and the float layer float32. One thread, medians of alternating
rounds, microseconds; beside them the bytes of the weights.
"""

import code_ops
import common
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste

CONVOLUTIONS = [(56, 64), (28, 128), (14, 256), (7, 512)]  # image size, channels in and out; 3x3, same padding
DENSE = [1024, 4096]
ONE_BIT, TERNARY, TWO_BITS, FOUR_BITS = (1, "bipolar"), (2, "ternary"), (2, "signed"), (4, "signed")
# Weights, inputs, and what the time of int8 must at least be of theirs.
CONV_CASES = {
    "W1A1": (ONE_BIT, ONE_BIT, 4.0),
    "W1A2": (ONE_BIT, (2, "unsigned"), 2.0),
    "W2A2": (TWO_BITS, (2, "unsigned"), 1.1),
    "W4A4": (FOUR_BITS, (4, "unsigned"), 0.9),
    "W4A8": (FOUR_BITS, code_ops.INT8, 0.9),
}
# For 4096 units; of 1024 the calls take as long as the work.
DENSE_CASES = {
    "W1A1": (ONE_BIT, ONE_BIT, 8.0),
    "W1A8": (ONE_BIT, code_ops.INT8, 2.2),
    "W2A8": (TWO_BITS, code_ops.INT8, 2.2),
    "W2A8 ternary": (TERNARY, code_ops.INT8, 2.2),
    "W4A8": (FOUR_BITS, code_ops.INT8, 1.6),
}


def twin_models(image, channels):
    """The float layer and its int8 quantization, from TensorFlow's own converter."""
    rng = np.random.default_rng(0)
    if image:
        shape = (1, image, image, channels)
        kernel = tf.constant(rng.normal(size=(3, 3, channels, channels)).astype(np.float32))
        layer = lambda x: tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))  # noqa: E731
    else:
        shape = (1, channels)
        kernel = tf.constant(rng.normal(size=(channels, channels)).astype(np.float32))
        layer = lambda x: tf.nn.relu(tf.matmul(x, kernel))  # noqa: E731
    function = tf.function(layer, input_signature=[tf.TensorSpec(shape)]).get_concrete_function()
    float_model = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=shape).astype(np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return float_model, converter.convert()


def invoker(interpreter):
    """A function that runs the interpreter once, on random input."""
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    rng = np.random.default_rng(1)
    if detail["dtype"] == np.float32:
        value = rng.normal(size=detail["shape"]).astype(np.float32)
    else:
        limits = np.iinfo(detail["dtype"])
        value = rng.integers(limits.min, limits.max, detail["shape"], detail["dtype"])
    interpreter.set_tensor(detail["index"], value)
    return interpreter.invoke


def compare(shape, image, channels, cases, bounded, rounds, rows):
    """The lines of one shape."""
    float_model, int8_model = twin_models(image, channels)
    models = [
        code_ops.conv_model(image, channels, weights, inputs) if image
        else code_ops.dense_model(1, channels, channels, weights, inputs)
        for weights, inputs, _ in cases.values()
    ]
    interpreters = [LiteRtInterpreter(model_content=model, num_threads=1) for model in (int8_model, float_model)]
    interpreters += [keras_ste.Interpreter(model_content=model, num_threads=1) for model in models]
    times = [1e6 * t for t in common.time_in_turn([invoker(i) for i in interpreters], rounds)]
    int8_bytes = code_ops.weight_bytes(int8_model)
    print(f"{shape:<20}{'int8, float':<14}{times[0]:>10.1f}{times[1]:>10.1f}{'':>12}{int8_bytes:>14,}")
    rows.add(shape, "int8 us", times[0])
    rows.add(shape, "float us", times[1])
    for name, model, time in zip(cases, models, times[2:]):
        ratio, size = times[0] / time, code_ops.weight_bytes(model)
        print(f"{'':<20}{name:<14}{time:>10.1f}{'':>10}{ratio:>12.2f}{size:>14,}")
        label = f"{shape}, {name}"
        rows.add(label, "us", time)
        rows.add(label, "int8 / it", ratio, at_least=cases[name][2] if bounded else None)
        rows.add(label, "weight bytes / int8's", size / int8_bytes, at_most=cases[name][0][0] / 8)


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    rounds = 7 if options.quick else 31
    print(f"{'shape':<20}{'layer':<14}{'us':>10}{'float':>10}{'int8 / it':>12}{'weight bytes':>14}")
    for image, channels in CONVOLUTIONS:
        shape = f"conv {image}x{image}x{channels}"
        compare(shape, image, channels, CONV_CASES, True, rounds, rows)
    for units in DENSE:
        compare(f"dense {units}x{units}", 0, units, DENSE_CASES, units == max(DENSE), rounds, rows)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
