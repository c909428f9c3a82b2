"""SAWB: the clipping level of weights from two of their moments."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import shared_axes
from keras_ste.quantizers.integers import BipolarCodes

# For each number of bits, what sqrt(E w²) and E|w| are multiplied by.
COEFFICIENTS = {
    2: (3.12, 2.064),
    3: (7.509, 6.892),
    4: (12.68, 12.80),
    5: (17.74, 18.64),
}


@register
class Sawb(BipolarCodes, Quantizer):
    """Statistics-aware weight binning: clipped to [-α, α], in 2^k - 1 equal steps.

        α = c1 √E(w²) - c2 E|w|
        q(w) = α (2/n · round(n · (clip(w/α, -1, 1) + 1) / 2) - 1)        n = 2^k - 1
        dL/dw = dL/dq

    where c1 and c2 were fitted to the α of least squared error for six distributions. J. Choi et
    al., *Bridging the Accuracy Gap for 2-bit Quantized Neural Networks (QNN)*, arXiv:1807.06964,
    for 2 bits; the coefficients are those of IBM's fms-model-optimizer. The values are the odd
    multiples of α/n; there is no zero.

    α is at least E|w|, which the formula falls short of for weights of nearly one magnitude, and is
    a constant to the gradient. Halves are rounded to the even integer. A NaN or an infinity makes
    NaN of all that shares its α; a NaN has the code 0.

    Args:
        bits: the width k: 2 to 5.
        scale_axis: the axis that has an α for each index (for a kernel -1, the output channels), or
            `None`, as published, for one α.
        name: by default `"sawb"`.

    Raises:
        ValueError: another number of bits; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> codes, scale = Sawb(bits=2).encode([-2.0, -1.0, 0.5, 0.1, 1.0])
    >>> codes.numpy().tolist()
    [0, 1, 2, 2, 2]
    """

    dynamic_scale = True

    def __init__(self, bits: int = 2, scale_axis: int | None = None, name: str | None = None):
        super().__init__(name=name)
        integers.check_choice(self, "bits", bits, tuple(COEFFICIENTS))
        self._set_bits(bits)
        self.scale_axis = scale_axis

    def _scale(self, x, training):
        axes = shared_axes(self, x, self.scale_axis)
        x = tf.stop_gradient(x)
        root = tf.sqrt(tf.reduce_mean(tf.square(x), axes, keepdims=True))
        mean = tf.reduce_mean(tf.abs(x), axes, keepdims=True)
        c1, c2 = COEFFICIENTS[self.bits]
        return integers.divided(integers.bounded(tf.maximum(c1 * root - c2 * mean, mean)), self.high)

    def _integers(self, x, scale, training):
        inverse = tf.cast(integers.reciprocal(scale), x.dtype)

        @custom_gradient
        def integers_of(x):
            values = integers.to_odd_integers(x, inverse * 0.5, self.high)
            return values, lambda upstream: upstream * inverse

        return integers_of(x)

    def get_config(self) -> dict[str, Any]:
        return {"bits": self.bits, "scale_axis": self.scale_axis, **super().get_config()}
