"""LSQ: the step size is learned with the weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.common import shared_axes
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.learned import SMALLEST_STEP, AtLeast, StartsFromData, gradient_times


@register
class Lsq(IntegerCodes, StartsFromData):
    """Learned step size: integers of k bits times a step s, which is trained.

        q(x) = s · round(clip(x / s, -Qn, Qp))

        dL/dx = dL/dq · 1[-Qn < x/s < Qp]
        dL/ds = 1/√(N Qp) · Σ dL/dq · (round(x/s) - x/s   where -Qn < x/s < Qp
                                       -Qn                where x/s <= -Qn
                                       Qp                 where x/s >= Qp)

    `Qn = 2^(k-1)` and `Qp = 2^(k-1) - 1`, or `Qn = 0` and `Qp = 2^k - 1` for unsigned codes. N is
    the number of weights, or of the features of one example, that share a step: an axis 0 of
    unknown size is taken for the batch, and so is the axis 0 of a layer's inputs. The first values
    that are trained with set `s = 2 mean|x| / √Qp`.
    S. K. Esser et al., *Learned Step Size Quantization*, arXiv:1902.08153.

    Until then s is 1, unless it is given. It is kept above 2^-30. The quotient is computed as
    `x · (1/s)`; halves are rounded to the even integer. ±inf take the ends of the range; a NaN
    stays NaN, and has the code 0.

    Args:
        bits: the width k: 2 to 16, or 1 to 15 for unsigned codes.
        signed: whether there are negative codes; for activations behind a ReLU, False.
        scale_axis: the axis that has a step for each index (for a kernel -1, the output channels),
            or `None` for one step.
        step: where training starts; `None` for the first data.
        name: by default `"lsq"`.

    Raises:
        ValueError: an argument out of its range; a `scale_axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = Lsq(bits=3, step=0.5)
    >>> quantizer([-9.0, -0.3, 0.8, 9.0]).numpy().tolist()
    [-2.0, -0.5, 1.0, 1.5]
    >>> quantizer.trainable_variables[0].name
    'step'
    """

    def __init__(
        self,
        bits: int = 4,
        signed: bool = True,
        scale_axis: int | None = None,
        step: float | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, *((2, 16) if signed else (1, 15)))
        self.signed = bool(signed)
        self.low, self.high = integers.code_range(self.bits, self.signed)
        self.scale_axis = scale_axis
        self.first_step = None if step is None else integers.check_positive(self, "step", step)

    def build(self, shape: Any) -> None:
        self._batched = bool(shape) and shape[0] is None
        self.step = self.add_weight(
            shape=integers.scale_shape(self, shape, self.scale_axis),
            initializer=keras.initializers.Constant(self.first_step or 1.0),
            constraint=AtLeast(SMALLEST_STEP),
            name="step",
        )
        self._add_initialized(self.first_step is not None)
        self.built = True

    def _start_from(self, x):
        mean = tf.reduce_mean(tf.abs(x), shared_axes(self, x, self.scale_axis), keepdims=True)
        step = tf.cast(2 * mean / self.high**0.5, tf.float32)
        self.step.assign(tf.maximum(tf.reshape(step, self.step.shape), SMALLEST_STEP))

    def _scale(self, x, training):
        self._ensure_built(x)
        if training:
            self._start(x)
        return tf.convert_to_tensor(self.step)

    def _integers(self, x, scale, training):
        return integers.to_integers(
            x,
            gradient_times(scale, gradient_scale(x, scale, self.high, self._batched)),
            self.low,
            self.high,
            open_range=True,
            scale_gradient=_of_the_step,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "signed": self.signed,
            "scale_axis": self.scale_axis,
            "step": self.first_step,
            **super().get_config(),
        }


def gradient_scale(x: tf.Tensor, scale: tf.Tensor, high: int, batched: bool) -> tf.Tensor:
    """`1 / √(N high)`, where N values of an example share a scale."""
    # As floats: the number may be unknown before there is a batch, which may be an empty one.
    features = tf.cast(tf.size(x), tf.float32) / tf.cast(tf.size(scale), tf.float32)
    if batched:
        features /= tf.maximum(tf.cast(tf.shape(x)[0], tf.float32), 1.0)
    return tf.math.rsqrt(tf.maximum(features, 1.0) * high)


def _of_the_step(upstream, inside, clipped, rounded):
    # round(v) wherever it is, less v where it is inside.
    return upstream * rounded, -inside * clipped
