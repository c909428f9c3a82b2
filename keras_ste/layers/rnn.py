"""What the quantized recurrent layers share: the products of a cell, and weights quantized once a sequence."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_ste import quantizers
from keras_ste.layers import export
from keras_ste.layers.common import QuantizedLayer, quantized_weight


class QuantizedCell(QuantizedLayer):
    """Mixed in before a Keras cell: quantizes what enters its two products."""

    quantized_tensors = ("input_quantizer", "state_quantizer")
    quantized_weights = {"kernel_quantizer": "kernel", "recurrent_quantizer": "recurrent_kernel"}

    quantized_kernel = quantized_weight("kernel_quantizer")
    quantized_recurrent_kernel = quantized_weight("recurrent_quantizer")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # In a namespace, because Keras would track what is set on the layer itself.
        self._sequence = types.SimpleNamespace(weights=None)

    def build(self, input_shape):
        super(QuantizedLayer, self).build(input_shape)
        state_shape = (input_shape[0], self.units)
        self._build_quantizers({"input_quantizer": input_shape, "state_quantizer": state_shape})

    @contextlib.contextmanager
    def quantized_once(self, training: bool = False) -> Iterator[None]:
        """Within it the weights are those of its beginning, not quantized anew for every time step."""
        self._sequence.weights = self._factors_of_weights(training)
        try:
            yield
        finally:
            self._sequence.weights = None

    def _factors_of_weights(self, training):
        return tuple(
            self._weight_factors(argument, self._weight(argument), training)
            for argument in self.quantized_weights
        )

    def _begin_step(self, inputs, training):
        """Kernel and recurrent kernel, each as `(integers, scale or None)`, or its custom op."""
        factors = self._sequence.weights or self._factors_of_weights(training)
        emitted = export.emit_cell(self, inputs) or (None, None)
        return tuple(op or weight for op, weight in zip(emitted, factors, strict=True))

    def _product(self, argument, x, weight, masks, training):
        """The product of quantized numbers, with the scales behind it.

        Args:
            argument: the quantizer's, for `x`.
            x: inputs or state, `(batch, features)`.
            weight: `(integers, scale or None)`, or the custom op of the product.
            masks: dropout: `None`, a mask, or one for each gate.
            training: passed on to the quantizer.
        """
        if isinstance(weight, export.CellProduct):
            return weight(x)
        x, x_scale = self._input_factors(x, training, argument)
        if x_scale is not None and x_scale.shape.rank and x_scale.shape[-1] != 1:
            x, x_scale = x * x_scale, None
        integers, scale = weight
        # Dropped are quantized numbers: a zero that is quantized afterwards may be no zero.
        if masks is None:
            outputs = keras.ops.matmul(x, integers)
        elif isinstance(masks, (list, tuple)):
            parts = zip(masks, keras.ops.split(integers, len(masks), axis=1), strict=True)
            outputs = keras.ops.concatenate([keras.ops.matmul(x * m, part) for m, part in parts], axis=1)
        else:
            outputs = keras.ops.matmul(x * masks, integers)
        scales = [factor for factor in (scale, x_scale) if factor is not None]
        if len(scales) == 2 and outputs.dtype.size >= 4 and any(each.shape.num_elements() == 1 for each in scales):
            # As in the layers of one product, and in the op of the device.
            scales = [scales[0] * scales[1]]
        for factor in scales:
            outputs = outputs * factor
        return outputs

    def _dropout_masks(self, inputs, state, training):
        """Those of the inputs and of the state; `None` where nothing is dropped."""
        masks = self.get_dropout_mask(inputs) if training and 0 < self.dropout < 1 else None
        drops = training and 0 < self.recurrent_dropout < 1
        return masks, self.get_recurrent_dropout_mask(state) if drops else None


class QuantizedRNN:
    """Mixed in before a Keras recurrent layer: makes it of a quantized cell.

    Attributes:
        cell_class: the cell's.
        quantizer_arguments: as of the cell.
        quantized_tensors: as of the cell.
        quantized_weights: as of the cell.
    """

    cell_class: type
    quantizer_arguments = (*QuantizedCell.quantized_tensors, *QuantizedCell.quantized_weights)
    quantized_tensors = QuantizedCell.quantized_tensors
    quantized_weights = QuantizedCell.quantized_weights

    # Keras's own quantization is refused, as by the other layers.
    quantize = QuantizedLayer.quantize

    def _make(self, base, args, kwargs):
        """In place of the base's `__init__`, which would make a cell that does not quantize."""
        given = {argument: kwargs.pop(argument, None) for argument in self.quantizer_arguments}
        bound = inspect.signature(base).bind(*args, **kwargs)
        bound.apply_defaults()
        extra = bound.arguments.pop("kwargs", {})
        of_cell = inspect.signature(base(1).cell.__init__).parameters
        cell_arguments = {name: value for name, value in bound.arguments.items() if name in of_cell}
        for name in ("dtype", "trainable", "implementation"):
            if name in extra:
                cell_arguments[name] = extra[name]
        extra.pop("implementation", None)
        use_cudnn = bound.arguments.pop("use_cudnn", "auto")
        if use_cudnn is True:
            raise ValueError(
                f"{type(self).__name__} cannot use cuDNN, which knows no quantizers. Received: use_cudnn=True."
            )
        rest = {name: value for name, value in bound.arguments.items() if name not in of_cell}
        cell = self.cell_class(**cell_arguments, **given, name=f"{base.__name__.lower()}_cell")
        keras.layers.RNN.__init__(self, cell, **rest, **extra)
        self.input_spec = keras.InputSpec(ndim=3)
        self.use_cudnn = use_cudnn

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Keras's loop over the time steps, and never a fused one, which would not quantize."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        with self.cell.quantized_once(training):
            return keras.layers.RNN.inner_loop(self, sequences, initial_state, mask, training=training)

    def get_config(self) -> dict[str, Any]:
        own = {a: quantizers.serialize(getattr(self.cell, a)) for a in self.quantizer_arguments}
        return {**super().get_config(), **own}

    @property
    def input_quantizer(self) -> Any:
        return self.cell.input_quantizer

    @property
    def state_quantizer(self) -> Any:
        return self.cell.state_quantizer

    @property
    def kernel_quantizer(self) -> Any:
        return self.cell.kernel_quantizer

    @property
    def recurrent_quantizer(self) -> Any:
        return self.cell.recurrent_quantizer

    @property
    def kernel(self) -> keras.Variable:
        return self.cell.kernel

    @property
    def recurrent_kernel(self) -> keras.Variable:
        return self.cell.recurrent_kernel

    @property
    def quantized_kernel(self) -> tf.Tensor:
        """The kernel the cell computes with, scale included: its shape, the variable dtype."""
        return self.cell.quantized_kernel

    @property
    def quantized_recurrent_kernel(self) -> tf.Tensor:
        """The same of the recurrent kernel."""
        return self.cell.quantized_recurrent_kernel
