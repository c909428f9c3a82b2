"""What a quantizer's codes look like, for whoever packs them."""

from __future__ import annotations

import dataclasses

ENCODINGS = ("bipolar", "unsigned", "signed", "ternary", "lookup")


@dataclasses.dataclass(frozen=True)
class QuantSpec:
    """The code book of a quantizer, in a few words.

    Attributes:
        bits: width of a code.
        encoding: what a code `c` of k bits stands for: `"bipolar"` the odd integer `2c - (2^k - 1)`
            (for one bit, -1 and +1), `"unsigned"` and `"signed"` (two's complement) itself,
            `"ternary"` one of -1, 0, +1, `"lookup"` the entry of a table that `decode` knows.
        scale_axis: the axis along which the scale changes; `None` where there is one scale or none.
        dynamic_scale: the scale is computed from the input itself, so that `encode` returns it.

    Raises:
        ValueError: a width below 1, or an encoding that is none of the five.

    >>> QuantSpec(bits=1, encoding="bipolar")
    QuantSpec(bits=1, encoding='bipolar', scale_axis=None, dynamic_scale=False)
    """

    bits: int
    encoding: str
    scale_axis: int | None = None
    dynamic_scale: bool = False

    def __post_init__(self):
        if self.bits < 1:
            raise ValueError(f"QuantSpec needs at least one bit. Received: bits={self.bits!r}.")
        if self.encoding not in ENCODINGS:
            raise ValueError(
                f"QuantSpec's encoding must be one of {', '.join(ENCODINGS)}. "
                f"Received: encoding={self.encoding!r}."
            )
