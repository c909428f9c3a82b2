"""Scale and zero point: what the integers of an int8 tensor stand for."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import Tensor, TensorType, constant_tensor

LOWEST, HIGHEST = -128, 127
# Of weights, the code -128 is left out: kernels add two products of bytes in 16 bits.
MOST_WEIGHT = 127
_MOST_BIAS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Parameters:
    """An integer q stands for `scale * (q - zero_point)`."""

    scale: np.float32
    zero_point: int = 0

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest number that an int8 stands for."""
        scale = float(self.scale)
        return scale * (LOWEST - self.zero_point), scale * (HIGHEST - self.zero_point)

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """The int8 nearest to each number."""
        integers = np.rint(values / np.float64(self.scale)) + self.zero_point
        return np.clip(integers, LOWEST, HIGHEST).astype(np.int8)


def parameters_of_range(low: float, high: float) -> Parameters:
    """Parameters with which int8 reaches from `low` to `high`, 0 among them and exact.

    Example:
      >>> parameters_of_range(0.0, 255.0)
      Parameters(scale=np.float32(1.0), zero_point=-128)
      >>> parameters_of_range(-1.0, 1.0).zero_point
      0
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if low == high:  # nothing but zeros: ops on two tensors count in the coarser of their scales
        return Parameters(np.float32(1 / 256))
    scale = max((high - low) / (HIGHEST - LOWEST), float(np.finfo(np.float32).tiny))
    zero_point = round(LOWEST - low / scale)
    return Parameters(np.float32(scale), min(max(zero_point, LOWEST), HIGHEST))


def describe(tensor: Tensor, scales: np.ndarray, zero_point: int = 0, axis: int = 0) -> None:
    """Writes scales and zero point into what the file says of a tensor."""
    raw = schema.TensorT(hasRank=True) if tensor.raw is None else copy.copy(tensor.raw)
    scales = np.atleast_1d(np.asarray(scales, np.float32))
    raw.quantization = schema.QuantizationParametersT(
        scale=scales, zeroPoint=np.full(scales.shape, zero_point, np.int64), quantizedDimension=axis
    )
    tensor.raw = raw


def set_integer(tensor: Tensor, parameters: Parameters, kind: int = TensorType.INT8) -> None:
    """Makes a tensor that is computed at run time one of integers."""
    tensor.type = kind
    describe(tensor, parameters.scale, parameters.zero_point)


def integer_tensor(name: str, like: Tensor, parameters: Parameters, kind: int = TensorType.INT8) -> Tensor:
    """A new tensor of integers in the shape of another."""
    tensor = Tensor(name, kind, like.signature)
    describe(tensor, parameters.scale, parameters.zero_point)
    return tensor


def integer_constant(tensor: Tensor, parameters: Parameters) -> Tensor:
    """A constant in int8, each number rounded to the nearest."""
    result = constant_tensor(f"{tensor.name}/int8", parameters.quantize(tensor.data))
    describe(result, parameters.scale, parameters.zero_point)
    return result


def integer_weights(tensor: Tensor, axis: int | None) -> tuple[Tensor, np.ndarray]:
    """Weights in symmetric int8, and their scales: one for each index of `axis`, or one for all."""
    values = tensor.data.astype(np.float64)
    others = tuple(i for i in range(values.ndim) if i != axis)
    most = np.abs(values).max(axis=others, keepdims=True)
    # What is zero everywhere is so with any scale.
    scales = (np.where(most > 0, most, 1) / MOST_WEIGHT).astype(np.float32)
    integers = np.clip(np.rint(values / scales), -MOST_WEIGHT, MOST_WEIGHT).astype(np.int8)
    result = constant_tensor(f"{tensor.name}/int8", integers)
    describe(result, scales.reshape(-1), axis=axis or 0)
    return result, scales.reshape(-1)


def integer_bias(name: str, values: np.ndarray, scales: np.ndarray) -> Tensor:
    """A bias in int32, in the unit of the sums that it is added to."""
    integers = np.clip(np.rint(values / scales.astype(np.float64)), -_MOST_BIAS, _MOST_BIAS)
    result = constant_tensor(f"{name}/int32", np.broadcast_to(integers, values.shape).astype(np.int32))
    describe(result, scales)
    return result


def fixed_point(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive factors as multipliers of 31 bits and shifts: `multiplier * 2^(shift - 31)`.

    Example:
      >>> fixed_point(np.array([0.5, 3.0]))
      (array([1073741824, 1610612736], dtype=int32), array([0, 2], dtype=int32))
    """
    fractions, shifts = np.frexp(np.asarray(factors, np.float64))
    multipliers = np.rint(fractions * 2.0**31).astype(np.int64)
    carried = multipliers == 2**31
    multipliers = np.where(carried, 2**30, multipliers)
    shifts = np.where(carried, shifts + 1, shifts)
    multipliers = np.where(shifts < -31, 0, multipliers)
    return multipliers.astype(np.int32), np.maximum(shifts, -31).astype(np.int32)


def finite(value: float) -> bool:
    """Whether a bound of a range is a number."""
    return math.isfinite(value)
