"""A surrogate that depends on the size of all the values it is given."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import Surrogate, register


@register
class MagnitudeAware(Surrogate):
    """Bi-Real Net's magnitude-aware gradient, for the sign of weights.

        d(x) = α where |x| <= width, else 0,  α = mean |x| over all axes but scale_axis

    The gradient of `α · sign(x)` with the clipped identity, and with α as a constant. Z. Liu et
    al.: *Bi-Real Net*, arXiv:1808.00278. Area and peak, `2 width α` and α, depend on the values.

    Args:
        width: the bound, included; positive.
        scale_axis: the axis that has an α for each index (for a kernel -1, the output channels), or
            `None` for one α.

    Raises:
        ValueError: `width` is not positive; and, when called, a `scale_axis` the input lacks.

    >>> MagnitudeAware()([[1.0, 0.5], [-2.0, 0.5]]).numpy().tolist()
    [[1.5, 0.5], [0.0, 0.5]]
    """

    def __init__(self, width: Any = 1.0, scale_axis: int | None = -1):
        self.width = parameters.check("MagnitudeAware", "width", width, above=0)
        self.scale_axis = scale_axis

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        # 16-bit floats do not hold the sum of many |x|.
        wide = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
        size = tf.abs(wide)
        axes = list(range(x.shape.rank))
        # A scalar has no axes: its α is its own size.
        if self.scale_axis is not None and axes:
            if not -len(axes) <= self.scale_axis < len(axes):
                raise ValueError(
                    f"MagnitudeAware has scale_axis={self.scale_axis}, but its input has the shape "
                    f"{x.shape}."
                )
            del axes[self.scale_axis]
        scale = tf.reduce_mean(tf.stop_gradient(size), axis=axes, keepdims=True)
        inside = tf.cast(size <= parameters.in_dtype(self.width, wide.dtype), wide.dtype)
        return tf.cast(scale * inside, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"width": parameters.serialize(self.width), "scale_axis": self.scale_axis}
