"""What integers a quantizer gives, found from its values, and how an op of the device makes the same ones.

Whatever a quantizer says of itself, its values decide: what is found here holds for every float32, or it is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.codes import Codes, float_thresholds

MOST_BITS = 8
# Inputs of up to so many bits are packed; of more they are bytes, where they can be.
PACKED_BITS = 4


class NoCodes(Exception):
    """Says why values have no codes."""


@dataclasses.dataclass(frozen=True)
class QuantizedInput:
    """How SteQuantize makes the codes of an input.

    Attributes:
        codes: what the product reads.
        packed: whether they are packed; otherwise they are INT8.
        scale: what 1 stands for.
        multiplier: what the input is multiplied by before it is rounded, or `None`: then there are thresholds.
        thresholds: `[2^bits - 1, 1]`, or one for each channel.
        low, high: the least and the greatest integer, where there is a multiplier.
    """

    codes: Codes
    packed: bool
    scale: np.float32
    multiplier: np.float32 | None = None
    thresholds: np.ndarray | None = None
    low: int = 0
    high: int = 0


def code_book(values: np.ndarray, spec: Any) -> Codes:
    """The code book of a weight's integers, which have no zero point.

    Args:
        values: integers, as floats.
        spec: the quantizer's, whose code book is taken where it has them all.

    Raises:
        NoCodes: they are no integers, or have no codes of up to 8 bits.
    """
    if not np.array_equal(values, np.rint(values)):
        raise NoCodes("other values than integers")
    low, high = int(values.min()), int(values.max())
    if _said(spec, low, high) and (spec.encoding != "bipolar" or (values % 2 == 1).all()):
        return Codes(spec.bits, spec.encoding)
    return _narrowest(low, high)


def _narrowest(low, high):
    """The codes of fewest bits that hold all integers between two."""
    for bits in range(1, MOST_BITS + 1):
        for encoding in ("unsigned", "ternary", "signed") if bits == 2 else ("unsigned", "signed"):
            codes = Codes(bits, encoding)
            if codes.hold(low, high):
                return codes
    raise NoCodes(f"integers from {low} to {high}, which {MOST_BITS} bits do not hold")


def _said(spec, low, high):
    """Whether the code book that the spec names has these integers; a table of levels is none."""
    return spec.encoding != "lookup" and spec.bits <= MOST_BITS and Codes(spec.bits, spec.encoding).hold(low, high)


def _codes_between(low, high, spec):
    """The code book of an input's integers, with a zero point if need be."""
    if not (np.isfinite([low, high]).all() and low % 1 == high % 1 == 0):
        raise NoCodes("other values than integers")
    low, high = int(low), int(high)
    if _said(spec, low, high) and (spec.encoding != "bipolar" or low % 2 == high % 2 == 1):
        return Codes(spec.bits, spec.encoding)
    bits = max((high - low).bit_length(), 1)
    if bits > MOST_BITS or max(-low, high) >= 2**MOST_BITS:
        raise NoCodes(f"integers from {low} to {high}, which {MOST_BITS} bits do not hold")
    return Codes(bits, "unsigned", -low)


def quantized_input(
    quantizer: Any, rank: int, channels: int, axis: int = -1, outside: int | None = None
) -> QuantizedInput:
    """How the codes of a quantizer are made whose scale is no matter of its input.

    Args:
        quantizer: a `Quantizer`, built for inputs of so many axes.
        rank: their number.
        channels: the size of the one along which each number may be quantized in its own way.
        axis: that axis.
        outside: an integer that has to be among the codes, whatever the quantizer gives; or `None`.

    Raises:
        NoCodes: it gives no integers times one scale, or its codes are no steps of one number each.
    """

    def integers_and_scale(x):
        # Along the first axis different values.
        sizes = [len(x), *[1] * (rank - 1)]
        sizes[axis] = channels
        everywhere = np.broadcast_to(x, (len(x), channels)).reshape(sizes)
        integers, scale = quantizer.factors(tf.constant(everywhere))
        if integers.shape.num_elements() != len(x) * channels:
            raise NoCodes("one code for each place, not for each channel")
        return integers.numpy().reshape(len(x), channels), scale

    ends, scale = integers_and_scale(np.array([[-np.inf], [np.inf]], np.float32))
    if scale is not None and scale.shape.num_elements() != 1:
        raise NoCodes("several scales, not one")
    scale = np.float32(1 if scale is None else scale.numpy().reshape(()))
    if not np.isfinite(scale):
        raise NoCodes(f"a scale that is not finite: {scale}")
    low, high = ends.min(), ends.max()
    codes = _codes_between(low, high, quantizer.spec)
    worths = codes.worths[:, np.newaxis]

    def integers_of(x):
        return integers_and_scale(x.reshape(-1, x.shape[-1]))[0].reshape(*x.shape[:-1], channels)

    thresholds = _thresholds(integers_of, worths[1:], channels)
    if not _is_right(integers_of, thresholds, worths[:, 0]):
        why = "" if scale > 0 else f": its scale is {scale}"
        raise NoCodes(f"other values than integers that rise with each number by itself{why}")
    widened = outside is not None and outside not in worths[codes.encoding == "ternary" :]
    if widened:
        codes, thresholds = _with_another(outside, codes, thresholds)
    if not np.array_equal(_bits(thresholds), _bits(thresholds[:, :1].repeat(channels, 1))):
        return QuantizedInput(codes, True, scale, thresholds=thresholds)
    thresholds = thresholds[:, :1]
    found = None if widened else _rounded(codes, scale, thresholds[:, 0], int(low), int(high))
    return found or QuantizedInput(codes, True, scale, thresholds=thresholds)


def _with_another(integer, codes, thresholds):
    """Codes among which is another integer, that no number is quantized to, and their thresholds."""
    worths = codes.worths
    wide = _narrowest(min(int(worths[0]), integer), max(int(worths[-1]), integer))
    # Each of them begins where the first of the old ones does that is worth as much or more.
    first = np.searchsorted(worths, wide.worths[1:])
    always, never = (np.full((1, thresholds.shape[1]), end, np.float32) for end in (-np.inf, np.nan))
    return wide, np.concatenate([always, thresholds, never])[first]


def _thresholds(integers_of, worths, channels):
    """For each of the worths and each channel, the least float32 whose integer reaches it, as `float_thresholds` says."""
    # Most often all channels are alike. Then each of them can look for the threshold of another worth, and all are asked
    # only whether they reach it there, and not before.
    searched = np.resize(worths, (-(-len(worths) // channels), channels))
    found = float_thresholds(lambda x: integers_of(x) >= searched, searched.shape).reshape(-1, 1)[: len(worths)]
    never, always = np.isnan(found), found == -np.inf
    at = np.where(never, np.float32(np.inf), found)
    before = np.where(never, at, np.nextafter(found, np.float32(-np.inf)))
    reached, early = (integers_of(x) >= worths for x in (at, before))
    if (reached == ~never).all() and (early == always).all():
        return found.repeat(channels, 1)
    return float_thresholds(lambda x: integers_of(x) >= worths, (len(worths), channels))


def _bits(floats):
    """Equal where floats are, those that are NaN included."""
    return np.ascontiguousarray(floats).view(np.int32)


def _is_right(integers_of, thresholds, worths):
    """Whether numbers at the thresholds and elsewhere have the codes that these say."""
    rng = np.random.default_rng(0)
    borders = thresholds[np.isfinite(thresholds)]
    borders = borders if borders.size else np.ones(1, np.float32)
    shape = (64, thresholds.shape[1])
    sample = rng.choice(borders, shape) * rng.choice(np.float32([1, 1, 0.9, 1.1, -3]), shape)
    sample[::2] = rng.normal(size=shape)[::2]
    # TensorFlow takes subnormal numbers for zeros.
    sample = np.where(np.abs(sample) < np.finfo(np.float32).tiny, np.float32(0), sample)
    reached = sum((sample >= row).astype(np.int64) for row in thresholds)
    return np.array_equal(integers_of(sample), worths[reached])


def _rounded(codes, scale, thresholds, low, high):
    """The same by a factor and a rounding half to even, where that has the same thresholds; else `None`."""
    packed = codes.bits <= PACKED_BITS
    if not packed:
        # Unsigned bytes are moved into the range of signed ones.
        moved = 2**7 if codes.encoding == "unsigned" and codes.bits == MOST_BITS else 0
        target = Codes(8, "signed", codes.zero_point - moved)
    else:
        target = codes
    # The code of a NaN, 0, has to be among the codes.
    if codes.encoding == "bipolar" or not low <= -target.zero_point <= high:
        return None
    with np.errstate(over="ignore", divide="ignore"):
        inverse = np.float32(1) / scale
    for factor in (inverse, np.rint(inverse)):
        if 0 < factor < np.inf and np.array_equal(
            _bits(_thresholds_of_rounding(factor, codes.worths[1:], low, high)), _bits(thresholds)
        ):
            return QuantizedInput(target, packed, scale, factor, low=low, high=high)
    return None


def _thresholds_of_rounding(factor, worths, low, high):
    def is_set(x):
        with np.errstate(invalid="ignore", over="ignore"):
            return np.clip(np.rint(x * factor), low, high) >= worths

    return float_thresholds(is_set, worths.shape)
