"""`RPReLU`: the activation of ReActNet."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import along_axis

_WEIGHTS = ("shift", "slope", "offset")


@keras.saving.register_keras_serializable(package="keras_ste")
class RPReLU(keras.layers.Layer):
    """A PReLU whose corner moves, with three learned numbers for each channel.

        y = x - γ + ζ        where x > γ
            β (x - γ) + ζ    elsewhere

    γ is `shift`, β `slope`, ζ `offset`: Z. Liu et al., *ReActNet: Towards Precise Binary Neural
    Network with Generalized Activation Functions*, arXiv:2003.03488.

    Args:
        axis: the axis of the channels: -1, or 1 for images with the channels first.
        shift_initializer, slope_initializer, offset_initializer: of the three; 0, 0.25 and 0.
        shift_regularizer, slope_regularizer, offset_regularizer: of the three.
        shift_constraint, slope_constraint, offset_constraint: of the three.
        **kwargs: as for `keras.layers.Layer`.

    Input and output shape: the same, any.

    >>> RPReLU()(keras.ops.array([[-4.0, 2.0]])).numpy().tolist()
    [[-1.0, 2.0]]
    """

    def __init__(
        self,
        axis: int = -1,
        shift_initializer: Any = "zeros",
        slope_initializer: Any = None,
        offset_initializer: Any = "zeros",
        shift_regularizer: Any = None,
        slope_regularizer: Any = None,
        offset_regularizer: Any = None,
        shift_constraint: Any = None,
        slope_constraint: Any = None,
        offset_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis = axis
        if slope_initializer is None:
            slope_initializer = keras.initializers.Constant(0.25)
        self.shift_initializer = keras.initializers.get(shift_initializer)
        self.slope_initializer = keras.initializers.get(slope_initializer)
        self.offset_initializer = keras.initializers.get(offset_initializer)
        self.shift_regularizer = keras.regularizers.get(shift_regularizer)
        self.slope_regularizer = keras.regularizers.get(slope_regularizer)
        self.offset_regularizer = keras.regularizers.get(offset_regularizer)
        self.shift_constraint = keras.constraints.get(shift_constraint)
        self.slope_constraint = keras.constraints.get(slope_constraint)
        self.offset_constraint = keras.constraints.get(offset_constraint)
        self.supports_masking = True

    def build(self, input_shape):
        for name in _WEIGHTS:
            weight = self.add_weight(
                name=name,
                shape=(input_shape[self.axis],),
                initializer=getattr(self, f"{name}_initializer"),
                regularizer=getattr(self, f"{name}_regularizer"),
                constraint=getattr(self, f"{name}_constraint"),
            )
            setattr(self, name, weight)

    def call(self, inputs):
        rank = len(inputs.shape)
        shift, slope, offset = (along_axis(getattr(self, n), self.axis, rank) for n in _WEIGHTS)
        x = keras.ops.subtract(inputs, shift)
        return keras.ops.where(x > 0, x, slope * x) + offset

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "axis": self.axis}
        for name in _WEIGHTS:
            for kind in ("initializer", "regularizer", "constraint"):
                serialize = getattr(keras, f"{kind}s").serialize
                config[f"{name}_{kind}"] = serialize(getattr(self, f"{name}_{kind}"))
        return config
