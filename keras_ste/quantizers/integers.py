"""What the quantizers with integer codes share: ranges, rounding with its gradients, codes."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.estimators import forwards, surrogates
from keras_ste.estimators.gradients import custom_gradient
from keras_ste.estimators.straight_through import backward
from keras_ste.quantizers.common import float_tensor, widened
from keras_ste.quantizers.spec import QuantSpec

# How a quantizer may round, by the name of it.
ROUNDINGS = {
    "nearest": forwards.round_half_even,
    "floor": forwards.floor,
    "ceil": forwards.ceil,
    "to_zero": forwards.round_to_zero,
    "stochastic": forwards.stochastic_round,
    "dithered": forwards.dithered_round,
}
# Those that draw, in training only.
RANDOM = ("stochastic", "dithered")

# Scales that are computed from data stay away from the subnormal numbers, which TensorFlow takes
# for zeros, and so do their reciprocals.
SMALLEST = 2.0**-100
LARGEST = 2.0**126


def check_bits(quantizer: Any, bits: Any, smallest: int, largest: int = 16) -> int:
    """`bits` as an integer within the bounds; by default, float16 holds the largest code."""
    if not isinstance(bits, (int, np.integer)) or not smallest <= bits <= largest:
        raise ValueError(
            f"{type(quantizer).__name__} takes {smallest} to {largest} bits. "
            f"Received: bits={bits!r}."
        )
    return int(bits)


def check_choice(quantizer: Any, argument: str, value: Any, choices: tuple) -> Any:
    """`value`, which has to be one of the choices."""
    if value not in choices:
        raise ValueError(
            f"{type(quantizer).__name__}'s {argument} must be one of "
            f"{', '.join(map(repr, choices))}. Received: {argument}={value!r}."
        )
    return value


def check_positive(quantizer: Any, argument: str, value: Any) -> float:
    """`value` as a float, which has to be positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(
            f"{type(quantizer).__name__}'s {argument} must be positive and finite. "
            f"Received: {argument}={value!r}."
        )
    return float(value)


def code_range(bits: int, signed: bool, narrow_range: bool = False) -> tuple[int, int]:
    """The lowest and the highest code.

    >>> code_range(4, signed=True), code_range(4, signed=True, narrow_range=True)
    ((-8, 7), (-7, 7))
    >>> code_range(4, signed=False)
    (0, 15)
    """
    if not signed:
        return 0, 2**bits - 1
    high = 2 ** (bits - 1) - 1
    return -high - (not narrow_range), high


def code_dtype(bits: int, signed: bool) -> tf.DType:
    """The type that holds codes of so many bits, as `Quantizer.encode` promises it."""
    if bits > 8:
        return tf.int32
    return tf.int8 if signed or bits < 8 else tf.uint8


def as_codes(integers: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Exact integers as codes; NaN, for which there is none, becomes 0."""
    # By way of int32: the conversion to narrower types is another one on every processor.
    codes = tf.where(tf.math.is_nan(integers), tf.zeros_like(integers), integers)
    return tf.cast(tf.cast(codes, tf.int32), dtype)


def scale_shape(quantizer: Any, shape: Any, scale_axis: int | None) -> tuple[int, ...]:
    """The shape of a learned scale for inputs of `shape`: it broadcasts against them."""
    if scale_axis is None:
        return ()
    rank = len(shape)
    if not -rank <= scale_axis < rank or shape[scale_axis] is None:
        raise ValueError(
            f"{type(quantizer).__name__} has scale_axis={scale_axis}, and needs inputs of a known "
            f"size there. They have the shape {tuple(shape)}."
        )
    result = [1] * rank
    result[scale_axis] = shape[scale_axis]
    return tuple(result)


def bounded(scale: tf.Tensor) -> tf.Tensor:
    """A scale that has a reciprocal, float32."""
    smallest, largest = tf.cast(SMALLEST, scale.dtype), tf.cast(LARGEST, scale.dtype)
    return tf.cast(tf.minimum(tf.maximum(scale, smallest), largest), tf.float32)


def divided(x: tf.Tensor, divisor: int) -> tf.Tensor:
    """`x · (1/divisor)`: as `reciprocal` says, the same everywhere."""
    return x * tf.cast(np.float32(1 / divisor), x.dtype)


def sum_like(x: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The sum of `x` over the axes along which `other` broadcasts, in other's shape."""
    if other.shape.rank == 0:
        return tf.reduce_sum(x)
    axes = [axis for axis, size in enumerate(other.shape) if size == 1]
    return tf.reduce_sum(x, axes, keepdims=True)


def saturated(x: tf.Tensor, low: float, high: float, open_range: bool = False) -> tf.Tensor:
    """`x` within [low, high], NaN left as it is. It equals `x` inside of the range only.

    With `open_range`, it also differs from `x` at the bounds themselves, but not once rounded. A
    lower bound of 0 is always open: no -0.0 passes.
    """
    dtype = x.dtype.as_numpy_dtype
    low, high = dtype(low), dtype(high)
    if open_range:
        low, high = np.nextafter(low, high), np.nextafter(high, low)
    if 0 <= low < np.finfo(dtype).tiny:
        low = np.finfo(dtype).tiny
    # The op ClipByValue, faster by half, is one that TFLite does not have.
    return tf.minimum(tf.maximum(x, low), high)


def without_negative_zero(x: tf.Tensor) -> tf.Tensor:
    """`x`, where -0.0 is 0.0, the value that the code 0 stands for."""

    # An optimizer of graphs takes the addition of a zero away.
    @custom_gradient
    def positive(x):
        return tf.where(tf.equal(x, 0), tf.zeros_like(x), x), lambda upstream: upstream

    return positive(x)


def reciprocal(scale: tf.Tensor) -> tf.Tensor:
    """`1 / scale`, to multiply by, for a scale that is not 0.

    Every processor and compiler multiplies alike; a division by a constant they replace by such a
    product or not, as they like. In graphs TensorFlow would replace `1.0 / scale` by its op
    Reciprocal, which is off by a bit where it works on vectors; this division it leaves alone.
    """
    return tf.math.divide_no_nan(tf.ones([], scale.dtype), scale)


def rounded(x: tf.Tensor, low: int, high: int, rounding: str = "nearest", seed: Any = None) -> tf.Tensor:
    """The saturated `x` as integers from `low` to `high`.

    Args:
        x: what `saturated(..., low, high)` returned.
        low, high: the bounds, integers.
        rounding: one of `ROUNDINGS`; of two nearest integers, `"nearest"` is the even one.
        seed: for the random ones, as for `forwards.stochastic_round`.

    >>> rounded(tf.constant([-1.5, 0.2]), -2, 1, "ceil").numpy().tolist()
    [-1.0, 1.0]
    """
    if low == 0 and rounding in ("ceil", *RANDOM):
        # What stands for 0 there, the least positive number, would be rounded up to 1.
        x = x - np.finfo(x.dtype.as_numpy_dtype).tiny
    if rounding not in RANDOM:
        return ROUNDINGS[rounding](x)
    integers = ROUNDINGS[rounding](x, seed)
    # Noise may lead out of the range.
    return tf.minimum(tf.maximum(integers, float(low)), float(high))


def to_integers(
    x: tf.Tensor,
    scale: tf.Tensor,
    low: int,
    high: int,
    *,
    inverse: tf.Tensor | None = None,
    open_range: bool = False,
    clip_gradient: bool = True,
    rounding: str = "nearest",
    seed: Any = None,
    surrogate: Any = surrogates.Identity(),
    scale_gradient: Any = None,
    scale_gradient_factor: Any = 1.0,
) -> tf.Tensor:
    """`round(clip(x / scale, low, high))`, with the gradient that goes with `scale` behind it.

    Some zeros are -0.0.

    The upstream gradient is taken for `scale · dL/dq`, as the one of a factor of q is, and

        dL/dx = dL/dq · d(x / scale) · 1[low <= x / scale <= high]

    Args:
        x: float32 or float64 tensor.
        scale: float32, positive, of a shape that broadcasts against `x`.
        low, high: the bounds, integers.
        inverse: `1 / scale`, where it is known better.
        open_range: the bounds themselves do not count as inside.
        clip_gradient: without it, the gradient does not stop at the bounds.
        rounding, seed: as for `rounded`.
        surrogate: the derivative `d`. An `UpstreamSurrogate` gets x / scale and the integers.
        scale_gradient: a function of the upstream gradient, of the same inside the range (0
            outside), of the saturated x / scale and of the integers. It returns, by element, the
            summands of dL/dscale · scale. Without it, the scale is a constant.
        scale_gradient_factor: what dL/dscale is multiplied by, a number or a scalar.
    """
    inverse = tf.cast(reciprocal(scale) if inverse is None else inverse, x.dtype)

    @custom_gradient
    def integers_of(x, inverse, scale):
        quotient = x * inverse
        # Next to a bound, only the nearest integer is the bound itself.
        nearest = rounding == "nearest"
        clipped = saturated(quotient, low, high, open_range and nearest)
        integers = rounded(clipped, low, high, rounding, seed)

        def gradient(upstream):
            inside = upstream
            if clip_gradient:
                within = tf.equal(quotient, clipped)
                if open_range and not nearest:
                    within &= (clipped > low) & (clipped < high)
                inside = inside * tf.cast(within, x.dtype)
            if not isinstance(surrogate, surrogates.Identity):
                inside = backward(surrogate, inside, clipped, integers)
            d_scale = None
            if scale_gradient is not None:
                summands = scale_gradient(upstream, inside, clipped, integers)
                d_scale = sum(sum_like(summand, scale) for summand in summands)
                d_scale = tf.cast(d_scale * tf.reshape(inverse, scale.shape), scale.dtype) * scale_gradient_factor
            return inside * inverse, None, d_scale

        return integers, gradient

    return integers_of(x, tf.stop_gradient(inverse), scale)


class IntegerCodes:
    """Mixed in before `Quantizer`: integers from `low` to `high`, times a positive scale.

    A subclass has the attributes `bits`, `signed`, `low`, `high` and `scale_axis`, and implements
    `_scale` and `_integers`.
    """

    dynamic_scale = False

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(
            bits=self.bits,
            encoding="signed" if self.signed else "unsigned",
            scale_axis=self.scale_axis,
            dynamic_scale=self.dynamic_scale,
        )

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        values, scale = self._integers_and_scale(x, training)
        # All gradients, that of the scale too, go through the integers: behind a product in half
        # precision, too little of the scale's would be left.
        scale = tf.stop_gradient(scale)
        if not self._exact_in(x.dtype):
            return tf.cast(values * tf.cast(scale, values.dtype), x.dtype), None
        return tf.cast(values, x.dtype), tf.cast(scale, x.dtype)

    def __call__(self, x: Any, training: bool = False) -> tf.Tensor:
        values, scale = self.factors(x, training=training)
        values = values if scale is None else values * scale
        if self.low == 0:
            return values
        return without_negative_zero(values)

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        values, scale = self._integers_and_scale(float_tensor(x), False)
        codes = self._codes(values)
        return (codes, scale) if self.dynamic_scale else codes

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = codes if self.dynamic_scale else (codes, None)
        codes, dtype = tf.convert_to_tensor(codes), tf.as_dtype(dtype)
        scale = self._scale(codes, False) if scale is None else tf.convert_to_tensor(scale)
        scale = self._held_by(dtype, scale)
        wide = dtype if self._exact_in(dtype) else tf.float32
        return tf.cast(self._values(codes, wide) * tf.cast(scale, wide), dtype)

    def _integers_and_scale(self, x, training):
        wide = widened(x)
        scale = self._held_by(x.dtype, self._scale(wide, training))
        return self._integers(wide, scale, training), scale

    def _scale(self, x, training):
        """The scale, float32, for `x`; where it does not depend on `x`, only x's shape is used."""
        raise NotImplementedError

    def _integers(self, x, scale, training):
        """The integers of the float32 or float64 `x`, in its dtype, differentiable."""
        raise NotImplementedError

    def _codes(self, values):
        return as_codes(values, code_dtype(self.bits, self.signed))

    def _values(self, codes, dtype):
        return tf.cast(codes, dtype)

    def _exact_in(self, dtype):
        """Whether floats of this type hold all the integers."""
        return max(self.high, -self.low) <= {tf.bfloat16: 2**8, tf.float16: 2**11}.get(dtype, 2**24)

    def _held_by(self, dtype, scale):
        """The float32 `scale` rounded to the float type, whose values are multiples of it.

        The integers are found with this one: so they are the nearest, and found again.
        """
        if dtype.size >= 4:
            return scale

        @custom_gradient
        def held(scale):
            if dtype == tf.float16:
                # No value is beyond 65504, and no scale is 0.
                most = np.nextafter(np.float16(65504 / max(self.high, -self.low)), np.float16(0))
                scale = tf.minimum(tf.maximum(scale, 2.0**-24), np.float32(most))
            # The gradient of a learned scale is not rounded with it.
            return tf.cast(tf.cast(scale, dtype), tf.float32), lambda upstream: upstream

        return held(scale)


class RoundedCodes(IntegerCodes):
    """The same where range, rounding and surrogate are arguments; a subclass calls `_set_codes`."""

    def _set_codes(self, bits, signed, narrow_range, rounding, surrogate, seed):
        self.bits = check_bits(self, bits, *((2, 16) if signed else (1, 15)))
        self.signed = bool(signed)
        self.narrow_range = bool(narrow_range)
        self.low, self.high = code_range(self.bits, self.signed, self.narrow_range)
        self.rounding = check_choice(self, "rounding", rounding, tuple(ROUNDINGS))
        self.surrogate = surrogates.get(surrogate)
        self.seed = seed
        # Without a seed, Keras's global generator is drawn from.
        drawn = seed is not None and rounding in RANDOM
        self._generator = keras.random.SeedGenerator(seed) if drawn else None

    def set_bits(self, bits: int) -> None:
        """Gives the codes another width; a learned step goes with it, so that the range stays.

        What has been traced keeps the old width: trace it anew.

        Raises:
            ValueError: a width that is out of the quantizer's range.
        """
        before = self.high
        self.bits = check_bits(self, bits, *((2, 16) if self.signed else (1, 15)))
        self.low, self.high = code_range(self.bits, self.signed, self.narrow_range)
        step = getattr(self, "step", None)
        if step is not None:
            step.assign(step * (before / self.high))

    def _rounded(self, x, scale, training, **arguments):
        """`to_integers`; nothing is drawn outside of training."""
        rounding = self.rounding if training or self.rounding not in RANDOM else "nearest"
        arguments.update(rounding=rounding, seed=self._generator, surrogate=self.surrogate)
        return to_integers(x, scale, self.low, self.high, **arguments)

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "signed": self.signed,
            "narrow_range": self.narrow_range,
            "rounding": self.rounding,
            "surrogate": surrogates.serialize(self.surrogate),
            "seed": self.seed,
            **super().get_config(),
        }


class BipolarCodes(IntegerCodes):
    """The same with the odd integers from -n to n, where n = 2^bits - 1: levels without a zero."""

    signed = False

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(
            bits=self.bits,
            encoding="bipolar",
            scale_axis=self.scale_axis,
            dynamic_scale=self.dynamic_scale,
        )

    def _set_bits(self, bits):
        self.bits = check_bits(self, bits, 2, 15)
        self.high = 2**self.bits - 1
        self.low = -self.high

    def _codes(self, values):
        return super()._codes((values + self.high) * 0.5)

    def _values(self, codes, dtype):
        return tf.cast(2 * tf.cast(codes, tf.int32) - self.high, dtype)


def to_odd_integers(x: tf.Tensor, factor: tf.Tensor, high: int) -> tf.Tensor:
    """`2 round(clip(x · factor + high / 2, 0, high)) - high`, for an odd `high`; no gradient.

    There is one factor, as a graph multiplies several in an order of its own.
    """
    return 2 * tf.round(saturated(x * factor + high / 2, 0, high)) - high
