"""The ranges that a graph's own numbers imply: of pixels, of sums of packed codes, of clamps.

Each tensor of floats gets the least and the greatest number it can hold, for each channel or for all; infinite where
nothing bounds it. A product with weights in float is not bounded: what its sums could reach is many times what they do.
"""

from __future__ import annotations

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.chain import NotFusable, activation_steps, elementwise_steps, evaluate, output_steps
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType

# Low and high: float32 of one element, or of one for each channel.
Bound = tuple[np.ndarray, np.ndarray]

UNKNOWN: Bound = (np.full(1, -np.inf, np.float32), np.full(1, np.inf, np.float32))
_INTEGERS = {TensorType.INT8: (-128, 127), TensorType.UINT8: (0, 255)}
_RANGES = {
    "LOGISTIC": (0, 1),
    "SOFTMAX": (0, 1),
    "TANH": (-1, 1),
    "L2_NORMALIZATION": (-1, 1),
}
# Each number of the output lies between numbers of the inputs in the same channel.
_WITHIN_CHANNELS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
# ... or anywhere in the inputs, or is 0.
_WITHIN_ALL = (
    "BATCH_TO_SPACE_ND", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "MEAN", "MIRROR_PAD", "PACK", "PAD",
    "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SQUEEZE",
    "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
)  # fmt: skip


def _pair(low: float, high: float) -> Bound:
    return np.full(1, low, np.float32), np.full(1, high, np.float32)


def _sorted(*ends: np.ndarray) -> Bound:
    """The least and the greatest of several ends; unknown where one of them is no number."""
    ends = np.broadcast_arrays(*ends)
    low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def all_channels(bound: Bound) -> Bound:
    """One range for all channels."""
    return bound[0].min(keepdims=True), bound[1].max(keepdims=True)


def input_codes(op: Op, index: int = 0, name: str = "input") -> Codes | None:
    """The codes, zero point included, of a data input of an op of this package; None for float32."""
    zero_point = op.options.get(f"{name}_zero_point", 0)
    kind = op.inputs[index].type
    if kind == TensorType.INT32:
        return codes_of(op.options, name)
    encoding = {TensorType.INT8: "signed", TensorType.UINT8: "unsigned"}.get(kind)
    return None if encoding is None else Codes(8, encoding, zero_point)


def sum_bounds(op: Op) -> np.ndarray | None:
    """The largest magnitude of a product's sums, for each channel; None where its input is float32."""
    codes = input_codes(op)
    if codes is None:
        return None
    weights = np.abs(op.inputs[1].data.astype(np.int64))
    # A place outside the image counts as 1 at most.
    return max(1, codes.largest) * weights.reshape(len(weights), -1).sum(1)


def _product(op: Op) -> Bound:
    sums = sum_bounds(op)
    if sums is None or "row_bits" in op.options:
        low, high = op.options.get("activation_min", -np.inf), op.options.get("activation_max", np.inf)
        return _pair(low, high)
    sums = sums.astype(np.float32)
    steps = output_steps(op)
    return _sorted(evaluate(steps, -sums), evaluate(steps, sums))


def _of_codes(op: Op, multiplier: int, index: int = 0, name: str = "input") -> Bound:
    """What codes are worth, times a multiplier."""
    codes, factors = input_codes(op, index, name), op.input(multiplier)
    if codes is None:
        return UNKNOWN
    worths = codes.worths[[codes.encoding == "ternary", -1]].astype(np.float32)
    factors = np.ones(1, np.float32) if factors is None else factors.data
    return _sorted(*(worth * factors for worth in worths))


def _sum_of_codes(op: Op) -> Bound:
    a, b = _of_codes(op, 2, 0, "a"), _of_codes(op, 3, 1, "b")
    low, high = op.options.get("activation_min", -np.inf), op.options.get("activation_max", np.inf)
    return np.clip(a[0] + b[0], low, high), np.clip(a[1] + b[1], low, high)


def _constant(tensor: Tensor) -> Bound:
    values = tensor.data.reshape(-1, tensor.data.shape[-1]) if tensor.data.ndim else tensor.data.reshape(1, 1)
    return values.min(0), values.max(0)


def _of_two(op: Op, a: Bound, b: Bound) -> Bound:
    """An op of two tensors, element by element."""
    with np.errstate(invalid="ignore"):
        if op.name == "ADD":
            return _sorted(a[0] + b[0], a[1] + b[1])
        if op.name == "SUB":
            return _sorted(a[0] - b[1], a[1] - b[0])
        if op.name == "MUL":
            return _sorted(*(x * y for x in a for y in b))
        if op.name == "MAXIMUM":
            return np.maximum(a[0], b[0]), np.maximum(a[1], b[1])
        return np.minimum(a[0], b[0]), np.minimum(a[1], b[1])


def _without_activation(op: Op, bounds: list[Bound]) -> Bound:
    if op.name in _RANGES:
        return _pair(*_RANGES[op.name])
    if op.name == "CAST" and op.inputs[0].type in _INTEGERS:
        return _pair(*_INTEGERS[op.inputs[0].type])
    if op.name in MATMUL_OPS and op.options["output"] == "float32":
        return _product(op)
    if op.name == "SteDequantize":
        return _of_codes(op, 2) if op.input(1) is None else UNKNOWN
    if op.name == "SteAveragePool2D":
        return bounds[0] if op.inputs[0].type == TensorType.FLOAT32 else _of_codes(op, 1)
    if op.name == "SteAdd":
        return _sum_of_codes(op)
    if op.name in _WITHIN_CHANNELS:
        return bounds[0]
    if op.name in _WITHIN_ALL:
        joined = [all_channels(bound) for bound in bounds]
        zero = [_pair(0, 0)] if op.name == "PAD" else []
        return _sorted(*(end for bound in joined + zero for end in bound))
    if op.name in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"):
        return _of_two(op, *bounds)
    if op.name == "HARD_SWISH":
        return _sorted(np.full(1, -0.375, np.float32), np.maximum(bounds[0][1], 0))
    try:
        _, steps = elementwise_steps(op)
    except NotFusable:
        return UNKNOWN
    return _sorted(*(evaluate(steps, end) for end in bounds[0]))


def _clamped(op: Op, bound: Bound) -> Bound:
    try:
        steps = activation_steps(op, op.activation)
    except NotFusable:
        return (np.maximum(bound[0], -1), np.minimum(bound[1], 1)) if op.activation == "TANH" else UNKNOWN
    return evaluate(steps, bound[0]), evaluate(steps, bound[1])


def known_bounds(graph: Graph) -> dict[Tensor, Bound]:
    """The range of every tensor of floats that is computed."""
    found: dict[Tensor, Bound] = {}

    def of(tensor: Tensor) -> Bound:
        return _constant(tensor) if tensor.constant else found.get(tensor, UNKNOWN)

    for op in graph.ops:
        bounds = [of(t) for t in op.inputs if t is not None and t.type == TensorType.FLOAT32]
        for output in op.outputs:
            if output.type == TensorType.FLOAT32:
                found[output] = _clamped(op, _without_activation(op, bounds))
    return found
