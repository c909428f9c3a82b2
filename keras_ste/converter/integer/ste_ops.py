"""The ops of this package between int8 tensors: what they read, and what they put out.

Sums of products of integers are exact; what is known of an input's scale goes into the constants behind them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.codes import codes_of
from keras_ste.converter.chain import ALWAYS, NEVER
from keras_ste.converter.graph import MATMUL_OPS, ActivationFunctionType, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.integer.builtin_ops import with_options
from keras_ste.converter.integer.parameters import (
    HIGHEST,
    LOWEST,
    MOST_WEIGHT,
    Parameters,
    describe,
    fixed_point,
    integer_bias,
)

# Sums and biases stay below it in the ops.
_MOST_SUM = 2**30
# Of the integers that sums become: what rounding the bias may add to the half that rounding the sum does.
_MOST_ERROR = 1 / 16


def _values(op: Op, index: int, default: float) -> np.ndarray:
    tensor = op.input(index)
    return np.full(1, default, np.float32) if tensor is None else tensor.data


def _put(op: Op, index: int, values: np.ndarray | None, what: str) -> None:
    """Sets a constant input."""
    op.inputs += [None] * (index + 1 - len(op.inputs))
    op.inputs[index] = None if values is None else constant_tensor(f"{op.outputs[0].name}/{what}", values)


def read_int8(op: Op, parameters: Parameters) -> None:
    """Lets an op read int8 where it reads floats; the tensor itself changes its type later.

    Args:
      op: the op.
      parameters: of the tensor that it reads.

    Raises:
      ValueError: the op computes of floats alone.
    """
    if "row_bits" in op.options:
        raise ValueError(f"{op} scales each row of its input at run time, so that it reads floats")
    if op.name == "SteQuantize":
        _quantize_int8(op, parameters)
    elif op.name in MATMUL_OPS:
        _multiply_int8(op, parameters)
    elif op.name == "SteAveragePool2D":
        _average_int8(op, parameters)
    else:
        raise ValueError(f"{op} reads floats only")


def _multiply_int8(op: Op, parameters: Parameters) -> None:
    weights = np.abs(op.inputs[1].data.astype(np.int64))
    most = max(parameters.zero_point - LOWEST, HIGHEST - parameters.zero_point, 1)
    if most * weights.reshape(len(weights), -1).sum(1).max() >= _MOST_SUM:
        raise ValueError(f"{op} adds up so many products that its sums of int8 may reach {_MOST_SUM}")
    if op.options.get("pad_value"):
        raise ValueError(f"{op} pads its input of floats with ones, which its int8 has no code for")
    op.options["input_zero_point"] = parameters.zero_point
    thresholds = op.input(4)
    if thresholds is None or "tail" in op.options:
        _put(op, 2, _values(op, 2, 1) * parameters.scale, "multiplier")
        return
    # The sum of floats was the sum of integers times the scale.
    with np.errstate(invalid="ignore", over="ignore"):
        reached = np.ceil(thresholds.data / np.float64(parameters.scale))
    integers = np.where(np.isnan(reached), NEVER, np.clip(reached, ALWAYS, NEVER))
    _put(op, 4, integers.astype(np.int32), "thresholds")


def _average_int8(op: Op, parameters: Parameters) -> None:
    op.options["input_zero_point"] = parameters.zero_point
    thresholds = op.input(3)
    if thresholds is None:
        _put(op, 1, _values(op, 1, 1) * parameters.scale, "multiplier")
    else:
        _put(op, 3, thresholds.data / parameters.scale, "thresholds")


def _quantize_int8(op: Op, parameters: Parameters) -> None:
    """A quantizer that gives each integer the code of the number that it stands for."""
    if op.options["version"] == 1:
        channels = op.options["channels"]
        op.options = {
            "version": 2, "channels": channels, "output": "packed", "output_bits": 1, "output_encoding": "bipolar",
        }  # fmt: skip
        _put(op, 3, np.zeros(1, np.float32), "thresholds")
    thresholds = op.input(3)
    op.options["input_zero_point"] = parameters.zero_point
    if thresholds is None:
        _put(op, 1, _values(op, 1, 1) * parameters.scale, "multiplier")
        return
    steps = np.arange(LOWEST, HIGHEST + 2, dtype=np.float32) - parameters.zero_point
    # For each threshold the first integer that reaches it; behind the last one there is none.
    stands_for = steps[:-1] * parameters.scale
    first = np.searchsorted(stands_for, thresholds.data, side="left")
    moved = np.where(np.isnan(thresholds.data), np.nan, steps[first])
    _put(op, 3, np.where(np.isneginf(thresholds.data), -np.inf, moved).astype(np.float32), "thresholds")


@dataclasses.dataclass(frozen=True)
class Codes8:
    """What the int8 that a SteQuantize puts out stands for, and the bounds of it."""

    parameters: Parameters
    low: int
    high: int


def int8_codes(op: Op) -> Codes8 | None:
    """Of a SteQuantize with one factor for all channels and int8 behind it; None of any other op."""
    if op.name != "SteQuantize" or op.options.get("output") != "int8" or op.input(2) is not None:
        return None
    if op.inputs[0].type == TensorType.INT32:  # codes, of which the op does not say what they stand for
        return None
    multiplier = _values(op, 1, 1)
    if multiplier.size != 1 or not multiplier[0] > 0:
        return None
    parameters = Parameters(np.float32(1) / multiplier.reshape(())[()], op.options.get("output_zero_point", 0))
    return Codes8(parameters, op.options.get("output_min", LOWEST), op.options.get("output_max", HIGHEST))


def quantizer_range(op: Op) -> tuple[float, float] | None:
    """Numbers beyond which a SteQuantize gives its lowest and highest code; None where they are not known."""
    if op.options["version"] == 1:
        return None
    codes = int8_codes(op)
    if codes is not None:
        scale, zero_point = float(codes.parameters.scale), codes.parameters.zero_point
        return scale * (codes.low - zero_point), scale * (codes.high - zero_point)
    thresholds = op.input(3)
    if thresholds is None:
        return _range_of_rounding(op)
    limits = thresholds.data[np.isfinite(thresholds.data)]
    if limits.size < 2 or limits.min() == limits.max():
        return None
    # A step further than the last threshold.
    step = (limits.max() - limits.min()) / (2 ** op.options.get("output_bits", 1) - 2 or 1)
    return float(limits.min() - step), float(limits.max() + step)


def _range_of_rounding(op: Op) -> tuple[float, float] | None:
    multiplier = _values(op, 1, 1)
    if op.input(2) is not None or multiplier.size != 1 or not multiplier[0] > 0 or op.options["output"] != "packed":
        return None
    codes = codes_of(op.options, "output")
    zero_point = op.options.get("output_zero_point", 0)
    low = op.options.get("output_min", codes.worths[codes.encoding == "ternary"])
    high = op.options.get("output_max", codes.worths[-1])
    return (low - zero_point) / float(multiplier[0]), (high - zero_point) / float(multiplier[0])


def put_int8(op: Op, parameters: Parameters) -> None:
    """Lets a product of integers put out int8 in place of float32; the tensor itself changes its type later.

    It is rounded by integer arithmetic, whose bias is a whole number of the sums' unit. Where that is too coarse, as it is for
    the few values that sums of few signs have, or a channel falls whose weights have no negatives, by a tail of floats.
    """
    multiplier, bias = (_values(op, index, default).astype(np.float64) for index, default in ((2, 1), (3, 0)))
    channels = len(op.inputs[1].data)
    multiplier, bias = np.broadcast_to(multiplier, channels), np.broadcast_to(bias, channels)
    scale = float(parameters.scale)
    # Where the bias is all there is, or most of it, the sums count in a finer unit.
    factors = np.maximum(np.abs(multiplier), np.maximum(np.abs(bias), scale) / 2**29) / scale
    exact = bias / scale / factors
    op.options |= {"output": "int8", "output_zero_point": parameters.zero_point}
    weights = _negated(op, multiplier < 0)
    if weights is None or (np.abs(np.rint(exact) - exact) * factors).max() > _MOST_ERROR:
        op.options |= {"version": 3, "tail": "multiply"}
        _put(op, 5, np.full((1, channels), 1 / scale, np.float32), "tail")
    else:
        op.inputs[1] = weights
        _put_fixed_point(op, factors, np.rint(exact).astype(np.int32), parameters)
    if op.options.get("weight_bits") is None:  # version 1 knows no other
        op.options |= {"version": max(op.options["version"], 2), "weight_bits": 1, "weight_encoding": "bipolar"}


def _put_fixed_point(op: Op, factors: np.ndarray, biases: np.ndarray, parameters: Parameters) -> None:
    """The constants of `((sum + bias) * multiplier) >> shift`, and the clamp in codes."""
    multipliers, shifts = fixed_point(factors)
    _put(op, 2, multipliers, "multiplier")
    _put(op, 3, biases if biases.any() else None, "bias")
    _put(op, 4, shifts, "shift")
    op.options["version"] = max(op.options["version"], 2)
    for key, clamp in (("output_min", "activation_min"), ("output_max", "activation_max")):
        end = op.options.pop(clamp, np.inf)
        if np.isfinite(end):
            op.options[key] = int(parameters.quantize(np.float64(end)))


# Where the ops whose sums are floats have their multiplier.
_MULTIPLIERS = {"SteAdd": 4, "SteAveragePool2D": 1, "SteDequantize": 2}


def rounds(op: Op) -> bool:
    """Whether the op puts out sums that are floats, which it can round instead."""
    return op.name == "SteDequantize" or op.name in _MULTIPLIERS and op.options["output"] == "float32"


def put_rounded(op: Op, parameters: Parameters) -> None:
    """Lets a sum or average of codes, or codes themselves, become int8 in place of float32; the tensor changes later.

    Raises:
      ValueError: codes are looked up in a table.
    """
    place = _MULTIPLIERS[op.name]
    multiplier, bias = _values(op, place, 1) / parameters.scale, op.input(place + 1)
    if op.name == "SteDequantize":
        if op.input(1) is not None:
            raise ValueError(f"{op} looks its numbers up in a table, so that it puts out floats")
        op.custom_name, place = "SteQuantize", 1
    op.inputs = op.inputs[:place]
    _put(op, place, multiplier, "multiplier")
    _put(op, place + 1, None if bias is None else bias.data / parameters.scale, "bias")
    low, high = op.options.pop("activation_min", -np.inf), op.options.pop("activation_max", np.inf)
    op.options |= {"output": "int8", "output_zero_point": parameters.zero_point}
    for key, end in (("output_min", low), ("output_max", high)):
        if np.isfinite(end):
            op.options[key] = int(parameters.quantize(np.float64(end)))


def _negated(op: Op, falls: np.ndarray) -> Tensor | None:
    """The weights, those of the channels that fall negated; None where they have no negatives."""
    weights, codes = op.inputs[1], codes_of(op.options, "weight")
    if not falls.any():
        return weights
    falling = falls.reshape(-1, *[1] * (weights.data.ndim - 1))
    flipped = np.where(falling, -weights.data.astype(np.int32), weights.data)
    if not np.isin(flipped, codes.worths).all():
        return None
    return constant_tensor(f"{weights.name}/negated", flipped.astype(weights.data.dtype))


_ACTIVATIONS = {
    (-np.inf, np.inf): ActivationFunctionType.NONE,
    (0.0, np.inf): ActivationFunctionType.RELU,
    (0.0, 6.0): ActivationFunctionType.RELU6,
    (-1.0, 1.0): ActivationFunctionType.RELU_N1_TO_1,
}
_PADDINGS = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}


def as_builtin(op: Op, source: Parameters) -> Op | None:
    """TFLite's own op for a product with weights of 8 bits and an int8 input, whose output becomes int8.

    Args:
      op: the op, with output float32.
      source: of its input.

    Returns:
      The op, or None where TFLite has none that computes the same sums.
    """
    o, weights = op.options, op.inputs[1]
    clamp = (o.get("activation_min", -np.inf), o.get("activation_max", np.inf))
    if (
        o.get("weight_bits") != 8
        or o["output"] != "float32"
        or np.abs(weights.data.astype(np.int32)).max() > MOST_WEIGHT
        or clamp not in _ACTIVATIONS
        or o.get("pad_value", 0)
        or o.get("groups", 1) != 1
        or o.get("input_axes", 1) != 1
        or o.get("padding") == "causal"
        or op.name == "SteTransposeConv2D"
    ):
        return None
    channels = len(weights.data)
    multiplier = np.broadcast_to(_values(op, 2, 1), channels)
    if not (multiplier != 0).all():
        return None
    scales = np.abs(multiplier) / source.scale
    falling = (multiplier < 0).reshape(-1, *[1] * (weights.data.ndim - 1))
    integers = np.where(falling, -weights.data, weights.data).astype(np.int8)
    bias = np.broadcast_to(_values(op, 3, 0), channels)
    sums = integer_bias(f"{op.outputs[0].name}/bias", bias, np.abs(multiplier))
    if op.name == "SteDepthwiseConv2D":
        name, axis, integers = "DEPTHWISE_CONV_2D", 3, integers.transpose(1, 2, 0)[np.newaxis]
    else:
        name, axis = ("CONV_2D" if op.name == "SteConv2D" else "FULLY_CONNECTED"), 0
    filters = constant_tensor(f"{weights.name}/int8", np.ascontiguousarray(integers))
    describe(filters, scales[:1] if (scales == scales[0]).all() and name == "FULLY_CONNECTED" else scales, axis=axis)
    options = _builtin_options(op, name, _ACTIVATIONS[clamp])
    result = with_options(name, [op.inputs[0], filters, sums], op.outputs, options)
    result.layer = op.layer
    return result


def _builtin_options(op: Op, name: str, activation: int) -> object:
    o = op.options
    if name == "FULLY_CONNECTED":
        return schema.FullyConnectedOptionsT(
            fusedActivationFunction=activation, keepNumDims=len(op.outputs[0].signature) > 2
        )
    window = {
        "padding": _PADDINGS[o["padding"]], "strideW": o["stride_w"], "strideH": o["stride_h"],
        "dilationWFactor": o["dilation_w"], "dilationHFactor": o["dilation_h"],
        "fusedActivationFunction": activation,
    }  # fmt: skip
    if name == "CONV_2D":
        return schema.Conv2DOptionsT(**window)
    return schema.DepthwiseConv2DOptionsT(depthMultiplier=o["depth_multiplier"], **window)
