"""Models of one op: those of a file by themselves, and TFLite's own of the same shape."""

from __future__ import annotations

import math

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import (
    BuiltinOperator,
    Graph,
    Model,
    Op,
    Tensor,
    TensorType,
    constant_tensor,
)
from keras_ste.converter.writer import write_model

_OPTIONS = schema.BuiltinOptions
_PADDINGS = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}


def alone(op: Op) -> bytes | None:
    """A model of this op by itself; None where nothing is fed to it."""
    inputs = list(dict.fromkeys(tensor for tensor in op.inputs if tensor is not None and not tensor.constant))
    return _model(inputs, list(op.outputs), op) if inputs else None


def _model(inputs: list[Tensor], outputs: list[Tensor], op: Op) -> bytes:
    return write_model(Model([Graph(inputs, outputs, [op])], [], {}))


def builtin_twin(op: Op, int8: bool) -> bytes | None:
    """TFLite's own op of the same shape as a packed convolution or dense layer, which XNNPACK runs; None of other ops.

    Args:
      op: an op of this package.
      int8: whether its inputs, weights and outputs are int8; else float32.
    """
    o = op.options
    if op.name == "SteFullyConnected":
        rows = math.prod(op.outputs[0].shape[:-1])
        channels = o.get("pixels", 1) * o["channels"]
        options = schema.FullyConnectedOptionsT()
        return _product(
            BuiltinOperator.FULLY_CONNECTED,
            (_OPTIONS.FullyConnectedOptions, options),
            ((rows, channels), (o["units"], channels), (rows, o["units"])),
            int8,
        )
    if op.name not in ("SteConv2D", "SteDepthwiseConv2D"):
        return None
    depthwise = op.name == "SteDepthwiseConv2D"
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = _PADDINGS[o["padding"]]
    options.strideH, options.strideW = o["stride_h"], o["stride_w"]
    options.dilationHFactor, options.dilationWFactor = o["dilation_h"], o["dilation_w"]
    window = (o["kernel_h"], o["kernel_w"])
    if depthwise:
        options.depthMultiplier = o["depth_multiplier"]
        outputs = o["channels"] * o["depth_multiplier"]
        code, kind, weights = BuiltinOperator.DEPTHWISE_CONV_2D, _OPTIONS.DepthwiseConv2DOptions, (1, *window, outputs)
    else:
        outputs = o["filters"]
        weights = (outputs, *window, o["channels"] // o["groups"])
        code, kind = BuiltinOperator.CONV_2D, _OPTIONS.Conv2DOptions
    shapes = ((*op.inputs[0].shape[:3], o["channels"]), weights, (*op.outputs[0].shape[:3], outputs))
    return _product(code, (kind, options), shapes, int8)


def _product(code: int, options: tuple[int, object], shapes: tuple[tuple[int, ...], ...], int8: bool) -> bytes:
    """A built-in op with an input, weights and a bias of zeros."""
    kind, table = options
    source, weights, target = shapes
    numbers = np.random.default_rng(0)
    channels = target[-1]
    if int8:
        kernel = numbers.integers(-127, 128, weights).astype(np.int8)
        bias = np.zeros(channels, np.int32)
    else:
        kernel = numbers.normal(size=weights).astype(np.float32)
        bias = np.zeros(channels, np.float32)
    dtype = TensorType.INT8 if int8 else TensorType.FLOAT32
    axis = 3 if code == BuiltinOperator.DEPTHWISE_CONV_2D else 0
    tensors = [
        Tensor("x", dtype, source, raw=_scaled([1.0], 0, int8)),
        constant_tensor("weights", kernel),
        constant_tensor("bias", bias),
        Tensor("y", dtype, target, raw=_scaled([100.0], 0, int8)),
    ]
    tensors[1].raw = _scaled([1.0] * channels, axis, int8)
    tensors[2].raw = _scaled([1.0] * channels, 0, int8)
    raw = schema.OperatorT(builtinOptionsType=kind, builtinOptions=table)
    return _model([tensors[0]], [tensors[3]], Op(code, tensors[:3], [tensors[3]], version=3 if int8 else 1, raw=raw))


def _scaled(scales: list[float], axis: int, int8: bool) -> schema.TensorT | None:
    """What a tensor says of its quantization."""
    if not int8:
        return None
    quantization = schema.QuantizationParametersT(
        scale=np.array(scales, np.float32), zeroPoint=np.zeros(len(scales), np.int64), quantizedDimension=axis
    )
    return schema.TensorT(hasRank=True, quantization=quantization)


def addition(elements: int) -> bytes:
    """TFLite's ADD of two float32 vectors."""
    tensors = [Tensor(name, TensorType.FLOAT32, (1, elements)) for name in "aby"]
    raw = schema.OperatorT(builtinOptionsType=_OPTIONS.AddOptions, builtinOptions=schema.AddOptionsT())
    return _model(tensors[:2], tensors[2:], Op(BuiltinOperator.ADD, tensors[:2], tensors[2:], raw=raw))
