"""What learned scales share: a start from the first data, a positive value, a gradient's factor."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.quantizers.base import VariableQuantizer
from keras_ste.quantizers.common import float_tensor, widened
from keras_ste.quantizers.integers import scale_shape

SMALLEST_STEP = 2.0**-30


class StaysPositive(keras.constraints.Constraint):
    """Keeps a scale positive: what an update carries below 0 comes out above it as far.

    A scale that stopped at 0 would be stuck there: all that it scales is 0 then, normalizations behind it have nothing to
    normalize, and no gradient comes back. Adam moves a scale by its learning rate, however small the scale is.

    >>> StaysPositive()(tf.constant([-0.25, 0.0, 1.0])).numpy().tolist()
    [0.25, 9.313225746154785e-10, 1.0]
    """

    def __call__(self, w):
        return keras.ops.maximum(keras.ops.abs(w), SMALLEST_STEP)


class StartsFromData(VariableQuantizer):
    """A quantizer whose variables are set from the first values it is trained with.

    A subclass makes the variable `initialized` with `_add_initialized` in its `build`, implements
    `_start_from`, and calls `_start` before it reads a variable.
    """

    def initialize(self, x: Any) -> None:
        """Sets the variables from `x`, as the first step of training does: to calibrate by hand."""
        x = widened(float_tensor(x))
        self._ensure_built(x)
        self._start_from(x)
        self.initialized.assign(1.0)

    def _add_initialized(self, given: bool) -> None:
        self.initialized = self.add_weight(
            shape=(),
            initializer="ones" if given else "zeros",
            trainable=False,
            name="initialized",
        )

    def _start(self, x: tf.Tensor) -> None:
        def start():
            self._start_from(tf.stop_gradient(x))
            self.initialized.assign(1.0)
            return tf.constant(True)

        tf.cond(tf.equal(self.initialized, 0.0), start, lambda: tf.constant(False))

    def _start_from(self, x: tf.Tensor) -> None:
        """Assigns the variables their values for the float32 or float64 `x`."""
        raise NotImplementedError


class LearnsAlpha(VariableQuantizer):
    """A quantizer whose clipping level α is trained.

    A subclass has the attributes `initial_alpha`, `alpha_regularizer` and `scale_axis`.
    """

    def build(self, shape: Any) -> None:
        self.alpha = self.add_weight(
            shape=scale_shape(self, shape, self.scale_axis),
            initializer=keras.initializers.Constant(self.initial_alpha),
            regularizer=self.alpha_regularizer,
            constraint=StaysPositive(),
            name="alpha",
        )
        self.built = True
