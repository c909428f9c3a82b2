"""What the golden files are made of: a model of each op and version of the file format, and whole networks.

`cases()` gives the name, the file and its inputs of each; what it computes, `expected` says, without the package's kernels.
"""

import bad_models
import keras
import numpy as np
import reference_graph
import reference_ops
from bad_models import Node, ascending, constant
from single_op import Tensor

import keras_ste
from keras_ste import quantizers

WINDOW = {
    "version": 2, "channels": 40, "filters": 8, "kernel_h": 3, "kernel_w": 2, "stride_h": 1, "stride_w": 2,
    "dilation_h": 1, "dilation_w": 1, "groups": 1, "padding": "same", "pad_value": 1,
}  # fmt: skip


def conv2d_codes():
    """Weights and inputs of 2 bits, an output of 3."""
    options = {
        **WINDOW, "weight_bits": 2, "weight_encoding": "ternary", "input_bits": 2, "input_encoding": "unsigned",
        "output": "packed", "output_bits": 3, "output_encoding": "signed",
    }  # fmt: skip
    weights = reference_ops.pack_numbers(np.random.default_rng(1).choice([0, 1, 3], (8, 3, 2, 40)), 2)
    levels = np.sort(np.random.default_rng(2).integers(-60, 60, (7, 8)), axis=0).astype(np.int32)
    inputs = [Tensor("x", (1, 5, 4, 4), np.int32), Tensor.constant("f", weights), None, None, Tensor.constant("t", levels)]
    return Node("SteConv2D", options, inputs, Tensor("y", (1, 5, 2, 3), np.int32))


def conv2d_groups():
    """Two groups, whose channels do not begin at a word."""
    options = {**WINDOW, "groups": 2, "input_bits": 1, "weight_bits": 1, "output": "int32"}
    numbers = np.zeros((8, 3, 2, 64), np.int64)
    numbers[:4, ..., :20] = np.random.default_rng(1).integers(0, 2, (4, 3, 2, 20))
    numbers[4:, ..., 20:40] = np.random.default_rng(2).integers(0, 2, (4, 3, 2, 20))
    weights = reference_ops.pack_numbers(numbers, 1)
    inputs = [Tensor("x", (1, 5, 4, 2), np.int32), Tensor.constant("f", weights)]
    return Node("SteConv2D", options, inputs, Tensor("y", (1, 5, 2, 8), np.int32))


def conv2d_int16():
    """Integers in and out, rounded as TFLite rounds."""
    options = {
        **WINDOW, "weight_bits": 4, "weight_encoding": "signed", "input_zero_point": -3, "output": "int16",
        "output_zero_point": 5,
    }  # fmt: skip
    multiplier = np.random.default_rng(3).integers(2**30, 2**31, 8).astype(np.int32)
    inputs = [
        Tensor("x", (1, 5, 4, 40), np.int8), constant("f", (8, 4 * 8)), Tensor.constant("m", multiplier), constant("b", 8),
        Tensor.constant("s", np.arange(-8, 0, dtype=np.int32)),
    ]  # fmt: skip
    return Node("SteConv2D", options, inputs, Tensor("y", (1, 5, 2, 8), np.int16))


def fully_connected_codes():
    """Weights of 4 bits, inputs of 8."""
    node = bad_models.fully_connected()
    node.options |= {"version": 2, "pixels": 1, "input_axes": 1, "weight_bits": 4, "weight_encoding": "signed"}
    node.inputs[:2] = [Tensor("x", (1, 3, 40), np.uint8), constant("f", (8, 8))]
    node.options["input_zero_point"] = 7
    node.output = Tensor("y", (1, 3, 8))
    return node


def fully_connected_rows():
    """Rows of floats that are quantized at run time."""
    node = bad_models.fully_connected()
    node.options |= {
        "version": 2, "pixels": 1, "input_axes": 1, "weight_bits": 2, "weight_encoding": "ternary", "row_bits": 8,
    }  # fmt: skip
    weights = reference_ops.pack_numbers(np.random.default_rng(1).choice([0, 1, 3], (8, 40)), 2)
    node.inputs[:2] = [Tensor("x", (1, 3, 40)), Tensor.constant("f", weights)]
    node.output = Tensor("y", (1, 3, 8))
    return node


def quantize_int8():
    """Floats to bytes by a factor."""
    node = bad_models.quantize()
    node.options = {"version": 2, "channels": 40, "output": "int8", "output_zero_point": 3, "output_min": -100}
    node.inputs += [Tensor.constant("m", np.float32([25.5]))]
    node.output = Tensor("y", (1, 3, 40), np.int8)
    return node


def add_packed():
    """Two summands to codes."""
    node = bad_models.add()
    node.options |= {"output": "packed", "output_bits": 2, "output_encoding": "bipolar"}
    node.inputs += [None, None, ascending("t", (3, 40))]
    node.output = Tensor("y", (1, 3, 4), np.int32)
    return node


def conv2d_causal():
    """Padding before each axis only."""
    node = conv2d_codes()
    node.options |= {"padding": "causal", "pad_value": 0}
    return node


def transpose_conv2d_extra():
    """More rows than the strides ask for."""
    node = bad_models.transpose_conv2d()
    node.options |= {"extra_h": 1}
    n, height, width, channels = node.output.shape
    node.output = Tensor("y", (n, height + 1, width, channels), node.output.dtype)
    return node


def average_pool2d_float():
    """Averages of floats to codes."""
    node = bad_models.average_pool2d_packed()
    for key in ("input_bits", "input_encoding", "input_zero_point"):
        node.options.pop(key, None)
    node.inputs[0] = Tensor("x", (1, 4, 4, 40))
    return node


def tailed(node, rows, channels, tail):
    """The node with a tail of so many rows of constants, and what it adds."""
    pixels = node.output.shape[:-1]
    inputs = [*node.inputs, None, None, None][:5]
    node.inputs = [*inputs, constant("steps", (rows, channels), np.float32), Tensor("r", (*pixels, channels))]
    node.options |= {"version": 3, "tail": tail}
    return node


def depthwise_conv2d_tail():
    """A shortcut, and bytes that are rounded."""
    node = tailed(bad_models.depthwise_conv2d(), 2, 80, "residual add minimum")
    node.options |= {"output": "int8", "output_zero_point": 3}
    node.output = Tensor("y", node.output.shape, np.int8)
    return node


def fully_connected_tail():
    """Rows that are quantized at run time, a shortcut, PReLU, and codes of 4 bits beside the floats."""
    node = tailed(fully_connected_rows(), 1, 8, "residual prelu store")
    node.options |= {"output": "packed", "output_bits": 4, "output_encoding": "signed"}
    node.output = [Tensor("y", (1, 3, 4), np.int32), Tensor("z", (1, 3, 8))]
    return node


def transpose_conv2d_tail():
    """Floats out."""
    node = bad_models.transpose_conv2d()
    node.inputs = node.inputs[:2]
    node.options["output"] = "float32"
    del node.options["output_zero_point"]
    node.output = Tensor("y", node.output.shape)
    return tailed(node, 3, 8, "multiply residual maximum add")


def conv2d_gapless():
    """Two groups, whose channels do not begin at a word, and codes of 3 bits."""
    options = {**WINDOW, "version": 4, "groups": 2, "weight_bits": 3, "weight_encoding": "signed", "output": "int32"}
    weights = np.random.default_rng(1).integers(0, 256, 8 * 3 * 2 * 20 * 3 // 8).astype(np.uint8)
    inputs = [Tensor("x", (1, 5, 4, 2), np.int32), Tensor.constant("f", weights)]
    return Node("SteConv2D", options, inputs, Tensor("y", (1, 5, 2, 8), np.int32))


def without_gaps(node, bits):
    """The node with so many random bits for a filter."""
    node.options["version"] = 4
    packed = np.packbits(np.random.default_rng(1).random(bits) < 0.5, bitorder="little")
    node.inputs[1] = Tensor.constant("f", packed)
    return node


def depthwise_conv2d_gapless():
    """Rows of 80 channels of 3 bits."""
    node = bad_models.depthwise_conv2d()
    return without_gaps(node, 3 * 80 * node.options["kernel_h"] * node.options["kernel_w"])


def fully_connected_gapless():
    """Rows of 6 pixels of 40 channels."""
    return without_gaps(bad_models.fully_connected(), 8 * 6 * 40)


def transpose_conv2d_gapless():
    """Rows of 40 channels of so many bits as the good model has."""
    node = bad_models.transpose_conv2d()
    return without_gaps(node, 8 * 3 * 2 * 40 * node.options.get("weight_bits", 1))


NODES = [
    *bad_models.GOOD, conv2d_codes, conv2d_groups, conv2d_int16, fully_connected_codes, fully_connected_rows, quantize_int8,
    add_packed, conv2d_causal, transpose_conv2d_extra, average_pool2d_float, depthwise_conv2d_tail, fully_connected_tail,
    transpose_conv2d_tail, conv2d_gapless, depthwise_conv2d_gapless, fully_connected_gapless, transpose_conv2d_gapless,
]  # fmt: skip


def _network(**quantized):
    layers = [
        keras.Input((8, 8, 3), dtype="uint8", name="image"),
        keras_ste.QuantConv2D(33, 3, kernel_quantizer="ste_sign", name="first"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(),
        keras_ste.QuantConv2D(40, 3, padding="same", **quantized, name="second"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras_ste.QuantDense(5, **quantized, name="classes"),
    ]
    keras.utils.set_random_seed(0)
    return keras_ste.convert(keras.Sequential(layers, name="net"), strict=True).model_content


def networks():
    """Converted networks: their names and files."""
    yield "network_signs", _network(input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    k2 = {"input_quantizer": quantizers.Pact(bits=2), "kernel_quantizer": quantizers.UniformQuantizer(bits=2)}
    yield "network_2_bits", _network(**k2)


def cases():
    """The name, the file and the inputs, in the order of the file, of each case."""
    for make in NODES:
        node = make()
        fed = [tensor for tensor in node.inputs if tensor is not None and tensor.data is None]
        yield f"{make.__name__}_v{node.options['version']}", node.model(), [_values(node, tensor) for tensor in fed]
    for name, content in networks():
        images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
        yield name, content, [images]


def _values(node, tensor):
    """Random numbers; packed codes have no bits behind their channels, and indices are those of rows."""
    rng = np.random.default_rng(len(node.op))
    if node.op == "SteGather":
        return rng.integers(0, node.options["rows"], tensor.shape, np.int32)
    if tensor.dtype == np.float32:
        return rng.normal(size=tensor.shape).astype(np.float32)
    if tensor.dtype == np.int32:
        planes = tensor.shape[-1] // 2  # of two words, the second of which holds 8 channels
        return reference_ops.pack_numbers(rng.integers(0, 2**planes, (*tensor.shape[:-1], 40)), planes)
    limits = np.iinfo(tensor.dtype)
    return rng.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)


def expected(content, inputs):
    """What the file computes, by the reference in numpy: a list of outputs."""
    model = reference_graph.parse(content)
    if model.signatureDefs:
        (signature,) = model.signatureDefs
        names = [item.name.decode() for item in signature.inputs]
        return list(reference_graph.run(content, **dict(zip(names, inputs, strict=True))).values())
    return reference_graph.run_unnamed(content, inputs)
