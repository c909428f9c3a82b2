"""DoReFa-Net's quantizers of weights and of activations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.integers import BipolarCodes, IntegerCodes
from keras_ste.quantizers.scales import greatest


@register
class DorefaWeight(BipolarCodes, Quantizer):
    """DoReFa-Net's k-bit weights: the tanh, stretched to [-1, 1], in 2^k - 1 equal steps.

        q(w) = 2/n · round(n · (tanh(w) / (2 m) + 1/2)) - 1      n = 2^k - 1, m = max|tanh(w)|
        dL/dw = dL/dq · (1 - tanh²(w)) / m

    with m, which all weights of the tensor share, a constant to the gradient. S. Zhou et al.,
    *DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low Bitwidth Gradients*,
    arXiv:1606.06160. For 1 bit the paper takes mean|w| · sign(w): that is
    `XnorSign("identity", scale_axis=None)`.

    The values are odd multiples of 1/n; there is no zero. Halves are rounded to the even integer.
    A NaN stays NaN, and has the code 0; all other weights may become NaN with it.

    Args:
        bits: the width k: 2 to 15.
        name: by default `"dorefa_weight"`.

    Raises:
        ValueError: another number of bits.
        TypeError: when called, an input that is not floating point.

    >>> DorefaWeight(bits=2).encode([-1.0, -0.2, 0.1, 1.0]).numpy().tolist()
    [0, 1, 2, 3]
    """

    scale_axis = None

    def __init__(self, bits: int = 4, name: str | None = None):
        super().__init__(name=name)
        self._set_bits(bits)

    def _scale(self, x, training):
        return tf.constant(1 / self.high, tf.float32)

    def _integers(self, x, scale, training):
        @custom_gradient
        def integers_of(x):
            squashed = tf.tanh(x)
            most = greatest(squashed, list(range(x.shape.rank)), signed=True)
            inverse = tf.cast(integers.reciprocal(tf.cast(most, tf.float32)), x.dtype)

            def gradient(upstream):
                # The upstream gradient is that of n · q. One op for `upstream · (1 - tanh²)`: kernels are large.
                through = tf.raw_ops.TanhGrad(y=squashed, dy=upstream)
                return through * (inverse * self.high)

            return integers.to_odd_integers(squashed, inverse * (self.high / 2), self.high), gradient

        return integers_of(x)

    def get_config(self) -> dict[str, Any]:
        return {"bits": self.bits, **super().get_config()}


@register
class DorefaActivation(IntegerCodes, Quantizer):
    """DoReFa-Net's k-bit activations: clipped to [0, 1], in 2^k - 1 equal steps.

        q(x) = round(n · clip(x, 0, 1)) / n        n = 2^k - 1
        dL/dx = dL/dq · 1[0 < x <= 1]

    S. Zhou et al., *DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low
    Bitwidth Gradients*, arXiv:1606.06160. Halves are rounded to the even integer. ±inf take the
    ends of the range; a NaN stays NaN, and has the code 0.

    Args:
        bits: the width k: 1 to 15.
        name: by default `"dorefa_activation"`.

    Raises:
        ValueError: another number of bits.
        TypeError: when called, an input that is not floating point.

    >>> DorefaActivation(bits=2).encode([-1.0, 0.1, 0.2, 0.6, 7.0]).numpy().tolist()
    [0, 0, 1, 2, 3]
    """

    signed = False
    scale_axis = None

    def __init__(self, bits: int = 4, name: str | None = None):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 1, 15)
        self.low, self.high = integers.code_range(self.bits, signed=False)

    def _scale(self, x, training):
        return tf.constant(1 / self.high, tf.float32)

    def _integers(self, x, scale, training):
        inverse = tf.constant(float(self.high))
        return integers.to_integers(x, scale, self.low, self.high, inverse=inverse)

    def get_config(self) -> dict[str, Any]:
        return {"bits": self.bits, **super().get_config()}
