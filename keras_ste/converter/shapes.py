"""Output shapes of this package's ops. A size that is known only at run time is -1."""

from __future__ import annotations

import math

from keras_ste.codes import codes_of
from keras_ste.converter.graph import Op
from keras_ste.converter.packing import words_of


def _window(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Places of a window along one axis."""
    if size < 0:
        return -1
    if padding != "valid":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def _channels(op: Op, count: int) -> int:
    if op.options.get("output", "packed") != "packed":
        return count
    return codes_of(op.options, "output").bits * words_of(count)


def _conv(op: Op) -> tuple[int, ...]:
    o = op.options
    outputs = o["filters"] if op.name == "SteConv2D" else o["channels"] * o["depth_multiplier"]
    n, h, w, _ = op.inputs[0].signature
    h = _window(h, o["kernel_h"], o["stride_h"], o["dilation_h"], o["padding"])
    w = _window(w, o["kernel_w"], o["stride_w"], o["dilation_w"], o["padding"])
    return n, h, w, _channels(op, outputs)


def _transpose_conv(op: Op) -> tuple[int, ...]:
    o = op.options
    n, *sizes, _ = op.inputs[0].signature
    for i, axis in enumerate("hw"):
        stride, size = o[f"stride_{axis}"], sizes[i]
        more = o[f"kernel_{axis}"] - stride if o["padding"] == "valid" else 0
        sizes[i] = -1 if size < 0 else size * stride + more + o.get(f"extra_{axis}", 0)
    return n, *sizes, _channels(op, o["filters"])


def _fully_connected(op: Op) -> tuple[int, ...]:
    rows = op.inputs[0].signature[: -op.options.get("input_axes", 1)]
    return *rows, _channels(op, op.options["units"])


def _quantize(op: Op) -> tuple[int, ...]:
    return *op.inputs[0].signature[:-1], _channels(op, op.options["channels"])


def _dequantize(op: Op) -> tuple[int, ...]:
    return *op.inputs[0].signature[:-1], op.options["channels"]


def _max_pool(op: Op) -> tuple[int, ...]:
    o = op.options
    n, h, w, c = op.inputs[0].signature
    h = _window(h, o["pool_h"], o["stride_h"], 1, o["padding"])
    w = _window(w, o["pool_w"], o["stride_w"], 1, o["padding"])
    return n, h, w, c


def _average_pool(op: Op) -> tuple[int, ...]:
    return *_max_pool(op)[:-1], _channels(op, op.options["channels"])


def _same(op: Op) -> tuple[int, ...]:
    return op.inputs[0].signature


def _pad(op: Op) -> tuple[int, ...]:
    n, h, w, c = op.inputs[0].signature
    h, w = (
        -1 if size < 0 else size + op.options[f"pad_{before}"] + op.options[f"pad_{behind}"]
        for size, before, behind in ((h, "top", "bottom"), (w, "left", "right"))
    )
    return n, h, w, c


def _concat(op: Op) -> tuple[int, ...]:
    channels = sum(op.options[f"channels_{i}"] for i in range(len(op.inputs)))
    return *op.inputs[0].signature[:-1], codes_of(op.options, "input").bits * words_of(channels)


def _nearest(op: Op) -> tuple[int, ...]:
    return op.inputs[0].signature[:-1]


def _gather(op: Op) -> tuple[int, ...]:
    return *op.inputs[0].signature, codes_of(op.options, "input").bits * words_of(op.options["channels"])


_RULES = {
    "SteAdd": _quantize,
    "SteAveragePool2D": _average_pool,
    "SteConcat": _concat,
    "SteGather": _gather,
    "SteNearest": _nearest,
    "StePad": _pad,
    "SteShuffle": _same,
    "SteConv2D": _conv,
    "SteDepthwiseConv2D": _conv,
    "SteFullyConnected": _fully_connected,
    "SteDequantize": _dequantize,
    "SteMaxPool2D": _max_pool,
    "SteQuantize": _quantize,
    "SteTransposeConv2D": _transpose_conv,
}


def output_shape(op: Op) -> tuple[int, ...]:
    """The shape of the op's output, from its first input's shape and its options."""
    return _RULES[op.name](op)


def macs(op: Op) -> int:
    """Multiply-adds with a batch of one, other unknown sizes counted as 1. Padding counts as data."""
    o = op.options
    places = math.prod(op.outputs[0].shape[:-1])
    if op.name == "SteConv2D":
        inputs = o["kernel_h"] * o["kernel_w"] * o["channels"] // o["groups"]
        return places * inputs * o["filters"]
    taps = o.get("kernel_h", 1) * o.get("kernel_w", 1)
    if op.name == "SteDepthwiseConv2D":
        return places * taps * o["channels"] * o["depth_multiplier"]
    if op.name == "SteTransposeConv2D":  # each input meets the whole kernel
        inputs = math.prod(op.inputs[0].shape[:-1])
        return inputs * taps * o["channels"] * o["filters"]
    if op.name == "SteFullyConnected":
        return places * o.get("pixels", 1) * o["channels"] * o["units"]
    return 0
