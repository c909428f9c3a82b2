"""Times one binary layer inside the interpreter against XNNPACK's int8 and float layers of the same shape.

    python benchmarks/conv.py [--quick] [--json PATH]

The binary op reads and writes packed activations, as between two binary layers; the int8 layer reads and writes int8, the
float layer float32. One thread, medians of alternating rounds, microseconds.
"""

import os
import sys

import common
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import single_op  # noqa: E402

CONVOLUTIONS = [(56, 64), (28, 128), (14, 256), (7, 512)]  # image size, channels in and out; 3x3, same padding
DENSE = [1024, 4096]
RATIO_TO_INT8 = 2.0


def binary_model(image, channels):
    """One packed SteConv2D (image > 0) or SteFullyConnected op with random weights and thresholds."""
    rng = np.random.default_rng(0)
    words = channels // 32
    thresholds = single_op.Tensor.constant("thresholds", rng.integers(-9, 9, channels, np.int32))
    options = {"version": 1, "channels": channels, "output": "packed"}
    if image:
        name, taps, shape = "SteConv2D", (3, 3), (1, image, image, words)
        options |= {"filters": channels, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1, "dilation_h": 1,
                    "dilation_w": 1, "groups": 1, "padding": "same", "pad_value": 0}
    else:
        name, taps, shape = "SteFullyConnected", (), (1, words)
        options |= {"units": channels}
    bits = rng.integers(-(2**31), 2**31, (channels, *taps, words)).astype(np.int32)
    inputs = [single_op.Tensor("input", shape, np.int32), single_op.Tensor.constant("filter", bits), None, None,
              thresholds]
    return single_op.single_op_model(name, options, inputs, single_op.Tensor("output", shape, np.int32))


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


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    print(f"{'case':<22}{'binary':>10}{'int8':>10}{'float':>10}{'int8/bin':>10}{'float/bin':>10}")
    shapes = [(f"conv 3x3 {s}x{s}x{c}", s, c) for s, c in CONVOLUTIONS] + [(f"dense {n}x{n}", 0, n) for n in DENSE]
    for case, image, channels in shapes:
        float_model, int8_model = twin_models(image, channels)
        interpreters = [
            keras_ste.Interpreter(model_content=binary_model(image, channels), num_threads=1),
            LiteRtInterpreter(model_content=int8_model, num_threads=1),
            LiteRtInterpreter(model_content=float_model, num_threads=1),
        ]
        times = common.time_in_turn([invoker(i) for i in interpreters], rounds=7 if options.quick else 31)
        binary, int8, float32 = (1e6 * t for t in times)
        print(f"{case:<22}{binary:>10.1f}{int8:>10.1f}{float32:>10.1f}{int8 / binary:>10.2f}{float32 / binary:>10.2f}")
        for metric, value in (("binary us", binary), ("int8 us", int8), ("float us", float32)):
            rows.add(case, metric, value)
        rows.add(case, "int8 / binary", int8 / binary, at_least=RATIO_TO_INT8)
        rows.add(case, "float / binary", float32 / binary)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
