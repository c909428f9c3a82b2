"""Times one depthwise op inside the interpreter against XNNPACK's int8 layer of the same shape.

    python benchmarks/depthwise.py [--quick] [--json PATH]

3x3, stride 1, same padding. Weights of 1 bit on packed bits to packed bits, as between two binary layers, and weights of 1 and of
4 bits from int8 to int8; the peer is int8 to int8. One thread, medians of alternating rounds, microseconds; and the bytes of the
weights in the file.
"""

import os
import sys

import common
import conv
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import single_op  # noqa: E402

SHAPES = [(56, 128), (14, 512)]  # image size, channels
# Of each op: bits of its weights, whether input and output are packed bits (else int8), bound of int8's time over its own.
OPS = {"1-bit x bits": (1, True, 1.0), "1-bit x int8": (1, False, 1.0), "4-bit x int8": (4, False, 0.9)}


def words_of(channels):
    return -(-channels // 32)


def model(image, channels, bits, packed):
    """One SteDepthwiseConv2D op with random weights."""
    rng = np.random.default_rng(0)
    options = {
        "version": 2, "channels": channels, "depth_multiplier": 1, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1,
        "dilation_h": 1, "dilation_w": 1, "padding": "same", "pad_value": 0, "weight_bits": bits,
        "weight_encoding": "bipolar" if bits == 1 else "signed",
    }  # fmt: skip
    words = rng.integers(-(2**31), 2**31, (3, 3, bits * words_of(channels))).astype(np.int32)
    filters = single_op.Tensor.constant("filter", words)
    if packed:
        thresholds = single_op.Tensor.constant("thresholds", rng.integers(-4, 4, channels, np.int32))
        constants, dtype, last = [None, None, thresholds], np.int32, words_of(channels)
        options |= {"output": "packed"}
    else:
        numbers = {
            "multiplier": rng.integers(2**30, 2**31, channels).astype(np.int32),
            "bias": rng.integers(-100, 100, channels).astype(np.int32),
            "shifts": np.full(channels, -2 - bits, np.int32),
        }
        constants, dtype, last = [single_op.Tensor.constant(*named) for named in numbers.items()], np.int8, channels
        options |= {"output": "int8", "input_zero_point": -3, "output_zero_point": 5, "output_min": 5}
    shape = (1, image, image, last)
    inputs = [single_op.Tensor("input", shape, dtype), filters, *constants]
    return single_op.single_op_model("SteDepthwiseConv2D", options, inputs, single_op.Tensor("output", shape, dtype))


def int8_model(image, channels):
    """The int8 quantization of a float layer, from TensorFlow's own converter."""
    rng = np.random.default_rng(0)
    shape = (1, image, image, channels)
    kernel = tf.constant(rng.normal(size=(3, 3, channels, 1)).astype(np.float32))
    layer = tf.function(
        lambda x: tf.nn.relu(tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")),
        input_signature=[tf.TensorSpec(shape)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([layer.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=shape).astype(np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    print(f"{'case':<40}{'op':>10}{'int8':>10}{'int8/op':>10}{'weight bytes':>14}{'int8':>8}")
    for image, channels in SHAPES:
        models = [model(image, channels, bits, packed) for bits, packed, _ in OPS.values()]
        interpreters = [keras_ste.Interpreter(model_content=m, num_threads=1) for m in models]
        interpreters.append(LiteRtInterpreter(model_content=int8_model(image, channels), num_threads=1))
        rounds = 7 if options.quick else 31
        *times, int8 = (1e6 * t for t in common.time_in_turn([conv.invoker(i) for i in interpreters], rounds))
        for (name, (bits, _, bound)), time in zip(OPS.items(), times, strict=True):
            case = f"depthwise 3x3 {image}x{image}x{channels}, {name}"
            size, int8_size = 4 * 9 * bits * words_of(channels), 9 * channels
            print(f"{case:<40}{time:>10.1f}{int8:>10.1f}{int8 / time:>10.2f}{size:>14}{int8_size:>8}")
            rows.add(case, "us", time)
            rows.add(case, "int8 us", int8)
            rows.add(case, "int8 / op", int8 / time, at_least=bound)
            rows.add(case, "weight bytes / int8", size / int8_size, at_most=bits / 8)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
