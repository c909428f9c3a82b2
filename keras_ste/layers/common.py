"""What the quantized layers share: their quantizer arguments, and how integers and scales part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ste import quantizers
from keras_ste.layers import observe


def arguments_of(base: type, mixin: type | None = None) -> Callable:
    """Decorator of an `__init__(self, *args, ..., **kwargs)`: its signature is the base's, and what is added.

    The arguments of the Keras layer come first, in their order and with their defaults, whatever the
    version of Keras has. By keyword follow those of the decorated function, and the mixin's: a quantizer
    for each of its tensors and weights, and those of its own.
    """

    def decorate(function):
        inherited, own = (inspect.signature(each).parameters.values() for each in (base, function))
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += [p for p in inherited if p.kind != p.VAR_KEYWORD]
        parameters += [p for p in own if p.kind == p.KEYWORD_ONLY]
        if hasattr(mixin, "quantized_tensors"):
            names = (*mixin.quantized_tensors, *mixin.quantized_weights)
            options = {"kind": inspect.Parameter.KEYWORD_ONLY, "default": None, "annotation": Any}
            parameters += [inspect.Parameter(name, **options) for name in names]
        if mixin is not None:
            parameters += [p for p in inspect.signature(mixin).parameters.values() if p.kind == p.KEYWORD_ONLY]
        parameters += [p for p in own if p.kind == p.VAR_KEYWORD]
        function.__signature__ = inspect.Signature(parameters)
        return function

    return decorate


def along_axis(vector: Any, axis: int, rank: int) -> tf.Tensor:
    """A vector as it broadcasts along one axis of a tensor with `rank` axes."""
    shape = [1] * rank
    shape[axis] = -1
    return keras.ops.reshape(vector, shape)


def quantized_weight(argument: str) -> property:
    """The property that gives a weight as its quantizer, the layer's `argument`, makes it."""

    def get(self) -> tf.Tensor:
        """The weight the layer computes with, scale included: its shape, the variable dtype."""
        return self._quantized(argument, self._weight(argument))

    return property(get, doc=get.__doc__)


class QuantizedLayer:
    """Mixed in before a Keras layer: adds the quantizer arguments, by keyword, `None` where not given.

    Attributes:
        quantized_tensors: the arguments that quantize what is computed: inputs, states.
        quantized_weights: the arguments that quantize weights, and the attribute each is for: a variable,
            or what the layer makes of one.
        output_axes: the axes of the kernel that count the output channels.
    """

    quantized_tensors: tuple[str, ...] = ("input_quantizer",)
    quantized_weights: dict[str, str] = {"kernel_quantizer": "kernel"}
    output_axes: tuple[int, ...] = (-1,)

    def __init__(self, *args: Any, **kwargs: Any):
        given = {argument: kwargs.pop(argument, None) for argument in self.quantizer_arguments}
        super().__init__(*args, **kwargs)
        if self.quantization_mode is not None:
            raise ValueError(
                f"{type(self).__name__} quantizes by its own quantizers and takes a float dtype "
                f"policy. Received: dtype={self.dtype_policy.name!r}."
            )
        for argument, identifier in given.items():
            quantizer = quantizers.get(identifier)
            if isinstance(quantizer, quantizers.VariableQuantizer):
                quantizer = quantizer.for_layer()
            setattr(self, argument, quantizer)

    @property
    def quantizer_arguments(self) -> tuple[str, ...]:
        return (*self.quantized_tensors, *self.quantized_weights)

    def build(self, input_shape):
        super().build(input_shape)
        self._build_quantizers({"input_quantizer": input_shape})

    def _build_quantizers(self, shapes):
        """Builds the quantizers: those of tensors for the shapes given, those of weights for theirs."""
        for argument in self.quantized_weights:
            shapes[argument] = self._weight(argument).shape
        for argument in self.quantizer_arguments:
            quantizer = getattr(self, argument)
            if isinstance(quantizer, quantizers.Quantizer) and not getattr(quantizer, "built", False):
                shape = tuple(shapes[argument])
                if argument in self.quantized_tensors:
                    # The batch: a quantizer must not come to depend on the size of the first one.
                    shape = (None, *shape[1:])
                with keras.name_scope(argument):
                    quantizer.build(shape)

    def add_weight(self, *args, name=None, **kwargs):
        # In mixed precision Keras would cast the kernel before the quantizer sees it, and a small
        # negative weight that float16 rounds to -0.0 would become +1.
        for argument, weight in self.quantized_weights.items():
            if weight == name:
                variable = super().add_weight(*args, name=name, **{**kwargs, "autocast": False})
                # By this an optimizer can tell binary variables from others.
                variable.quantizer = getattr(self, argument)
                return variable
        return super().add_weight(*args, name=name, **kwargs)

    def quantize(self, mode=None, type_check=True, config=None):
        """Keras's post-training quantization, which would replace this layer's own: refused.

        Raises:
            NotImplementedError: always; `Model.quantize` passes over a layer that raises it.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' ({type(self).__name__}) is quantized by its own quantizers; "
            f"Keras's quantize({mode!r}) does not apply to it."
        )

    def get_config(self) -> dict[str, Any]:
        own = {a: quantizers.serialize(getattr(self, a)) for a in self.quantizer_arguments}
        return {**super().get_config(), **own}

    def _weight(self, argument):
        """What the quantizer of a weight, `argument`, is given."""
        return getattr(self, self.quantized_weights[argument])

    def _input_factors(self, inputs, training, argument="input_quantizer"):
        """The quantized input as `(integers, scale or None)`, in the compute dtype."""
        inputs = tf.cast(inputs, self.compute_dtype)
        return self._factors(argument, inputs, training)

    def _kernel_factors(self, training=False):
        """The quantized kernel of a layer that has one, as `(integers, scale or None)`."""
        (argument,) = self.quantized_weights
        return self._weight_factors(argument, self._weight(argument), training, self.output_axes)

    def _weight_factors(self, argument, weight, training=False, output_axes: Sequence[int] = (-1,)):
        """A quantized weight as `(integers, scale or None)`, in the compute dtype.

        The scale is one number or one for each output channel: a vector to multiply the result by.
        A scale that changes within an output channel cannot wait that long and is multiplied in.

        Args:
            argument: the quantizer's.
            weight: the variable, or a tensor made from it.
            training: passed on to the quantizer.
            output_axes: the axes of the weight that count the output channels.
        """
        weight = tf.convert_to_tensor(weight)
        integers, scale = self._factors(argument, weight, training)
        if scale is not None and scale.shape.rank:
            outputs = {axis % weight.shape.rank for axis in output_axes}
            sizes = enumerate(scale.shape)
            if any(size != 1 for axis, size in sizes if axis not in outputs):
                integers, scale = integers * scale, None
            elif len(outputs) > 1 and scale.shape.num_elements() != 1:
                sizes = enumerate(weight.shape)
                scale = tf.broadcast_to(scale, [s if axis in outputs else 1 for axis, s in sizes])
        integers = tf.cast(integers, self.compute_dtype)
        if scale is not None:
            scale = tf.cast(tf.reshape(scale, [-1]), self.compute_dtype)
        return integers, scale

    def _quantized(self, argument, x, training=False):
        """`x` as the quantizer makes it, scale included."""
        values, scale = self._factors(argument, tf.convert_to_tensor(x), training)
        return values if scale is None else values * scale

    def _factors(self, argument, x, training):
        """`(values, scale or None)`; the scale has as many axes as `x`, or none."""
        quantizer = getattr(self, argument)
        if quantizer is None:
            return x, None
        if isinstance(quantizer, quantizers.Quantizer):
            values, scale = quantizer.factors(x, training=bool(training))
            if scale is not None and 0 < scale.shape.rank < x.shape.rank:
                for _ in range(x.shape.rank - scale.shape.rank):
                    scale = scale[tf.newaxis]
            return values, scale
        values = tf.convert_to_tensor(quantizer(x))
        if values.dtype != x.dtype or not values.shape.is_compatible_with(x.shape):
            raise ValueError(
                f"The {argument} of layer '{self.name}' must return the shape and dtype it gets, "
                f"{x.shape} {x.dtype.name}. It returned {values.shape} {values.dtype.name}."
            )
        return values, None


class ProductLayer(QuantizedLayer):
    """Mixed in before a Keras layer of one product, with scales, bias and activation behind it."""

    def call(self, inputs, training=None):
        outputs = self._emit(inputs)
        if outputs is None:
            outputs = self._compute(inputs, training)
        observe.note(self, inputs, outputs)
        return outputs if self.activation is None else self.activation(outputs)

    @property
    def _added_bias(self) -> Any:
        """What is added to the product outside of training, or `None`."""
        return self.bias

    def _emit(self, inputs):
        """The custom op in place of product and bias, or None."""
        raise NotImplementedError(f"{type(self).__name__} has to implement _emit.")

    def _compute(self, inputs, training):
        x, x_scale = self._operand(inputs, training)
        kernel, kernel_scale = self._kernel_factors(training)
        outputs = self._scaled(self._product(x, kernel), kernel_scale, x_scale)
        return self._with_bias(outputs, self._added_bias)

    def _operand(self, inputs, training):
        """The quantized input, and its scale where that can wait until after the product."""
        raise NotImplementedError(f"{type(self).__name__} has to implement _operand.")

    def _product(self, x, kernel):
        """The product of the integers."""
        raise NotImplementedError(f"{type(self).__name__} has to implement _product.")

    def _scaled(self, outputs, kernel_scale, x_scale):
        scales = [] if kernel_scale is None else [self._along_channels(kernel_scale)]
        scales += [] if x_scale is None else [x_scale]
        one = any(scale.shape.num_elements() == 1 for scale in scales)
        if len(scales) == 2 and one and outputs.dtype.size >= 4:
            # Once over the outputs instead of twice; half precision might not hold the product.
            scales = [scales[0] * scales[1]]
        for scale in scales:
            outputs = outputs * scale
        return outputs

    def _with_bias(self, outputs, bias):
        if bias is None:
            return outputs
        bias = self._along_channels(tf.convert_to_tensor(bias))
        if bias.shape.rank > 1:
            # keras.ops.add would take it for one along the last axis, where that has the same size.
            return outputs + tf.cast(bias, outputs.dtype)
        return keras.ops.add(outputs, bias)

    def _along_channels(self, vector):
        """A vector with one number a channel, as it broadcasts against the output."""
        return vector
