"""Models of one custom op with one thing wrong, and what the message about each has to say."""

import dataclasses
import math

import numpy as np
from flatbuffers import flexbuffers
from single_op import Tensor, single_op_model


@dataclasses.dataclass
class Node:
    """A node as `single_op_model` takes it."""

    op: str
    options: dict | bytes
    inputs: list
    output: Tensor | list

    def model(self, **kwargs):
        return single_op_model(self.op, self.options, self.inputs, self.output, **kwargs)

    def option_bytes(self):
        return bytes(flexbuffers.Dumps(self.options))


def constant(name, shape, dtype=np.int32):
    """Some numbers; words whose unused bits are zero where the last of two words holds 8 bits."""
    values = np.random.default_rng(len(name)).integers(0, 256, shape)
    return Tensor.constant(name, values.astype(dtype))


def quantize():
    options = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": 40}
    return Node("SteQuantize", options, [Tensor("x", (1, 3, 40))], Tensor("y", (1, 3, 2), np.int32))


CONV_OPTIONS = {
    "version": 1, "channels": 40, "filters": 8, "kernel_h": 3, "kernel_w": 2, "stride_h": 1, "stride_w": 2,
    "dilation_h": 1, "dilation_w": 1, "groups": 1, "padding": "valid", "pad_value": 0, "output": "float32",
}  # fmt: skip


def scales():
    return [constant("m", 8, np.float32), constant("b", 8, np.float32)]


def conv2d():
    inputs = [Tensor("x", (1, 5, 4, 2), np.int32), constant("f", (8, 3, 2, 2)), *scales()]
    return Node("SteConv2D", dict(CONV_OPTIONS), inputs, Tensor("y", (1, 3, 2, 8)))


def conv2d_tail():
    node = conv2d()
    inputs = [None, constant("steps", (2, 8), np.float32), constant("r", (1, 3, 2, 8), np.int8), constant("s", 1, np.float32)]
    node.inputs += inputs
    node.options |= {"version": 3, "output": "packed", "output_bits": 2, "output_encoding": "unsigned"}
    node.options |= {"tail": "multiply residual store prelu", "residual_zero_point": 3}
    node.output = [Tensor("y", (1, 3, 2, 2), np.int32), Tensor("z", (1, 3, 2, 8))]
    return node


def conv2d_packed():
    node = conv2d()
    node.inputs[2:] = [None, None, constant("t", 8)]
    node.options["output"] = "packed"
    node.output = Tensor("y", (1, 3, 2, 1), np.int32)
    return node


def conv2d_int8():
    node = conv2d()
    node.inputs[:2] = [Tensor("x", (1, 5, 4, 40), np.int8), constant("f", (8, 8))]
    node.options["input_zero_point"] = 5
    return node


def fully_connected():
    options = {"version": 1, "units": 8, "channels": 40, "pixels": 6, "input_axes": 2, "output": "float32"}
    inputs = [Tensor("x", (1, 6, 2), np.int32), constant("f", (8, 12)), *scales()]
    return Node("SteFullyConnected", options, inputs, Tensor("y", (1, 8)))


def fully_connected_float():
    node = fully_connected()
    node.inputs = [Tensor("x", (1, 6, 40)), constant("f", (8, 8)), None, None, constant("t", 8, np.float32)]
    node.options["output"] = "packed"
    node.output = Tensor("y", (1, 1), np.int32)
    return node


def max_pool2d():
    options = {
        "version": 1, "channels": 40, "pool_h": 2, "pool_w": 3, "stride_h": 2, "stride_w": 1, "padding": "valid",
    }  # fmt: skip
    inputs = [Tensor("x", (1, 4, 4, 2), np.int32), constant("min", 2)]
    return Node("SteMaxPool2D", options, inputs, Tensor("y", (1, 2, 2, 2), np.int32))


def max_pool2d_codes():
    node = max_pool2d()
    node.options |= {"version": 2, "input_bits": 3, "input_encoding": "signed"}
    node.inputs[0] = Tensor("x", (1, 4, 4, 6), np.int32)
    node.output = Tensor("y", (1, 2, 2, 6), np.int32)
    return node


def average_pool2d():
    node = max_pool2d_codes()
    node.op = "SteAveragePool2D"
    node.options |= {"output": "int8", "output_zero_point": 3, "input_zero_point": -2}
    node.inputs[1:] = [constant("m", 1, np.float32), constant("b", 40, np.float32)]
    node.output = Tensor("y", (1, 2, 2, 40), np.int8)
    return node


def ascending(name, shape):
    return Tensor.constant(name, np.sort(constant(name, shape, np.float32).data, axis=0))


def average_pool2d_packed():
    node = average_pool2d()
    node.options |= {"output": "packed", "output_bits": 2, "output_encoding": "unsigned", "output_zero_point": 0}
    node.inputs[1:] = [None, None, ascending("t", (3, 40))]
    node.output = Tensor("y", (1, 2, 2, 4), np.int32)
    return node


def quantize_codes():
    node = quantize()
    node.options = {"version": 2, "channels": 40, "output": "packed", "output_bits": 3, "output_encoding": "signed"}
    node.inputs += [None, None, ascending("t", (7, 1))]
    node.output = Tensor("y", (1, 3, 6), np.int32)
    return node


def dequantize():
    options = {"version": 2, "channels": 40, "input_bits": 3, "input_encoding": "unsigned"}
    inputs = [Tensor("x", (1, 3, 6), np.int32), constant("t", (40, 8), np.float32), constant("m", 1, np.float32)]
    return Node("SteDequantize", options, inputs, Tensor("y", (1, 3, 40)))


def add():
    options = {"version": 2, "channels": 40, "b_bits": 3, "b_encoding": "signed", "b_zero_point": 1, "output": "float32"}
    inputs = [Tensor("x", (1, 3, 40)), constant("other", (1, 3, 6)), None, constant("s", 40, np.float32)]
    return Node("SteAdd", options, inputs, Tensor("y", (1, 3, 40)))


def depthwise_conv2d():
    options = {**CONV_OPTIONS, "version": 2, "depth_multiplier": 2, "weight_bits": 3, "weight_encoding": "signed"}
    del options["filters"], options["groups"]
    inputs = [Tensor("x", (1, 5, 4, 40), np.int8), constant("f", (3, 2, 9)), constant("m", 80, np.float32)]
    return Node("SteDepthwiseConv2D", options, inputs, Tensor("y", (1, 3, 2, 80)))


TABLE_ROWS = 9


def gather():
    options = {"version": 4, "rows": TABLE_ROWS, "channels": 40, "input_bits": 3, "input_encoding": "signed"}
    inputs = [Tensor("indices", (1, 3), np.int32), constant("t", (TABLE_ROWS, 6))]
    return Node("SteGather", options, inputs, Tensor("y", (1, 3, 6), np.int32))


def gather_gapless():
    node = gather()
    node.inputs[1] = constant("t", TABLE_ROWS * 40 * 3 // 8, np.uint8)
    return node


def filled(name, number):
    return Tensor.constant(name, np.full(8, number, np.int32))


def transpose_conv2d():
    options = {
        "version": 2, "channels": 40, "filters": 8, "kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1,
        "padding": "valid", "weight_bits": 2, "weight_encoding": "signed", "input_bits": 3, "input_encoding": "unsigned",
        "output": "int8", "output_zero_point": -3,
    }  # fmt: skip
    inputs = [Tensor("x", (1, 2, 3, 6), np.int32), constant("f", (8, 3, 2, 4))]
    inputs += [filled("m", 2**30), constant("b", 8), filled("s", -4)]
    return Node("SteTransposeConv2D", options, inputs, Tensor("y", (1, 5, 4, 8), np.int8))


def nearest():
    inputs = [Tensor("x", (1, 3, 40)), constant("v", (9, 40), np.float32)]
    return Node("SteNearest", {"version": 2, "channels": 40, "vectors": 9}, inputs, Tensor("y", (1, 3), np.int32))


def concat():
    options = {"version": 2, "input_bits": 3, "input_encoding": "signed", "channels_0": 40, "channels_1": 30}
    inputs = [Tensor("x", (1, 3, 6), np.int32), constant("other", (1, 3, 3))]
    return Node("SteConcat", options, inputs, Tensor("y", (1, 3, 9), np.int32))


def pad():
    options = {"version": 2, "channels": 40, "input_bits": 3, "input_encoding": "bipolar", "pad_value": -5}
    options |= {"pad_top": 0, "pad_bottom": 1, "pad_left": 2, "pad_right": 0}
    return Node("StePad", options, [Tensor("x", (1, 4, 4, 6), np.int32)], Tensor("y", (1, 5, 6, 6), np.int32))


def shuffle():
    options = {"version": 2, "channels": 40, "input_bits": 3, "input_encoding": "unsigned", "groups": 5}
    return Node("SteShuffle", options, [Tensor("x", (1, 3, 6), np.int32)], Tensor("y", (1, 3, 6), np.int32))


GOOD = [
    quantize, conv2d, conv2d_packed, conv2d_tail, conv2d_int8, fully_connected, fully_connected_float, max_pool2d, max_pool2d_codes,
    quantize_codes, gather, gather_gapless, average_pool2d, average_pool2d_packed, dequantize, add,
    depthwise_conv2d, transpose_conv2d, nearest, concat, pad, shuffle,
]  # fmt: skip


# The changes. Each takes a good node and makes it a bad one.


def options(**values):
    return lambda node: node.options.update(values)


def without(key):
    return lambda node: node.options.pop(key)


def option_bytes(change):
    """`change` is from bytes to bytes."""

    def apply(node):
        node.options = change(node.option_bytes())

    return apply


def tensor(i, **changes):
    def apply(node):
        node.inputs[i] = dataclasses.replace(node.inputs[i], **changes)

    return apply


def put(i, value):
    """`value` in the place of input i; None is a missing tensor."""

    def apply(node):
        node.inputs[i] = value

    return apply


def inputs(*values):
    """All inputs; a number is the input that was there."""

    def apply(node):
        node.inputs = [node.inputs[v] if isinstance(v, int) else v for v in values]

    return apply


def output(*values):
    def apply(node):
        node.output = list(values)

    return apply


def both(*changes):
    def apply(node):
        for change in changes:
            change(node)

    return apply


ENCODINGS = 'is not "bipolar", "unsigned", "signed" or "ternary"'
VERSIONS = {quantize: (1, 2), conv2d: (1, 4), fully_connected: (1, 4), max_pool2d: (1, 2), depthwise_conv2d: (2, 4)}
VERSIONS[transpose_conv2d] = (2, 4)
VERSION_2 = [f for f in GOOD[GOOD.index(average_pool2d) :] if f not in VERSIONS]
NOT_A_MAP = "options are not a FlexBuffer map"
MISSING = "is missing"

# In each row: a good node, a change, and the message behind "<op>: ".
OPTION_CASES = [
    # Bytes that are no map.
    (quantize, option_bytes(lambda b: b""), "options are missing"),
    (conv2d, option_bytes(lambda b: b""), "options are missing"),
    (max_pool2d, option_bytes(lambda b: b[-2:]), "options are missing"),
    (fully_connected, option_bytes(lambda b: bytes(64)), NOT_A_MAP),
    (fully_connected, option_bytes(lambda b: b"\xff" * 64), NOT_A_MAP),
    (conv2d, option_bytes(lambda b: bytes(range(200))), NOT_A_MAP),
    (quantize, option_bytes(lambda b: b[:-1]), NOT_A_MAP),
    (conv2d, option_bytes(lambda b: b[:-3]), NOT_A_MAP),
    (max_pool2d, option_bytes(lambda b: b[: len(b) // 2]), NOT_A_MAP),
    (quantize, option_bytes(lambda b: b[-12:]), NOT_A_MAP),
    (conv2d, option_bytes(lambda b: bytes(flexbuffers.Dumps([1, 2, 3]))), NOT_A_MAP),
    (conv2d, option_bytes(lambda b: bytes(flexbuffers.Dumps("map"))), NOT_A_MAP),
    (conv2d, option_bytes(lambda b: bytes(flexbuffers.Dumps({}))), "option 'version' is missing"),
    # Every key.
    *[(f, without(key), f"option '{key}' {MISSING}") for f in (quantize, max_pool2d) for key in f().options],
    *[(conv2d, without(key), f"option '{key}' {MISSING}") for key in CONV_OPTIONS],
    *[(fully_connected, without(key), f"option '{key}' {MISSING}") for key in ("version", "units", "channels")],
    (fully_connected, without("output"), "option 'output' is missing"),
    *[(f, options(version=newest + 1), f"option 'version' is {newest + 1}, expected {oldest} to {newest}")
      for f, (oldest, newest) in VERSIONS.items()],
    *[(f, options(version=1), "option 'version' is 1, expected 2") for f in VERSION_2],
    (conv2d, options(version=0), "option 'version' is 0, expected 1 to 4"),
    *[(gather, options(version=version), f"option 'version' is {version}, expected 4") for version in (3, 5)],
    # Wrong types.
    (quantize, options(version="1"), "option 'version' is not an integer"),
    (quantize, options(channels=40.0), "option 'channels' is not an integer"),
    (quantize, options(encoding=1), "option 'encoding' is not a string"),
    (conv2d, options(kernel_h=[3]), "option 'kernel_h' is not an integer"),
    (conv2d, options(padding=0), "option 'padding' is not a string"),
    (conv2d, options(activation_min="0"), "option 'activation_min' is not a number"),
    (conv2d, options(activation_max=math.nan), "option 'activation_max' is not a number (NaN)"),
    (fully_connected, options(units={}), "option 'units' is not an integer"),
    (max_pool2d, options(pool_w=None), "option 'pool_w' is not an integer"),
    # Wrong values.
    (quantize, options(bits=2), "option 'bits' is 2, expected 1"),
    (quantize, options(encoding="ternary"), "option 'encoding' is not \"bipolar\""),
    (quantize, options(channels=0), "option 'channels' is 0, expected 1 to 2147483647"),
    (quantize, options(channels=2**31), "option 'channels' is 2147483648, expected 1 to 2147483647"),
    (conv2d, options(filters=-8), "option 'filters' is -8, expected 1 to 16777216"),
    (conv2d, options(stride_w=0), "option 'stride_w' is 0, expected 1 to 16777216"),
    (conv2d, options(dilation_h=2**63 - 1), "option 'dilation_h' is 9223372036854775807, expected 1 to 16777216"),
    (conv2d, options(dilation_h=-(2**63)), "option 'dilation_h' is -9223372036854775808, expected 1 to 16777216"),
    (conv2d, options(groups=0), "option 'groups' is 0, expected 1 to 16777216"),
    (conv2d, options(pad_value=2), "option 'pad_value' is 2, expected 0 to 1"),
    (conv2d, options(padding="SAME"), 'option \'padding\' is not "valid", "same" or "causal"'),
    (conv2d, options(output="int8"), 'option \'output\' is not "float32" or "packed"'),
    (conv2d_int8, options(input_zero_point=256), "option 'input_zero_point' is 256, expected -128 to 255"),
    (fully_connected, options(units=2**28 + 1), "option 'units' is 268435457, expected 1 to 268435456"),
    (fully_connected, options(pixels=0), "option 'pixels' is 0, expected 1 to 268435456"),
    (fully_connected, options(input_axes=7), "option 'input_axes' is 7, expected 1 to 6"),
    (max_pool2d, options(channels=0), "option 'channels' is 0, expected 1 to 16777216"),
    (max_pool2d, options(stride_h=0), "option 'stride_h' is 0, expected 1 to 16777216"),
    (max_pool2d, options(padding="causal"), 'option \'padding\' is not "valid" or "same"'),
    (max_pool2d_codes, options(input_bits=9), "option 'input_bits' is 9, expected 1 to 8"),
    (max_pool2d_codes, options(input_encoding="ternary"), "option 'input_encoding' \"ternary\" has 2 bits"),
    (quantize_codes, options(output="float32"), 'option \'output\' is not "packed", "int8" or "int16"'),
    (quantize_codes, options(channels=2**24 + 1), "option 'channels' is 16777217, expected 1 to 16777216"),
    (add, options(b_zero_point="1"), "option 'b_zero_point' is not an integer"),
    *[(pad, without(f"pad_{side}"), f"option 'pad_{side}' {MISSING}") for side in ("top", "bottom", "left", "right")],
    (pad, options(pad_value=8), "option 'pad_value' is 8, expected -7 to 7"),
    (pad, options(pad_value=2), "option 'pad_value' is what no code is worth"),
    (pad, options(input_encoding="unsigned"), "option 'pad_value' is what no code is worth"),
    (concat, without("channels_1"), f"option 'channels_1' {MISSING}"),
    (shuffle, options(groups=6), "option 'groups' does not divide the channels"),
    (nearest, without("vectors"), f"option 'vectors' {MISSING}"),
    *[(gather, without(key), f"option '{key}' {MISSING}") for key in ("rows", "channels")],
    (gather, options(rows=0), "option 'rows' is 0, expected 1 to 16777216"),
    (gather, options(input_bits=9), "option 'input_bits' is 9, expected 1 to 8"),
    (gather, options(input_encoding="ternary"), "option 'input_encoding' \"ternary\" has 2 bits"),
    (add, options(output="int32"), "int32 sums want an input of integers"),
    *[(depthwise_conv2d, without(key), f"option '{key}' {MISSING}") for key in ("depth_multiplier", "kernel_w", "pad_value")],
    (depthwise_conv2d, options(weight_bits=9), "option 'weight_bits' is 9, expected 1 to 8"),
    (depthwise_conv2d, options(pad_value=-1), "option 'pad_value' is -1, expected 0 to 1"),
    (transpose_conv2d, options(padding="causal"), 'option \'padding\' is not "valid" or "same"'),
    (transpose_conv2d, options(extra_h=64), "option 'extra_h' is 64, expected -1 to 1"),
    *[(transpose_conv2d, without(key), f"option '{key}' {MISSING}") for key in ("filters", "kernel_h", "stride_w", "padding")],
    (transpose_conv2d, options(stride_w=65), "option 'stride_w' is 65, expected 1 to 64"),
    (transpose_conv2d, options(stride_h=4), "option 'stride_h' is greater than kernel_h"),
    (average_pool2d, options(input_zero_point=256), "option 'input_zero_point' is 256, expected -255 to 255"),
    (average_pool2d, options(output="int32", output_zero_point=0), "input 1 (multiplier, 'm'): must be absent where the output is int32"),
    (average_pool2d, options(output_min=1), "output_min and output_max must have 0, a NaN's code, between them"),
    (average_pool2d, options(activation_max=6), "activation_min and activation_max must be absent where the output is of integers"),
    (average_pool2d_packed, options(output_max=2), "output_zero_point, output_min and output_max must be absent where there are thresholds"),
    (max_pool2d_codes, options(input_encoding="odd"), f"option 'input_encoding' {ENCODINGS}"),
    (conv2d_tail, options(tail="add  residual"), 'option \'tail\' has a word that is not "add", "multiply", "maximum", '
     '"minimum", "prelu", "residual" or "store"'),
    (conv2d_tail, options(tail=" ".join(["add"] * 13)), "option 'tail' has too many words"),
    (conv2d_tail, options(tail="residual add add residual"), "option 'tail' has \"residual\" or \"store\" twice"),
    (conv2d_tail, options(tail=1), "option 'tail' is not a string"),
    (conv2d_tail, options(residual_bits=9), "option 'residual_bits' is 9, expected 1 to 8"),
    (conv2d_tail, options(residual_zero_point=256), "option 'residual_zero_point' is 256, expected -255 to 255"),
    (conv2d_tail, options(output="int32"), "int32 sums have no tail"),
    (conv2d_tail, options(output="float32"), "a float32 output stores its floats already"),
    (conv2d_tail, options(activation_min=1, activation_max=0.5), "activation_min is greater than activation_max"),
    # Values that do not go together.
    (conv2d, options(groups=3), "channels and filters must be multiples of groups"),
    (conv2d, options(groups=16), "channels and filters must be multiples of groups"),
    (conv2d, options(activation_min=1, activation_max=0.5), "activation_min is greater than activation_max"),
    (
        conv2d_packed,
        options(activation_min=0),
        "activation_min and activation_max must be absent where the output is of integers",
    ),
    (
        conv2d,
        options(kernel_h=2**24, kernel_w=2**24, padding="same"),
        "the kernel has 2^31 weights or more",
    ),
    (
        conv2d_int8,
        options(kernel_h=2**10, kernel_w=2**10, padding="same"),
        "the sum of products may exceed 32 bits",
    ),
    (
        fully_connected,
        both(options(channels=2**28, pixels=2**3), tensor(0, shape=(1, 8, 2**23))),
        "a row has 2^31 elements or more",
    ),
    (
        conv2d_int8,
        both(
            options(channels=2**24, groups=2**23, filters=2**23, kernel_h=1, kernel_w=2**8, padding="same"),
            tensor(0, shape=(1, 1, 1, 2**24)),
        ),
        "the pixels under a row of the kernel have 2^31 elements or more",
    ),
    (
        conv2d,
        both(options(filters=2**24, padding="same", stride_w=1), tensor(0, shape=(1, 16, 8, 2))),
        "the output has 2^31 elements or more",
    ),
]


def expected(i, role, name):
    return lambda text: f"input {i} ({role}, '{name}'): expected {text}"


R = expected(6, "residual", "r")
X, F, M = expected(0, "input", "x"), expected(1, "filter", "f"), expected(2, "multiplier", "m")
B, T, MIN = expected(3, "bias", "b"), expected(4, "thresholds", "t"), expected(1, "minimum", "min")
THRESHOLDS_3 = expected(3, "thresholds", "t")
INDICES, TABLE = expected(0, "indices", "indices"), expected(1, "table", "t")
CHANNELS_LAST = "a last dimension equal to option 'channels'"
PIXELS = "INT32 (packed), FLOAT32, INT8 or UINT8"
IMAGE = "an image at least as large as the"
ZERO_POINT = "a type that can hold input_zero_point"
ROWS = "rows of as many pixels as option 'pixels' says"
HOLDS_CHANNELS = "a last dimension that holds 'channels' channels"
COUNTABLE = "positive dimensions with a product below 2^31"
ABSENT = "must be absent where the output is"
LONG = "n" * 1000

TENSOR_CASES = [
    # The number of inputs.
    (quantize, inputs(0, constant("more", 1)), "expected 1 input, got 2"),
    (quantize, inputs(), "expected 1 input, got 0"),
    (max_pool2d, inputs(0, 1, constant("more", 1)), "expected 1 to 2 inputs, got 3"),
    (conv2d, inputs(0), "expected 2 to 5 inputs, got 1"),
    (conv2d, inputs(0, 1, 2, 3, *[None] * 5), "expected at most 8 inputs, got 9"),
    (conv2d, output(Tensor("y", (1,)), Tensor("z", (1,))), "outputs: expected 1, got 2"),
    (quantize, output(), "outputs: expected 1, got 0"),
    (conv2d_tail, output(Tensor("y", (1, 3, 2, 1), np.int32)), "outputs: expected 2, got 1"),
    (conv2d_tail, inputs(*range(8), None), "expected at most 8 inputs, got 9"),
    (conv2d_tail, options(tail="add"), expected(5, "tail", "steps")("[1, 8], got FLOAT32 [2, 8]")),
    (conv2d_tail, options(tail="residual store"), "input 5 (tail, 'steps'): must be absent where no step of the tail has constants"),
    (conv2d_tail, options(tail="multiply add"), "input 6 (residual, 'r'): must be absent where the tail has no residual"),
    (conv2d_tail, put(5, None), "input 5 (tail): is missing"),
    (conv2d_tail, put(6, None), "input 6 (residual): is missing"),
    (conv2d_tail, put(6, Tensor("r", (1, 3, 1, 8), np.int8)), R("the pixels of the output, got INT8 [1, 3, 1, 8]")),
    (conv2d_tail, put(6, Tensor("r", (1, 3, 2, 7), np.int8)), R(f"{HOLDS_CHANNELS}, got INT8 [1, 3, 2, 7]")),
    (conv2d_tail, put(6, Tensor("r", (1, 3, 2, 8), np.int16)), R("INT32 (packed), INT8, UINT8 or FLOAT32, got INT16 [1, 3, 2, 8]")),
    (conv2d_tail, options(residual_zero_point=128), R("a type that can hold the zero point, got INT8 [1, 3, 2, 8]")),
    (conv2d_tail, put(7, constant("s", 3, np.float32)), "input 7 (residual_scale, 's'): expected [8], got FLOAT32 [3]"),
    (conv2d, inputs(*range(4), None, constant("steps", (2, 8), np.float32)), "expected 2 to 5 inputs, got 6"),
    # Missing ones.
    (quantize, put(0, None), "input 0 (input): is missing"),
    (conv2d, put(0, None), "input 0 (input): is missing"),
    (conv2d, put(1, None), "input 1 (filter): is missing"),
    (conv2d_packed, put(4, None), "input 4 (thresholds): is missing"),
    (conv2d_packed, inputs(0, 1), "input 4 (thresholds): is missing"),
    (fully_connected, put(0, None), "input 0 (input): is missing"),
    (fully_connected, put(1, None), "input 1 (filter): is missing"),
    (max_pool2d, put(0, None), "input 0 (input): is missing"),
    # Those that must not be there.
    (conv2d, inputs(0, 1, 2, 3, constant("t", 8)), f"input 4 (thresholds, 't'): {ABSENT} float32"),
    (conv2d_packed, put(2, constant("m", 8, np.float32)), f"input 2 (multiplier, 'm'): {ABSENT} packed"),
    (fully_connected_float, put(3, constant("b", 8, np.float32)), f"input 3 (bias, 'b'): {ABSENT} packed"),
    # Types.
    (quantize, tensor(0, dtype=np.int8), X("FLOAT32, got INT8 [1, 3, 40]")),
    (conv2d, tensor(0, dtype=np.int64), X(f"{PIXELS}, got another type [1, 5, 4, 2]")),
    (conv2d, tensor(0, dtype=np.float32), X("[1, 5, 4, 40], got FLOAT32 [1, 5, 4, 2]")),
    (conv2d, options(input_zero_point=1), X(f"{ZERO_POINT}, got INT32 [1, 5, 4, 2]")),
    (conv2d_int8, options(input_zero_point=128), X(f"{ZERO_POINT}, got INT8 [1, 5, 4, 40]")),
    (conv2d, put(1, constant("f", (8, 3, 2, 2), np.float32)), F("INT32, got FLOAT32 [8, 3, 2, 2]")),
    (conv2d, put(2, constant("m", 8)), M("FLOAT32, got INT32 [8]")),
    (conv2d, put(3, constant("b", 8, np.int8)), B("FLOAT32, got INT8 [8]")),
    (conv2d_packed, put(4, constant("t", 8, np.float32)), T("INT32, got FLOAT32 [8]")),
    (fully_connected_float, put(4, constant("t", 8)), T("FLOAT32, got INT32 [8]")),
    (fully_connected, tensor(0, dtype=np.int64), X(f"{PIXELS}, got another type [1, 6, 2]")),
    (max_pool2d, tensor(0, dtype=np.uint8), X("INT32, got UINT8 [1, 4, 4, 2]")),
    (max_pool2d, put(1, constant("min", 2, np.float32)), MIN("INT32, got FLOAT32 [2]")),
    # Ranks.
    (quantize, tensor(0, shape=()), X(f"{CHANNELS_LAST}, got FLOAT32 []")),
    (quantize, tensor(0, shape=(1,) * 6 + (40,)), X("at most 6 dimensions, got FLOAT32 [1, 1, 1, 1, 1, 1, ...]")),
    (conv2d, tensor(0, shape=(5, 4, 2)), X("rank 4, got INT32 [5, 4, 2]")),
    (conv2d_int8, tensor(0, shape=(1, 1, 5, 4, 40)), X("rank 4, got INT8 [1, 1, 5, 4, 40]")),
    (conv2d, put(1, constant("f", (8, 12))), F("[8, 3, 2, 2], got INT32 [8, 12]")),
    (conv2d, put(2, constant("m", (2, 4), np.float32)), M("[8], got FLOAT32 [2, 4]")),
    (conv2d, put(3, constant("b", (1, 8), np.float32)), B("[8], got FLOAT32 [1, 8]")),
    (fully_connected, tensor(0, shape=(2,)), X("at least input_axes dimensions, got INT32 [2]")),
    (fully_connected, tensor(0, shape=(1,) * 7), X("at most 6 dimensions, got INT32 [1, 1, 1, 1, 1, 1, ...]")),
    (max_pool2d, tensor(0, shape=(4, 4)), X("rank 4, got INT32 [4, 4]")),
    # Shapes.
    (quantize, tensor(0, shape=(1, 3, 41)), X(f"{CHANNELS_LAST}, got FLOAT32 [1, 3, 41]")),
    (conv2d, tensor(0, shape=(1, 5, 4, 3)), X("[1, 5, 4, 2], got INT32 [1, 5, 4, 3]")),
    (conv2d, tensor(0, shape=(1, 2, 4, 2)), X(f"{IMAGE} dilated kernel, got INT32 [1, 2, 4, 2]")),
    (conv2d, options(dilation_w=4), X(f"{IMAGE} dilated kernel, got INT32 [1, 5, 4, 2]")),
    (conv2d, put(1, constant("f", (8, 2, 3, 2))), F("[8, 3, 2, 2], got INT32 [8, 2, 3, 2]")),
    (conv2d_int8, put(1, constant("f", (8, 7))), F("[8, 8], got INT32 [8, 7]")),
    (conv2d, put(2, constant("m", 9, np.float32)), M("[8], got FLOAT32 [9]")),
    (conv2d, put(3, constant("b", 7, np.float32)), B("[8], got FLOAT32 [7]")),
    (conv2d_packed, put(4, constant("t", 2)), T("[8], got INT32 [2]")),
    (conv2d, options(channels=41, groups=41), "channels and filters must be multiples of groups"),
    (fully_connected, tensor(0, shape=(1, 5, 2)), X(f"{ROWS}, got INT32 [1, 5, 2]")),
    (fully_connected, tensor(0, shape=(1, 6, 3)), X(f"{HOLDS_CHANNELS}, got INT32 [1, 6, 3]")),
    (fully_connected, put(1, constant("f", (9, 12))), F("[8, 12], got INT32 [9, 12]")),
    (max_pool2d, tensor(0, shape=(1, 4, 4, 1)), X("[1, 4, 4, 2], got INT32 [1, 4, 4, 1]")),
    (max_pool2d_codes, tensor(0, shape=(1, 4, 4, 2)), X("[1, 4, 4, 6], got INT32 [1, 4, 4, 2]")),
    (max_pool2d, tensor(0, shape=(1, 1, 4, 2)), X(f"{IMAGE} pooling window, got INT32 [1, 1, 4, 2]")),
    (max_pool2d, put(1, constant("min", 1)), MIN("[2], got INT32 [1]")),
    (depthwise_conv2d, tensor(0, shape=(1, 5, 4, 41)), X(f"{HOLDS_CHANNELS}, got INT8 [1, 5, 4, 41]")),
    (depthwise_conv2d, tensor(0, shape=(1, 2, 4, 40)), X(f"{IMAGE} dilated kernel, got INT8 [1, 2, 4, 40]")),
    (depthwise_conv2d, tensor(0, shape=(5, 4, 40)), X("rank 4, got INT8 [5, 4, 40]")),
    (depthwise_conv2d, options(depth_multiplier=2**20), "there are more than 2^24 output channels"),
    (depthwise_conv2d, options(kernel_h=2**16, kernel_w=2**15, padding="same"), "the kernel has 2^31 places or more"),
    (depthwise_conv2d, options(kernel_h=2**15, kernel_w=2**15, padding="same"), "the sum of products may reach 2^30"),
    (depthwise_conv2d, put(1, constant("f", (3, 2, 8))), F("[3, 2, 9], got INT32 [3, 2, 8]")),
    (depthwise_conv2d, put(1, None), "input 1 (filter): is missing"),
    (depthwise_conv2d, put(2, constant("m", 79, np.float32)), M("[80], got FLOAT32 [79]")),
    (transpose_conv2d, options(input_zero_point=8), X(f"{ZERO_POINT}, got INT32 [1, 2, 3, 6]")),
    (transpose_conv2d, tensor(0, shape=(1, 2, 3, 4)), X("[1, 2, 3, 6], got INT32 [1, 2, 3, 4]")),
    (transpose_conv2d, tensor(0, shape=(2, 3, 6)), X("rank 4, got INT32 [2, 3, 6]")),
    (transpose_conv2d, put(1, constant("f", (8, 3, 2, 2))), F("[8, 3, 2, 4], got INT32 [8, 3, 2, 2]")),
    (transpose_conv2d, put(2, filled("m", 2**30 - 1)), M("multipliers of 0, or from 2^30, got INT32 [8]")),
    (transpose_conv2d, put(3, filled("b", 2**30 + 1)), B("a bias of at most 2^30, got INT32 [8]")),
    (transpose_conv2d, put(4, filled("t", 31)), T("shifts from -31 to 30, got INT32 [8]")),
    (transpose_conv2d, put(4, None), "input 4 (thresholds): is missing"),
    (average_pool2d, tensor(0, dtype=np.float32), X("a type that can hold the zero point, got FLOAT32 [1, 4, 4, 6]")),
    (average_pool2d, tensor(0, dtype=np.int8), X(f"{HOLDS_CHANNELS}, got INT8 [1, 4, 4, 6]")),
    (average_pool2d, both(tensor(0, dtype=np.uint8, shape=(1, 4, 4, 40))), X("a type that can hold the zero point, got UINT8 [1, 4, 4, 40]")),
    (average_pool2d, tensor(0, shape=(1, 1, 4, 6)), X(f"{IMAGE} pooling window, got INT32 [1, 1, 4, 6]")),
    (average_pool2d, both(options(pool_h=2**11, pool_w=2**11, padding="same"), tensor(0, shape=(1, 2**11, 2**11, 6))), "a window has more than 2^21 places"),
    (average_pool2d, put(1, constant("m", 2, np.float32)), expected(1, "multiplier", "m")("[40], got FLOAT32 [2]")),
    (average_pool2d, put(2, constant("b", 1, np.float32)), expected(2, "bias", "b")("[40], got FLOAT32 [1]")),
    (average_pool2d, inputs(0, 1, 2, constant("t", 40)), "input 3 (thresholds, 't'): must be absent where sums are rounded"),
    (average_pool2d_packed, put(3, ascending("t", (3, 39))), THRESHOLDS_3("[3, 40], got FLOAT32 [3, 39]")),
    (average_pool2d_packed, put(3, constant("t", (3, 40), np.float32)), THRESHOLDS_3("thresholds that do not descend, got FLOAT32 [3, 40]")),
    (average_pool2d_packed, put(2, constant("b", 40, np.float32)), f"input 2 (bias, 'b'): {ABSENT} packed"),
    (quantize, inputs(0, constant("more", 1)), "expected 1 input, got 2"),
    (quantize_codes, options(input_zero_point=1), X("a type that can hold the zero point, got FLOAT32 [1, 3, 40]")),
    (quantize_codes, tensor(0, dtype=np.int64), X("INT32 (packed), INT8, UINT8 or FLOAT32, got another type [1, 3, 40]")),
    (quantize_codes, put(3, ascending("t", (6, 1))), THRESHOLDS_3("[7, 1], got FLOAT32 [6, 1]")),
    (dequantize, put(1, constant("t", 40, np.float32)), expected(1, "table", "t")("[8], got FLOAT32 [40]")),
    (dequantize, put(1, constant("t", (8, 40), np.float32)), expected(1, "table", "t")("[40, 8], got FLOAT32 [8, 40]")),
    (dequantize, options(input_zero_point=1), "input 1 (table, 't'): must be absent where there is a zero point"),
    (dequantize, tensor(0, dtype=np.int8, shape=(1, 3, 40)), "input 1 (table, 't'): must be absent where the input is not packed"),
    (add, inputs(0), "expected 2 to 7 inputs, got 1"),
    (add, put(1, None), "input 1 (b): is missing"),
    (add, tensor(0, shape=(1, 2, 40)), expected(1, "b", "other")("as many pixels as input 0 has, in the same order, got INT32 [1, 3, 6]")),
    (add, tensor(0, shape=(3, 40)), expected(1, "b", "other")("as many pixels as input 0 has, in the same order, got INT32 [1, 3, 6]")),
    (add, put(3, constant("s", 2, np.float32)), expected(3, "scale_b", "s")("[40], got FLOAT32 [2]")),
    (add, tensor(3, data=None), expected(3, "scale_b", "s")("a constant tensor, got FLOAT32 [40]")),
    (nearest, inputs(0), "expected 2 inputs, got 1"),
    (nearest, tensor(0, shape=(40,)), X("two dimensions or more, the last of which is equal to option 'channels', got FLOAT32 [40]")),
    (nearest, put(1, constant("v", (8, 40), np.float32)), expected(1, "vectors", "v")("[9, 40], got FLOAT32 [8, 40]")),
    (nearest, tensor(1, data=None), expected(1, "vectors", "v")("a constant tensor, got FLOAT32 [9, 40]")),
    (gather, inputs(0), "expected 2 inputs, got 1"),
    (gather, put(0, None), "input 0 (indices): is missing"),
    (gather, tensor(0, dtype=np.int64), INDICES("INT32, got another type [1, 3]")),
    (gather, tensor(0, shape=(1, 0)), INDICES(f"{COUNTABLE}, got INT32 [1, 0]")),
    (gather, tensor(0, shape=(1,) * 6), INDICES("at most 5 dimensions, got INT32 [1, 1, 1, 1, 1, 1]")),
    (gather, put(1, None), "input 1 (table): is missing"),
    (gather, put(1, constant("t", (9, 6), np.int8)), TABLE("INT32, got INT8 [9, 6]")),
    (gather, put(1, constant("t", (8, 6))), TABLE("[9, 6], got INT32 [8, 6]")),
    (gather, tensor(1, data=None), TABLE("a constant tensor, got INT32 [9, 6]")),
    (gather_gapless, put(1, constant("t", 136, np.uint8)), TABLE("[135], got UINT8 [136]")),
    (gather_gapless, options(rows=2**24, channels=2**24), TABLE("fewer than 2^31 bytes, got UINT8 [135]")),
    (gather, output(Tensor("y", (1, 3, 6), np.int8)), "output 'y': expected INT32"),
    (concat, tensor(0, shape=(3, 6)), expected(1, "input 1", "other")("[3, 3], got INT32 [1, 3, 3]")),
    (concat, tensor(0, shape=(1, 3, 3)), expected(0, "input 0", "x")("[1, 3, 6], got INT32 [1, 3, 3]")),
    (concat, tensor(0, dtype=np.int8), expected(0, "input 0", "x")("INT32, got INT8 [1, 3, 6]")),
    (concat, inputs(), "expected 1 to 8 inputs, got 0"),
    (pad, tensor(0, shape=(1, 4, 4, 3)), X("[1, 4, 4, 6], got INT32 [1, 4, 4, 3]")),
    (pad, options(pad_top=2**24, pad_left=2**24), "the output has 2^31 elements or more"),
    (shuffle, tensor(0, shape=(1, 3, 4)), X(f"{HOLDS_CHANNELS}, got INT32 [1, 3, 4]")),
    # Dimensions of 0.
    (quantize, tensor(0, shape=(0, 3, 40)), X(f"{COUNTABLE}, got FLOAT32 [0, 3, 40]")),
    (conv2d, tensor(0, shape=(1, 0, 4, 2)), X(f"{COUNTABLE}, got INT32 [1, 0, 4, 2]")),
    (fully_connected, tensor(0, shape=(1, 0, 2)), X(f"{COUNTABLE}, got INT32 [1, 0, 2]")),
    (max_pool2d, tensor(0, shape=(1, 4, 4, 0)), X(f"{COUNTABLE}, got INT32 [1, 4, 4, 0]")),
    # Inputs that must be constant.
    (conv2d, tensor(1, data=None), F("a constant tensor, got INT32 [8, 3, 2, 2]")),
    (conv2d, tensor(2, data=None), M("a constant tensor, got FLOAT32 [8]")),
    (conv2d, tensor(3, data=None), B("a constant tensor, got FLOAT32 [8]")),
    (conv2d_packed, tensor(4, data=None), T("a constant tensor, got INT32 [8]")),
    (fully_connected, tensor(1, data=None), F("a constant tensor, got INT32 [8, 12]")),
    (max_pool2d, tensor(1, data=None), MIN("a constant tensor, got INT32 [2]")),
    # The output.
    (quantize, output(Tensor("y", (1, 3, 2))), "output 'y': expected INT32"),
    (quantize, output(Tensor("y", (1, 3, 2), np.uint8)), "output 'y': expected INT32"),
    (conv2d, output(Tensor("y", (1, 3, 2, 8), np.int32)), "output 'y': expected FLOAT32"),
    (conv2d_packed, output(Tensor("y", (1, 3, 2, 1))), "output 'y': expected INT32"),
    (fully_connected, output(Tensor("y", (1, 8), np.int8)), "output 'y': expected FLOAT32"),
    (max_pool2d, output(Tensor("y", (1, 2, 2, 2), np.int64)), "output 'y': expected INT32"),
    # Names that are long, or in no language.
    (
        quantize,
        tensor(0, name=LONG, shape=(1, 3, 41)),
        f"input 0 (input, '{LONG[:100]}...'): expected {CHANNELS_LAST}, got FLOAT32 [1, 3, 41]",
    ),
    (
        max_pool2d,
        tensor(0, name="größe%s\n", shape=(4, 4)),
        "input 0 (input, 'gr????e%s?'): expected rank 4, got INT32 [4, 4]",
    ),
]  # fmt: skip


def bad_nodes():
    """Yields (name of the case, node, expected message)."""
    for number, (good, change, message) in enumerate(OPTION_CASES + TENSOR_CASES):
        node = good()
        change(node)
        yield f"{number}-{good.__name__}-{message[:60]}", node, f"{node.op}: {message}"
