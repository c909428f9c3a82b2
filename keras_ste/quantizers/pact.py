"""PACT: activations whose clipping level is learned."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.learned import LearnsAlpha


@register
class Pact(IntegerCodes, LearnsAlpha):
    """Parameterized clipping activation: clipped to [0, α], then k bits; α is trained.

        q(x) = s · round(clip(x, 0, α) / s)        s = α / (2^k - 1)

        dL/dx = dL/dq · 1[0 < x < α]
        dL/dα = Σ dL/dq · 1[x >= α]

    J. Choi et al., *PACT: Parameterized Clipping Activation for Quantized Neural Networks*,
    arXiv:1805.06085, where α starts high and has an L2 regularizer. The activation contains the
    ReLU. α stays positive, as the step of `Lsq` does.

    The quotient is computed as `x · (1/s)`; halves are rounded to the even integer. inf becomes α;
    a NaN stays NaN, and has the code 0.

    Args:
        bits: the width k: 1 to 15.
        initial_alpha: where α starts; positive.
        alpha_regularizer: a Keras regularizer for α, e.g. `keras.regularizers.L2(1e-4)`.
        scale_axis: the axis that has an α for each index, or `None` for one α.
        name: by default `"pact"`.

    Raises:
        ValueError: an argument out of its range; a `scale_axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> Pact(bits=2, initial_alpha=6.0)([-1.0, 0.9, 1.1, 5.5, 9.0]).numpy().tolist()
    [0.0, 0.0, 2.0, 6.0, 6.0]
    """

    signed = False

    def __init__(
        self,
        bits: int = 4,
        initial_alpha: float = 10.0,
        alpha_regularizer: Any = None,
        scale_axis: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 1, 15)
        self.low, self.high = integers.code_range(self.bits, signed=False)
        self.initial_alpha = integers.check_positive(self, "initial_alpha", initial_alpha)
        self.alpha_regularizer = keras.regularizers.get(alpha_regularizer)
        self.scale_axis = scale_axis

    def _scale(self, x, training):
        self._ensure_built(x)
        return integers.divided(tf.convert_to_tensor(self.alpha), self.high)

    def _integers(self, x, scale, training):
        return integers.to_integers(
            x, scale, 0, self.high, open_range=True, scale_gradient=_of_the_clipped
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "initial_alpha": self.initial_alpha,
            "alpha_regularizer": keras.regularizers.serialize(self.alpha_regularizer),
            "scale_axis": self.scale_axis,
            **super().get_config(),
        }


def _of_the_clipped(upstream, inside, clipped, rounded):
    # Outside, where the second factor is 0 below and 2^k - 1 above: α / s.
    return ((upstream - inside) * rounded,)
