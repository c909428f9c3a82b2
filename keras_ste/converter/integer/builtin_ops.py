"""TFLite's own ops in int8, as its quantization specification has them.

https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import copy

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import BuiltinOperator, Op, Tensor, TensorType
from keras_ste.converter.integer.parameters import (
    Parameters,
    integer_bias,
    integer_constant,
    integer_weights,
    parameters_of_range,
)

# Outputs whose scale and zero point the kernels fix.
FIXED_OUTPUTS = {
    "SOFTMAX": Parameters(np.float32(1 / 256), -128),
    "LOGISTIC": Parameters(np.float32(1 / 256), -128),
    "LOG_SOFTMAX": Parameters(np.float32(16 / 256), 127),
    "TANH": Parameters(np.float32(1 / 128), 0),
    "L2_NORMALIZATION": Parameters(np.float32(1 / 128), 0),
}

# Ops that move or compare integers as they are: inputs and outputs have one scale and zero point.
MOVING = frozenset((
    "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "GATHER_ND",
    "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "PACK", "PAD", "PADV2", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_BATCH_ND",
    "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
))  # fmt: skip

# The axis of the weights that has a scale for each index; None for one scale. Weights and bias are the inputs 1 and 2,
# but for the transposed convolution, whose first input is a shape.
_WEIGHTS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": None, "TRANSPOSE_CONV": 0}

# Ops that compute: each tensor has a scale of its own.
_COMPUTING = frozenset((
    "ABS", "ADD", "ARG_MAX", "ARG_MIN", "BATCH_MATMUL", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "MEAN", "MUL", "PRELU",
    "RELU", "RELU6", "RSQRT", "SHAPE", "SQUARED_DIFFERENCE", "SUB", "SUM", *FIXED_OUTPUTS,
))  # fmt: skip

# Their kernels abort where a scale is 1 or more.
_COMPARING = frozenset(("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"))

# The first version of each op that has int8, where that is not the first.
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4} | dict.fromkeys(
    (
        "ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BATCH_TO_SPACE_ND", "CONCATENATION",
        "LOGISTIC", "LOG_SOFTMAX", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PADV2", "RELU", "RELU6",
        "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH",
        "SPLIT", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "L2_NORMALIZATION",
    ),
    2,
)  # fmt: skip


def weights_and_bias(op: Op) -> tuple[int, int] | None:
    """The places of an op's weights and bias among its inputs, or None where it has none."""
    return None if op.name not in _WEIGHTS else (1, 3 if op.name == "TRANSPOSE_CONV" else 2)


def has_int8(op: Op) -> bool:
    """Whether TFLite and this package know the op in int8."""
    return op.name in MOVING or op.name in _WEIGHTS or op.name in _COMPUTING or op.name in _COMPARING


def requantize(source: Tensor, target: Tensor) -> Op:
    """The op QUANTIZE, from floats or from integers of another scale or type."""
    version = 1 if source.type == TensorType.FLOAT32 else 2
    raw = schema.OperatorT(builtinOptionsType=schema.BuiltinOptions.QuantizeOptions)
    raw.builtinOptions = schema.QuantizeOptionsT()
    return Op(BuiltinOperator.QUANTIZE, [source], [target], version=version, raw=raw)


def dequantize(source: Tensor, target: Tensor) -> Op:
    """The op DEQUANTIZE."""
    raw = schema.OperatorT(builtinOptionsType=schema.BuiltinOptions.DequantizeOptions)
    raw.builtinOptions = schema.DequantizeOptionsT()
    return Op(BuiltinOperator.DEQUANTIZE, [source], [target], version=2, raw=raw)


def quantize_constants(op: Op, parameters: dict[Tensor, Parameters]) -> None:
    """Makes a built-in op's constants of floats integers, and its version one that has int8.

    Args:
      op: the op, whose other tensors of floats become int8.
      parameters: theirs; those of the constants are put in.

    Raises:
      ValueError: the op has no int8 form for these tensors.
    """
    op.version = max(op.version, _VERSIONS.get(op.name, 1))
    if op.name in _WEIGHTS:
        _quantize_weights(op, parameters)
        return
    for index, tensor in enumerate(op.inputs):
        if tensor is not None and tensor.constant and tensor.type == TensorType.FLOAT32:
            moved = op.name in MOVING and op.outputs[0] in parameters
            own = parameters_of_range(tensor.data.min(initial=0), tensor.data.max(initial=0))
            chosen = parameters[op.outputs[0]] if moved else own
            op.inputs[index] = integer_constant(tensor, chosen)
            parameters[op.inputs[index]] = chosen
    coarse = [t for t in op.inputs if op.name in _COMPARING and t in parameters and parameters[t].scale >= 1]
    if coarse:
        raise ValueError(f"{op} compares '{coarse[0].name}', whose range is too wide for TFLite's comparison of int8")


def _quantize_weights(op: Op, parameters: dict[Tensor, Parameters]) -> None:
    weights_at, bias_at = weights_and_bias(op)
    source = op.inputs[2 if op.name == "TRANSPOSE_CONV" else 0]
    weights = op.inputs[weights_at]
    if not weights.constant or weights.type != TensorType.FLOAT32:
        raise ValueError(f"{op} has weights in {weights.type_name} that are no constant: it has no int8 form")
    op.inputs[weights_at], scales = integer_weights(weights, _WEIGHTS[op.name])
    bias = op.input(bias_at)
    if bias is not None:
        op.inputs[bias_at] = integer_bias(bias.name, bias.data, scales * parameters[source].scale)


def with_options(name: str, inputs: list[Tensor | None], outputs: list[Tensor], options: object) -> Op:
    """A built-in op in int8 that has weights."""
    code = getattr(BuiltinOperator, name)
    kind = type(options).__name__.removesuffix("T")
    raw = schema.OperatorT(builtinOptionsType=getattr(schema.BuiltinOptions, kind), builtinOptions=copy.copy(options))
    return Op(code, inputs, outputs, version=_VERSIONS[name], raw=raw)
