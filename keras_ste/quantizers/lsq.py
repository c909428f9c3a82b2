"""LSQ and LSQ+: the step size, and an offset, are learned with the weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.common import float_tensor, gradient_times, shared_axes, widened
from keras_ste.quantizers.integers import RoundedCodes
from keras_ste.quantizers.learned import SMALLEST_STEP, StartsFromData, StaysPositive
from keras_ste.quantizers.scales import greatest
from keras_ste.quantizers.spec import QuantSpec


@register
class Lsq(RoundedCodes, StartsFromData):
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

    Until then s is 1, unless it is given. It stays positive: what an optimizer's update carries
    below 0 comes out above it as far (its `constraint`; 2^-30 is the least). The quotient is
    computed as `x · (1/s)`; halves are rounded to the even integer. ±inf take the ends of the range;
    a NaN stays NaN, and has the code 0.

    Args:
        bits: the width k: 2 to 16, or 1 to 15 for unsigned codes.
        signed: whether there are negative codes; for activations behind a ReLU, False.
        scale_axis: the axis that has a step for each index (for a kernel -1, the output channels),
            or `None` for one step.
        initial_step: where training starts; `None` for the first data.
        narrow_range, rounding, surrogate, seed: as in `UniformQuantizer`; with a surrogate `d(x/s)` is
            a factor of dL/dx and of the x/s in dL/ds.
        name: by default `"lsq"`.

    Raises:
        ValueError: an argument out of its range; a `scale_axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = Lsq(bits=3, initial_step=0.5)
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
        initial_step: float | None = None,
        narrow_range: bool = False,
        rounding: str = "nearest",
        surrogate: Any = "identity",
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._set_codes(bits, signed, narrow_range, rounding, surrogate, seed)
        self.scale_axis = scale_axis
        self.initial_step = _positive(self, initial_step)

    def build(self, shape: Any) -> None:
        self._batched = bool(shape) and shape[0] is None
        self.step = self.add_weight(
            shape=integers.scale_shape(self, shape, self.scale_axis),
            initializer=keras.initializers.Constant(self.initial_step or 1.0),
            constraint=StaysPositive(),
            name="step",
        )
        self._add_initialized(self.initial_step is not None)
        self.built = True

    def _start_from(self, x):
        mean = tf.reduce_mean(tf.abs(x), shared_axes(self, x, self.scale_axis), keepdims=True)
        step = tf.cast(mean * (2 / self.high**0.5), tf.float32)
        self.step.assign(tf.maximum(tf.reshape(step, self.step.shape), SMALLEST_STEP))

    def _scale(self, x, training):
        self._ensure_built(x)
        if training:
            self._start(x)
        return tf.convert_to_tensor(self.step)

    def _integers(self, x, scale, training):
        factor = gradient_scale(x, scale, self.high, self._batched)
        return self._rounded(
            x, scale, training, open_range=True, scale_gradient=_of_the_step, scale_gradient_factor=factor
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "scale_axis": self.scale_axis,
            "initial_step": self.initial_step,
            **super().get_config(),
        }


@register
class LsqPlus(StartsFromData):
    """LSQ with an offset: steps s from β upwards, both of which are trained.

        q(x) = s · round(clip((x - β) / s, 0, n)) + β        n = 2^k - 1, v = (x - β) / s

        dL/dx = dL/dq · 1[0 < v < n]
        dL/ds = 1/√(N n) · Σ dL/dq · (round(v) - v where 0 < v < n, 0 where v <= 0, n where v >= n)
        dL/dβ = 1/√(N n) · Σ dL/dq · 1[v <= 0 or v >= n]

    with N as in `Lsq`. For activations with negative values, as of Swish. Y. Bhalgat et al., *LSQ+:
    Improving low-bit quantization through learnable offsets and better initialization*,
    arXiv:2004.09576, where s and β start at the least squared error; here the first values that are
    trained with set them so that the range is from their least to their greatest.

    Until then s is 1 and β is 0, unless they are given. The quotient is computed as
    `(x - β) · (1/s)`; halves are rounded to the even integer. ±inf take the ends of the range; a NaN
    stays NaN, and has the code 0. The values are computed in float32 at least.

    Args:
        bits: the width k: 1 to 15.
        scale_axis: the axis that has an s and a β for each index, or `None` for one of each.
        initial_step, initial_offset: where training starts; without a step, the first data sets both.
        name: by default `"lsq_plus"`.

    Raises:
        ValueError: an argument out of its range; a `scale_axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = LsqPlus(bits=2, initial_step=0.5, initial_offset=-0.25)
    >>> quantizer([-9.0, -0.1, 0.1, 9.0]).numpy().tolist()
    [-0.25, -0.25, 0.25, 1.25]
    >>> quantizer.encode([-9.0, -0.1, 0.1, 9.0]).numpy().tolist()
    [0, 0, 1, 3]
    """

    def __init__(
        self,
        bits: int = 4,
        scale_axis: int | None = None,
        initial_step: float | None = None,
        initial_offset: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 1, 15)
        self.high = 2**self.bits - 1
        self.scale_axis = scale_axis
        self.initial_step = _positive(self, initial_step)
        self.initial_offset = float(initial_offset)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(self.bits, "lookup", scale_axis=self.scale_axis)

    def build(self, shape: Any) -> None:
        self._batched = bool(shape) and shape[0] is None
        size = integers.scale_shape(self, shape, self.scale_axis)
        self.step = self.add_weight(
            shape=size,
            initializer=keras.initializers.Constant(self.initial_step or 1.0),
            constraint=StaysPositive(),
            name="step",
        )
        self.offset = self.add_weight(
            shape=size, initializer=keras.initializers.Constant(self.initial_offset), name="offset"
        )
        self._add_initialized(self.initial_step is not None)
        self.built = True

    def _start_from(self, x):
        axes = shared_axes(self, x, self.scale_axis)
        least = tf.cast(-greatest(-x, axes, signed=False), tf.float32)
        most = tf.cast(greatest(x, axes, signed=False), tf.float32)
        step = integers.divided(most - least, self.high)
        self.step.assign(tf.maximum(tf.reshape(step, self.step.shape), SMALLEST_STEP))
        self.offset.assign(tf.reshape(least, self.offset.shape))

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, None]:
        x = float_tensor(x)
        return tf.cast(self._levels(widened(x), training)[0], x.dtype), None

    def encode(self, x: Any) -> tf.Tensor:
        codes = self._levels(widened(float_tensor(x)), False)[1]
        return integers.as_codes(codes, integers.code_dtype(self.bits, signed=False))

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        dtype = tf.as_dtype(dtype)
        wide = dtype if dtype.size > 4 else tf.float32
        step, offset = tf.cast(self.step, wide), tf.cast(self.offset, wide)
        return tf.cast(tf.cast(codes, wide) * step + offset, dtype)

    def _levels(self, x, training):
        """The values, differentiable, and the integers behind them."""
        self._ensure_built(x)
        if training:
            self._start(x)
        step, offset = tf.convert_to_tensor(self.step), tf.convert_to_tensor(self.offset)
        factor = gradient_scale(x, step, self.high, self._batched)

        @custom_gradient
        def levels(x, step, offset):
            wide = tf.cast(offset, x.dtype)
            quotient = (x - wide) * tf.cast(integers.reciprocal(step), x.dtype)
            clipped = integers.saturated(quotient, 0, self.high, open_range=True)
            rounded = tf.round(clipped)

            def gradient(upstream, _):
                inside = upstream * tf.cast(tf.equal(quotient, clipped), x.dtype)
                d_step = integers.sum_like(upstream * rounded - inside * clipped, step)
                d_offset = integers.sum_like(upstream - inside, offset)
                return inside, tf.cast(d_step, step.dtype), tf.cast(d_offset, step.dtype)

            return (rounded * tf.cast(step, x.dtype) + wide, rounded), gradient

        return levels(x, gradient_times(step, factor), gradient_times(offset, factor))

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "scale_axis": self.scale_axis,
            "initial_step": self.initial_step,
            "initial_offset": self.initial_offset,
            **super().get_config(),
        }


def gradient_scale(x: tf.Tensor, scale: tf.Tensor, high: int, batched: bool) -> float | tf.Tensor:
    """`1 / √(N high)`, where N values of an example share a scale."""
    shape = x.shape[1:] if batched else x.shape
    if shape.is_fully_defined():
        # A number, as it is nearly always: models of many layers have fewer ops to be traced.
        return (max(shape.num_elements() / scale.shape.num_elements(), 1.0) * high) ** -0.5
    # As floats: the number may be unknown before there is a batch, which may be an empty one.
    features = tf.cast(tf.size(x), tf.float32) / tf.cast(tf.size(scale), tf.float32)
    if batched:
        features /= tf.maximum(tf.cast(tf.shape(x)[0], tf.float32), 1.0)
    return tf.math.rsqrt(tf.maximum(features, 1.0) * high)


def _positive(quantizer, step):
    return None if step is None else integers.check_positive(quantizer, "initial_step", step)


def _of_the_step(upstream, inside, clipped, rounded):
    # round(v) wherever it is, less v where it is inside.
    return upstream * rounded, -inside * clipped
