"""Whether packed weights take the bytes that their bits take."""

from __future__ import annotations

import dataclasses
import math

from keras_ste.codes import codes_of
from keras_ste.converter.graph import MATMUL_OPS, Op, TensorType
from keras_ste.converter.packing import WORD, words_of

LIMIT = 1.02


def most_bytes(bits: int) -> float:
    """How many bytes so many bits may take: 1.02 times their own, and whole ones.

    >>> most_bytes(800), most_bytes(9)
    (102.0, 2)
    """
    return max(LIMIT * bits / 8, math.ceil(bits / 8))


@dataclasses.dataclass(frozen=True)
class SizeCheck:
    """The size of an op's packed weights.

    Attributes:
      weights: their number.
      bits: of one weight, as its quantizer has it (as the file has it, where the quantizer is not known).
      weight_bytes: what they take in the file, padding included.
      other_bytes: what the op's scales, biases and thresholds take.
      limit: what they may take: 1.02 times `weights * bits / 8`, or the next whole byte.
      verdict: `"met"`; `"padded"`: more than the limit, because rows fill words of 32, as files of earlier versions have
        them; `"missed"`: more than the limit for another reason.
      reason: why the limit is not met.
    """

    weights: int
    bits: int
    weight_bytes: int
    other_bytes: int
    limit: float
    verdict: str
    reason: str | None = None

    @property
    def ratio(self) -> float:
        """`weight_bytes` per `weights * bits / 8`."""
        return self.weight_bytes * 8 / (self.weights * self.bits)


def weight_bits(op: Op) -> int:
    """Bits of the codes of an op's weights, or of its table; 0 of an op of this package that has neither."""
    name = "weight" if op.name in MATMUL_OPS else "input" if op.name == "SteGather" else None
    return 0 if name is None else codes_of(op.options, name).bits


def check_size(op: Op, quantizer_bits: int | None = None) -> SizeCheck | None:
    """Checks an op's packed weights, or its packed table; `None` of an op that has none.

    Args:
      op: the op, its weights packed.
      quantizer_bits: bits of the quantizer of the kernel, or of the table, where they are known.
    """
    stored = weight_bits(op)
    if not stored or op.input(1) is None or not op.inputs[1].constant:
        return None
    rows, row = _rows_of_weights(op)
    bits = min(quantizer_bits or stored, stored)
    other_bytes = sum(tensor.data.nbytes for tensor in op.inputs[2:] if tensor is not None and tensor.constant)
    return _check(rows, row, bits, stored, op.inputs[1].data.nbytes, other_bytes, op.options.get("groups", 1))


def _check(
    rows: int, row: int, bits: int, stored: int, weight_bytes: int, other_bytes: int, groups: int
) -> SizeCheck:
    """The check of so many rows of codes, for which their quantizer has `bits` and the file has `stored` ones."""
    weights = rows * row
    limit = most_bytes(weights * bits)
    check = SizeCheck(weights, bits, weight_bytes, other_bytes, limit, "met")
    if weight_bytes <= limit:
        return check
    layout = 4 * stored * rows * words_of(row)
    if stored > bits:
        return dataclasses.replace(
            check, verdict="missed", reason=f"its quantizer has {bits} bits, but its values have codes of {stored}"
        )
    if weight_bytes <= layout:
        padded = words_of(row) * WORD
        reason = f"rows of {row} channels fill words of 32: {padded} bits for {row}"
        return dataclasses.replace(check, verdict="padded", reason=reason)
    if groups > 1:
        reason = "the channels of a group do not begin at a word of 32, so its weights lie between zeros"
        return dataclasses.replace(check, verdict="padded", reason=reason)
    return dataclasses.replace(
        check, verdict="missed", reason=f"the layout needs {layout:,} bytes, the file has {weight_bytes:,}"
    )


def _rows_of_weights(op: Op) -> tuple[int, int]:
    """How many rows of codes the op's layout has, each of which fills whole words, and the weights in one."""
    o = op.options
    if op.name == "SteGather":
        return o["rows"], o["channels"]
    taps = o.get("kernel_h", 1) * o.get("kernel_w", 1)
    if op.name == "SteDepthwiseConv2D":
        return taps, o["channels"] * o["depth_multiplier"]
    if op.name == "SteTransposeConv2D":
        return o["filters"] * taps, o["channels"]
    packed = op.inputs[0].type == TensorType.INT32
    if op.name == "SteFullyConnected":
        pixels = o.get("pixels", 1)
        return (o["units"] * pixels, o["channels"]) if packed else (o["units"], pixels * o["channels"])
    channels = o["channels"] // o["groups"]
    return (o["filters"] * taps, channels) if packed else (o["filters"], math.prod((taps, channels)))
