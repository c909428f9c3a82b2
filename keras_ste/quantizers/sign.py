"""One-bit quantizers: the sign, and the sign with a scale."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import forwards, straight_through, surrogates
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import float_tensor, shared_axes, widened, with_gradient
from keras_ste.quantizers.spec import QuantSpec


@register
class SteSign(Quantizer):
    """The sign, +1 or -1, with a surrogate gradient.

        q(x) = α · sign(x)        sign(0) = sign(-0.0) = +1

    Without a scale, α = 1 and `dL/dx = dL/dq · d(x)`: M. Courbariaux et al., *Binarized Neural
    Networks*, arXiv:1602.02830, where d is the clipped identity.

    With `scale="mean_abs"`, `α = Σ|x| / n` over all axes but `scale_axis`, where n is the number of
    values that share an α, and

        dL/dx = dL/dq · (1/n + α · d(x))

    M. Rastegari et al., *XNOR-Net*, arXiv:1603.05279, on binary-weight networks. Where α is 0, so
    is the gradient.

    A NaN stays a NaN, so that it shows; only its code, which has one bit, is that of -1.
    TensorFlow computes with subnormal numbers (below 1.2e-38) as zeros, so their sign is +1.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale: `None` or `"mean_abs"`.
        scale_axis: the axis that keeps a scale of its own for each index (for a kernel -1, the
            output channels), or `None` for one scale; meaningless without a scale.
        name: by default `"ste_sign"`.

    Raises:
        ValueError: an unknown scale or surrogate; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> SteSign()([-0.3, 0.0, 2.0]).numpy().tolist()
    [-1.0, 1.0, 1.0]
    >>> SteSign().encode([-0.3, 0.0, 2.0]).numpy().tolist()
    [0, 1, 1]
    """

    def __init__(
        self,
        surrogate: Any = "clipped_identity",
        scale: str | None = None,
        scale_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if scale not in (None, "mean_abs"):
            raise ValueError(
                f"{type(self).__name__}'s scale must be None or 'mean_abs'. "
                f"Received: scale={scale!r}."
            )
        self.surrogate = surrogates.get(surrogate)
        self.scale = scale
        self.scale_axis = scale_axis

    @property
    def spec(self) -> QuantSpec:
        if self.scale is None:
            return QuantSpec(bits=1, encoding="bipolar")
        return QuantSpec(bits=1, encoding="bipolar", scale_axis=self.scale_axis, dynamic_scale=True)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        if self.scale is None:
            return straight_through(forwards.sign, self.surrogate)(x), None
        wide = widened(x)
        scale = self._mean_abs(wide)
        shared = tf.cast(tf.size(wide) // tf.maximum(tf.size(scale), 1), tf.float32)
        # The layer multiplies by α behind the integers, which contributes the factor α to their
        # gradient: what is left to do here is d(x) + 1/(n α).
        through_scale = tf.cast(tf.math.divide_no_nan(1.0, shared * scale), wide.dtype)

        integers = straight_through(forwards.sign, self.surrogate)(wide)
        integers = with_gradient(integers, wide, lambda _: through_scale)
        return tf.cast(integers, x.dtype), tf.cast(scale, x.dtype)

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        x = float_tensor(x)
        codes = tf.cast(x >= 0, tf.int8)
        return codes if self.scale is None else (codes, self._mean_abs(widened(x)))

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = (codes, None) if self.scale is None else codes
        values = 2 * tf.cast(codes, dtype) - 1
        return values if scale is None else values * tf.cast(scale, dtype)

    def sign_argument(self, x: Any) -> Any:
        return x if self.scale is None else None

    def _mean_abs(self, x):
        """α, float32, with the axes of `x` kept."""
        axes = shared_axes(self, x, self.scale_axis)
        mean = tf.reduce_mean(tf.abs(tf.stop_gradient(x)), axis=axes, keepdims=True)
        return tf.cast(mean, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {
            "surrogate": surrogates.serialize(self.surrogate),
            "scale": self.scale,
            "scale_axis": self.scale_axis,
            **super().get_config(),
        }


@register
class XnorSign(SteSign):
    """XNOR-Net's binary weights: the sign, scaled by the mean of the absolute weights.

    `SteSign(scale="mean_abs")` under a name of its own. For a kernel, `scale_axis=-1` gives an α
    for each output channel: M. Rastegari et al., *XNOR-Net*, arXiv:1603.05279.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: the axis that keeps a scale of its own for each index, or `None` for one scale.
        name: by default `"xnor_sign"`.

    >>> XnorSign()([[1.0, -3.0], [0.5, 1.0]]).numpy().tolist()
    [[0.75, -2.0], [0.75, 2.0]]
    """

    def __init__(
        self,
        surrogate: Any = "clipped_identity",
        scale_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(surrogate, scale="mean_abs", scale_axis=scale_axis, name=name)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["scale"]
        return config
