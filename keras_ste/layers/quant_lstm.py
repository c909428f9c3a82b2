"""`QuantLSTM` and `QuantLSTMCell`: long short-term memory with quantized products."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import arguments_of
from keras_ste.layers.rnn import QuantizedCell, QuantizedRNN


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantLSTMCell(QuantizedCell, keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` with quantizers for what it multiplies.

        z = (integers(x) · integers(kernel)) · scales + (integers(h) · integers(recurrent_kernel)) · scales + bias

    The gates, the carry and the state that is passed on are computed from `z` as in Keras, in float.
    Dropout acts on the quantized numbers.

    Args:
        *args, **kwargs: as for `keras.layers.LSTMCell`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        state_quantizer: the same for the state, where it meets the recurrent kernel.
        kernel_quantizer: the same for the kernel, of shape `(features, 4 · units)`.
        recurrent_quantizer: the same for the recurrent kernel, of shape `(units, 4 · units)`.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> cell = QuantLSTMCell(4, kernel_quantizer="ste_sign", recurrent_quantizer="ste_sign")
    >>> keras.layers.RNN(cell)(keras.ops.ones((1, 5, 3))).shape
    TensorShape([1, 4])
    """

    @arguments_of(keras.layers.LSTMCell, QuantizedCell)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def call(self, inputs, states, training=False):
        state, carry = states
        kernel, recurrent = self._begin_step(inputs, training)
        masks, recurrent_masks = self._dropout_masks(inputs, state, training)
        z = self._product("input_quantizer", inputs, kernel, masks, training)
        z = z + self._product("state_quantizer", state, recurrent, recurrent_masks, training)
        if self.bias is not None:
            z = keras.ops.add(z, self.bias)
        gate_in, gate_forget, candidate, gate_out = keras.ops.split(z, 4, axis=1)
        carry = self.recurrent_activation(gate_forget) * carry
        carry = carry + self.recurrent_activation(gate_in) * self.activation(candidate)
        state = self.recurrent_activation(gate_out) * self.activation(carry)
        return state, [state, carry]


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantLSTM(QuantizedRNN, keras.layers.LSTM):
    """`keras.layers.LSTM` with quantizers for what its cell multiplies; see `QuantLSTMCell`.

    The weights are quantized once a sequence. Fused implementations (cuDNN), which know no quantizers, are
    never taken.

    Args:
        *args, **kwargs: as for `keras.layers.LSTM`.
        input_quantizer: `None`, or a quantizer for the inputs of every time step: its name, a config
            dict, a `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        state_quantizer: the same for the state, where it meets the recurrent kernel.
        kernel_quantizer: the same for the kernel, of shape `(features, 4 · units)`.
        recurrent_quantizer: the same for the recurrent kernel, of shape `(units, 4 · units)`.

    Raises:
        ValueError: an unknown quantizer, `use_cudnn=True`, or a dtype policy that is itself a
            quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantLSTM(4, kernel_quantizer="ste_sign", recurrent_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 3))).shape
    TensorShape([1, 4])
    """

    cell_class = QuantLSTMCell

    @arguments_of(keras.layers.LSTM, QuantizedRNN)
    def __init__(self, *args: Any, **kwargs: Any):
        self._make(keras.layers.LSTM, args, kwargs)
