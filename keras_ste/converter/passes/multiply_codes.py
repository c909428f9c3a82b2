"""Lets a layer without a quantizer of its own multiply the codes that the layer before it gives."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import codes_of
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, TensorType, constant_tensor
from keras_ste.converter.passes.requantize import code_values

_MOST_SUM = 2**24


def multiply_codes(graph: Graph) -> None:
    """SteDequantize → SteConv2D of floats becomes SteConv2D of codes, where the floats add up exactly.

    That is, where all are multiples of one power of two, and the sums of what is multiplied by it stay below 2^24.
    """
    for op in graph.select(*MATMUL_OPS):
        restore = graph.producer(op.inputs[0])
        if op.inputs[0].type == TensorType.FLOAT32 and restore is not None and restore.name == "SteDequantize":
            scale = exact_scale(restore)
            if scale is not None and _takes_codes(op, restore, scale):
                _multiply(op, restore, scale)


def exact_scale(restore: Op) -> np.float32 | None:
    """What codes are multiplied by, where it is one power of two; else None."""
    if code_values(restore) is None:
        return None
    multiplier = np.ones(1, np.float32) if restore.input(2) is None else restore.inputs[2].data
    return multiplier[0] if is_power_of_two(multiplier) else None


def is_power_of_two(scale: np.ndarray) -> bool:
    """Whether that is one scale for all channels, a power of two that no float32 is too large or too small for."""
    return bool(scale.size == 1 and 2.0**-64 < scale[0] < 2.0**64 and np.frexp(scale[0])[0] == 0.5)


def _takes_codes(op: Op, restore: Op, scale: np.float32) -> bool:
    if "row_bits" in op.options or op.options.get("pad_value", 0) not in (0, 1 / scale):
        return False
    worths, _ = code_values(restore)
    weights = np.abs(op.inputs[1].data.astype(np.int64))
    largest = max(1, int(np.abs(worths).max()))
    return bool(largest * weights.reshape(len(weights), -1).sum(1).max() < _MOST_SUM)


def _multiply(op: Op, restore: Op, scale: np.float32) -> None:
    op.inputs[0] = restore.inputs[0]
    codes = codes_of(restore.options, "input")
    options = {"input_zero_point": restore.options.get("input_zero_point", 0)}
    if restore.inputs[0].type == TensorType.INT32:
        options |= codes.options("input")
    op.options |= {"version": 2, **codes_of(op.options, "weight").options("weight"), **options}
    if op.options.get("pad_value", 0):
        op.options["pad_value"] = 1
    multiplier = op.input(2)
    scaled = np.full(1, scale) if multiplier is None else multiplier.data * scale
    op.inputs += [None] * (3 - len(op.inputs))
    op.inputs[2] = constant_tensor(f"{op.outputs[0].name}/scaled", scaled)
