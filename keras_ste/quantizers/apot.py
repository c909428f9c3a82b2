"""Additive powers of two: levels that a device multiplies by with shifts and additions."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.learned import LearnsAlpha
from keras_ste.quantizers.spec import QuantSpec


def additive_powers(bits: int) -> np.ndarray:
    """The 2^bits sums of powers of two that the paper takes for magnitudes, as integers from 0 up.

    There is a term for every two bits, which is 0 or one of three powers, and one that is 0 or a
    single power for a bit that is left over. The powers are dealt to the terms in turn.

    >>> additive_powers(2).tolist(), additive_powers(3).tolist()
    ([0, 1, 2, 4], [0, 1, 2, 3, 4, 6, 8, 10])
    """
    pairs, single = divmod(bits, 2)
    powers = iter(2 ** np.arange(3 * pairs + single)[::-1])
    terms = [[0] for _ in range(pairs + single)]
    for turn in range(3):
        if turn == 2 and single:
            terms[-1].append(next(powers))
        for term in terms[:pairs]:
            term.append(next(powers))
    return np.array(sorted(sum(choice) for choice in itertools.product(*terms)))


@register
class Apot(IntegerCodes, LearnsAlpha):
    """Additive powers of two between -α and α (unsigned: 0 and α); α is trained.

        q(x) = α · Π(x / α)        Π: to the nearest level of ±{0, ..., 1}, beyond ±1 to ±1

        dL/dx = dL/dq · 1[|x| <= α]
        dL/dα = Σ dL/dq · (Π(x / α) - x / α   where |x| <= α,   sign(x)   elsewhere)

    A level is a sum of few powers of two, `Σ p_i`, divided by the greatest such sum. For each two bits
    of the magnitude (one of the k is the sign) there is a term of 0 or one of three powers, and for a
    bit that is left over a term of 0 or one power. Y. Li, X. Dong, W. Wang, *Additive Powers-of-Two
    Quantization*, arXiv:1909.13144; with 3 signed bits the levels are powers of two alone.

    `factors` gives the sums as integers, and the scale that goes with them. The codes are the indices
    of the levels in ascending order. Of two equally near levels it is the upper one. ±inf take the
    ends of the range; a NaN stays NaN, and has the code 0. α stays positive, as the step of `Lsq` does.

    Args:
        bits: the width k: 2 to 8, or 1 to 8 for unsigned codes.
        signed: whether one of the bits is a sign; if not, negative values become 0.
        initial_alpha: where α starts; positive. The paper's 3 suits standardized weights.
        scale_axis: the axis that has an α for each index (for a kernel -1, the output channels), or
            `None` for one α.
        standardize: first subtracts the mean of `x` and divides by its standard deviation, as the
            paper does with weights; no gradient goes through mean and deviation.
        alpha_regularizer: a Keras regularizer for α.
        name: by default `"apot"`.

    Raises:
        ValueError: an argument out of its range; a `scale_axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> Apot(bits=3, initial_alpha=1.0)([-2.0, -0.4, 0.1, 0.2, 0.7, 0.8]).numpy().tolist()
    [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]
    """

    def __init__(
        self,
        bits: int = 4,
        signed: bool = True,
        initial_alpha: float = 3.0,
        scale_axis: int | None = None,
        standardize: bool = False,
        alpha_regularizer: Any = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 2 if signed else 1, 8)
        self.signed = bool(signed)
        self.initial_alpha = integers.check_positive(self, "initial_alpha", initial_alpha)
        self.scale_axis = scale_axis
        self.standardize = bool(standardize)
        self.alpha_regularizer = keras.regularizers.get(alpha_regularizer)
        levels = additive_powers(self.bits - self.signed)
        self._levels = np.concatenate([-levels[:0:-1], levels]) if signed else levels
        self.low, self.high = int(self._levels[0]), int(self._levels[-1])

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(self.bits, "lookup", scale_axis=self.scale_axis)

    def _scale(self, x, training):
        self._ensure_built(x)
        return tf.convert_to_tensor(self.alpha) * (1 / self.high)

    def _integers(self, x, scale, training):
        if self.standardize:
            x = _standardized(x)

        @custom_gradient
        def integers_of(x, scale):
            inverse = tf.cast(integers.reciprocal(scale), x.dtype)
            v = x * inverse
            clipped = integers.saturated(v, self.low, self.high)
            levels = self._nearest(clipped)

            def gradient(upstream):
                # It comes from behind the product with the scale: dL/dq · scale.
                inside = upstream * tf.cast(tf.equal(v, clipped), x.dtype)
                summands = upstream * levels - inside * clipped
                d_scale = integers.sum_like(summands, scale) * tf.reshape(inverse, tf.shape(scale))
                return inside * inverse, tf.cast(d_scale, scale.dtype)

            return levels, gradient

        return integers_of(x, scale)

    def _nearest(self, v):
        between = (self._levels[1:] + self._levels[:-1]) / 2
        index = tf.raw_ops.Bucketize(input=v, boundaries=between.tolist())
        # A NaN is in any bucket.
        return tf.where(tf.math.is_nan(v), v, tf.gather(tf.constant(self._levels, v.dtype), index))

    def _codes(self, values):
        boundaries = (self._levels[1:] - 0.5).tolist()
        codes = tf.raw_ops.Bucketize(input=values, boundaries=boundaries)
        codes = tf.where(tf.math.is_nan(values), 0, codes)
        return tf.cast(codes, integers.code_dtype(self.bits, signed=False))

    def _values(self, codes, dtype):
        return tf.gather(tf.constant(self._levels, dtype), tf.cast(codes, tf.int32))

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "signed": self.signed,
            "initial_alpha": self.initial_alpha,
            "scale_axis": self.scale_axis,
            "standardize": self.standardize,
            "alpha_regularizer": keras.regularizers.serialize(self.alpha_regularizer),
            **super().get_config(),
        }


def _standardized(x):
    mean = tf.reduce_mean(tf.stop_gradient(x))
    deviation = tf.math.reduce_std(tf.stop_gradient(x))
    return (x - mean) / (deviation + 1e-5)
