"""`LearnableBias`: a learned shift of each channel."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import along_axis


@keras.saving.register_keras_serializable(package="keras_ste")
class LearnableBias(keras.layers.Layer):
    """Adds a learned number to each channel: `y = x + bias`.

    Before a sign it moves the threshold (RSign of Z. Liu et al., *ReActNet*, arXiv:2003.03488, with
    bias = -α); behind a convolution without a bias it is one.

    Args:
        axis: the axis of the channels: -1, or 1 for images with the channels first.
        bias_initializer, bias_regularizer, bias_constraint: of the numbers.
        **kwargs: as for `keras.layers.Layer`.

    Input and output shape: the same, any.

    >>> LearnableBias(bias_initializer="ones")(keras.ops.zeros((1, 2))).numpy().tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int = -1,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis = axis
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.supports_masking = True

    def build(self, input_shape):
        self.bias = self.add_weight(
            name="bias",
            shape=(input_shape[self.axis],),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def call(self, inputs):
        # Not keras.ops.add, which would take it for one along the last axis, where that has the same size.
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        return inputs + along_axis(self.bias, self.axis, len(inputs.shape))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
