"""A bit width that is learned: step size and range are trained, and the width follows from them."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.learned import SMALLEST_STEP, StartsFromData, StaysPositive
from keras_ste.quantizers.spec import QuantSpec


@register
class LearnedBitWidth(IntegerCodes, StartsFromData):
    """Step size d and range m are trained, and with them the width that their quotient needs.

        q(x) = d · clip(round(x / d), -n, n)        n = round(m / d)

        dL/dx = dL/dq · 1[|x| <= m]
        dL/dd = Σ dL/dq · (round(x / d) - x / d   where |x| <= m,   0         elsewhere)
        dL/dm = Σ dL/dq · (0                      where |x| <= m,   sign(x)   elsewhere)

    S. Uhlich et al., *Mixed Precision DNNs: All you need is a good parametrization*,
    arXiv:1905.11452, whose m is not rounded to a multiple of d. The width is
    `log2(m / d + 1) + 1` bits (without the 1 for unsigned values), and `bit_width()` gives it as a
    differentiable number; `penalty` times its excess over `target_bits` is added to the losses of the
    model in training. `spec.bits` is the width that the present n needs.

    The first values that are trained with set `m = max |x|` and `d = m / n` for the n of `bits`. Until
    then d is 1. Halves are rounded to the even integer. ±inf take the ends of the range; a NaN stays
    NaN, and has the code 0.

    Args:
        bits: the width training starts with: 2 to 16, or 1 to 15 for unsigned codes.
        signed: whether there are negative codes.
        max_bits: the width at which n is held; codes have the type of this width.
        penalty: what one bit too many adds to the loss.
        target_bits: the width that costs nothing.
        name: by default `"learned_bit_width"`.

    Raises:
        ValueError: an argument out of its range.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = LearnedBitWidth(bits=4, max_bits=8)
    >>> quantizer.initialize([-1.0, 0.3, 7.0])
    >>> quantizer([-9.0, 0.3, 2.6]).numpy().tolist(), quantizer.spec.bits
    ([-7.0, 0.0, 3.0], 4)
    >>> _ = quantizer.step.assign(3.0)
    >>> quantizer([-9.0, 0.3, 2.6]).numpy().tolist(), quantizer.spec.bits
    ([-6.0, 0.0, 3.0], 3)
    """

    scale_axis = None

    def __init__(
        self,
        bits: int = 8,
        signed: bool = True,
        max_bits: int = 8,
        penalty: float = 0.0,
        target_bits: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.signed = bool(signed)
        limits = (2, 16) if signed else (1, 15)
        self.bits = integers.check_bits(self, bits, *limits)
        self.max_bits = integers.check_bits(self, max_bits, *limits)
        if self.bits > self.max_bits:
            raise ValueError(
                f"LearnedBitWidth starts with at most max_bits={max_bits!r} bits. Received: bits={bits!r}."
            )
        for argument, value in (("penalty", penalty), ("target_bits", target_bits)):
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"LearnedBitWidth's {argument} must not be negative. Received: {argument}={value!r}."
                )
        self.penalty = float(penalty)
        self.target_bits = float(target_bits)
        # The bounds of what n may become.
        self.low, self.high = integers.code_range(self.max_bits, self.signed, narrow_range=True)

    def build(self, shape: Any) -> None:
        first = integers.code_range(self.bits, self.signed)[1]
        for attribute, value in (("step", 1.0), ("range", float(first))):
            variable = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                constraint=StaysPositive(),
                name=attribute,
            )
            setattr(self, attribute, variable)
        self._add_initialized(given=False)
        self.built = True

    @property
    def spec(self) -> QuantSpec:
        bits = self.bits
        if self.built:
            with tf.init_scope():
                greatest = int(self._greatest(tf.convert_to_tensor(self.step)))
            bits = max(1, math.ceil(math.log2(greatest + 1))) + self.signed
        return QuantSpec(bits, "signed" if self.signed else "unsigned")

    def bit_width(self) -> tf.Tensor:
        """`log2(m / d + 1)`, plus 1 for a sign: differentiable with respect to both."""
        quotient = tf.convert_to_tensor(self.range) / tf.convert_to_tensor(self.step)
        return tf.math.log1p(quotient) / math.log(2.0) + float(self.signed)

    def _start_from(self, x):
        most = tf.reduce_max(tf.abs(x) if self.signed else x)
        most = tf.maximum(tf.cast(most, tf.float32), SMALLEST_STEP * 2**16)
        self.range.assign(most)
        self.step.assign(most / integers.code_range(self.bits, self.signed)[1])

    def _scale(self, x, training):
        self._ensure_built(x)
        if training:
            self._start(x)
            if self.penalty:
                self.add_loss(self.penalty * tf.nn.relu(self.bit_width() - self.target_bits))
        return tf.convert_to_tensor(self.step)

    def _greatest(self, step):
        """n, in float32."""
        quotient = tf.round(tf.convert_to_tensor(self.range) / step)
        return tf.minimum(tf.maximum(quotient, 1.0), float(self.high))

    def _integers(self, x, scale, training):
        most = tf.stop_gradient(tf.cast(self._greatest(scale), x.dtype))

        @custom_gradient
        def integers_of(x, scale, limit):
            inverse = tf.cast(integers.reciprocal(scale), x.dtype)
            v = x * inverse
            bound = tf.cast(limit, x.dtype) * inverse
            if self.signed:
                result = tf.maximum(tf.minimum(tf.round(v), most), -most)
                least = -bound
            else:
                # The least normal number is rounded to 0.0, where -0.0 might pass a maximum with 0.0.
                result = tf.minimum(tf.round(tf.maximum(v, 2.0**-126)), most)
                least = tf.zeros_like(bound)

            def gradient(upstream):
                upstream = upstream * inverse
                above, below = v > bound, v < least
                d_x = tf.where(above | below, tf.zeros_like(upstream), upstream)
                # d_x is 0 where v may be infinite.
                d_scale = tf.reduce_sum(d_x * result - tf.math.multiply_no_nan(v, d_x))
                d_limit = tf.cast(above, x.dtype) - tf.cast(below & (least < 0), x.dtype)
                d_limit = tf.reduce_sum(upstream * d_limit)
                return d_x, tf.cast(d_scale, scale.dtype), tf.cast(d_limit, limit.dtype)

            return result, gradient

        return integers_of(x, scale, tf.convert_to_tensor(self.range))

    def _codes(self, values):
        return integers.as_codes(values, integers.code_dtype(self.max_bits, self.signed))

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "signed": self.signed,
            "max_bits": self.max_bits,
            "penalty": self.penalty,
            "target_bits": self.target_bits,
            **super().get_config(),
        }
