"""`QuantGRU` and `QuantGRUCell`: gated recurrent units with quantized products."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import export
from keras_ste.layers.common import arguments_of
from keras_ste.layers.rnn import QuantizedCell, QuantizedRNN


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantGRUCell(QuantizedCell, keras.layers.GRUCell):
    """`keras.layers.GRUCell` with quantizers for what it multiplies.

    The products of inputs and kernel and of state and recurrent kernel are of quantized numbers, with the
    scales behind them; the gates and the state that is passed on are computed as in Keras, in float. With
    `reset_after=False` the product of reset gate and state is what is quantized for the candidate.
    Dropout acts on the quantized numbers.

    Args:
        *args, **kwargs: as for `keras.layers.GRUCell`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        state_quantizer: the same for the state, where it meets the recurrent kernel.
        kernel_quantizer: the same for the kernel, of shape `(features, 3 · units)`.
        recurrent_quantizer: the same for the recurrent kernel, of shape `(units, 3 · units)`.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> cell = QuantGRUCell(4, kernel_quantizer="ste_sign", recurrent_quantizer="ste_sign")
    >>> keras.layers.RNN(cell)(keras.ops.ones((1, 5, 3))).shape
    TensorShape([1, 4])
    """

    @arguments_of(keras.layers.GRUCell, QuantizedCell)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def call(self, inputs, states, training=False):
        state = states[0] if isinstance(states, (list, tuple)) else states
        kernel, recurrent = self._begin_step(inputs, training)
        masks, recurrent_masks = self._dropout_masks(inputs, state, training)
        bias = recurrent_bias = None
        if self.bias is not None:
            bias = keras.ops.convert_to_tensor(self.bias)
            bias, recurrent_bias = (bias[0], bias[1]) if self.reset_after else (bias, None)

        x = self._product("input_quantizer", inputs, kernel, masks, training)
        x_update, x_reset, x_candidate = keras.ops.split(_plus(x, bias), 3, axis=-1)
        if self.reset_after:
            h = self._product("state_quantizer", state, recurrent, recurrent_masks, training)
            h_update, h_reset, h_candidate = keras.ops.split(_plus(h, recurrent_bias), 3, axis=-1)
        else:
            of_gates, of_candidate = self._split(recurrent, recurrent_masks)
            h = self._product("state_quantizer", state, *of_gates, training)
            h_update, h_reset = keras.ops.split(h, 2, axis=-1)
        update = self.recurrent_activation(x_update + h_update)
        reset = self.recurrent_activation(x_reset + h_reset)
        if self.reset_after:
            h_candidate = reset * h_candidate
        else:
            h_candidate = self._product("state_quantizer", reset * state, *of_candidate, training)
        candidate = self.activation(x_candidate + h_candidate)
        result = update * state + (1 - update) * candidate
        return result, [result] if isinstance(states, (list, tuple)) else result

    def _split(self, recurrent, masks):
        """Weights and masks of the two gates, and those of the candidate."""
        size = 2 * self.units
        if isinstance(recurrent, export.CellProduct):
            return tuple((part, None) for part in recurrent.split(size))
        integers, scale = recurrent
        # One number is the scale of both parts.
        scales = (scale, scale) if scale is None or scale.shape[0] == 1 else (scale[:size], scale[size:])
        parts = [(integers[:, :size], scales[0]), (integers[:, size:], scales[1])]
        return (parts[0], masks and masks[:2]), (parts[1], masks and masks[2:])


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantGRU(QuantizedRNN, keras.layers.GRU):
    """`keras.layers.GRU` with quantizers for what its cell multiplies; see `QuantGRUCell`.

    The weights are quantized once a sequence. Fused implementations (cuDNN), which know no quantizers, are
    never taken.

    Args:
        *args, **kwargs: as for `keras.layers.GRU`.
        input_quantizer: `None`, or a quantizer for the inputs of every time step: its name, a config
            dict, a `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        state_quantizer: the same for the state, where it meets the recurrent kernel.
        kernel_quantizer: the same for the kernel, of shape `(features, 3 · units)`.
        recurrent_quantizer: the same for the recurrent kernel, of shape `(units, 3 · units)`.

    Raises:
        ValueError: an unknown quantizer, `use_cudnn=True`, or a dtype policy that is itself a
            quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantGRU(4, kernel_quantizer="ste_sign", recurrent_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 3))).shape
    TensorShape([1, 4])
    """

    cell_class = QuantGRUCell

    @arguments_of(keras.layers.GRU, QuantizedRNN)
    def __init__(self, *args: Any, **kwargs: Any):
        self._make(keras.layers.GRU, args, kwargs)


def _plus(x, bias):
    return x if bias is None else keras.ops.add(x, keras.ops.cast(bias, x.dtype))
