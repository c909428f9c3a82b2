"""What the op of a product is made of: how its input is quantized, its weights, and what comes behind the sums."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.codes import Codes
from keras_ste.layers.code_books import NoCodes, QuantizedInput, code_book, quantized_input
from keras_ste.layers.composites import composite, leading, size
from keras_ste.quantizers import BitnetActivation, Quantizer
from keras_ste.quantizers.common import widened

# Sums of integers stay below it in the ops.
MOST_SUM = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Product:
    """One product of a layer.

    Attributes:
        shape, dtype: of what is multiplied.
        weights: the argument that quantizes the weights.
        input: the argument that quantizes what they are multiplied with; `None` where nothing is.
        output_axes: the axes of the weights that count the output channels.
        bias: gives what is added to each output channel, or `None`.
        channels_axis: the axis of the input that is added up.
        row_axes: the last axes of the input, all those that are added up, where that is not one: a row is what
            they hold together.
        image: whether windows move over it.
        windows: whether these are of several pixels, or read some of the channels: the op quantizes no rows then.
        spread: what becomes of the weights' integers before they are stored, or `None`.
        outside: an integer that has to be among the input's codes, since padding puts it there; or `None`.
    """

    shape: tf.TensorShape
    dtype: Any
    weights: str
    input: str | None = "input_quantizer"
    output_axes: tuple[int, ...] = (-1,)
    bias: Callable[[], Any] = lambda: None
    channels_axis: int = -1
    row_axes: tuple[int, ...] = (-1,)
    image: bool = False
    windows: bool = False
    spread: Callable[[np.ndarray], np.ndarray] | None = None
    outside: int | None = None

    def plain(self, layer: Any) -> bool:
        """Whether nothing of it is quantized."""
        return all(quantizer is None for quantizer in self.quantizers(layer).values())

    def quantizers(self, layer: Any) -> dict[str, Any]:
        """Those of its two factors, by argument."""
        return {name: getattr(layer, name) for name in (self.weights, self.input) if name is not None}


def only_product(layer: Any, inputs: tf.Tensor, **more: Any) -> Product:
    """The product of a layer that has one."""
    (weights,) = layer.quantized_weights
    return Product(
        inputs.shape, inputs.dtype, weights, output_axes=layer.output_axes, bias=lambda: layer._added_bias, **more
    )


def obstacle(layer: Any, product: Product) -> str | None:
    """Why a product has no op, as far as the layer's arguments say, or `None`."""
    weights = product.weights
    if getattr(layer, weights) is None:
        return f"its {layer.quantized_weights[weights]} is not quantized: give it a {weights}"
    for argument in product.quantizers(layer):
        at_run_time = argument == weights or quantizes_rows(layer, product) or quantizes_in_float(layer, product)
        reason = quantizer_obstacle(layer, argument, at_run_time)
        if reason is not None and isinstance(getattr(layer, argument), BitnetActivation):
            reason = f"its {argument} has several scales for what is added up: give it axis={product.row_axes}"
        if reason is not None:
            return reason
    if quantizes_in_float(layer, product) and getattr(layer, "pad_values", 0):
        return f"what pad_values=1 is worth depends on the scale of its {product.input}: leave it out"
    axis, axes = getattr(layer, weights).spec.scale_axis, len(layer._weight(weights).shape)
    if axis is not None and axis % axes not in {output % axes for output in product.output_axes}:
        return f"the scale of its {weights} changes within an output channel"
    if layer.compute_dtype != "float32":
        return f"it computes in {layer.compute_dtype}, not in float32"
    return None


def quantizer_obstacle(layer: Any, argument: str, computed_scale: bool = False) -> str | None:
    """Why what a quantizer gives has no codes, as far as it says itself, or `None`.

    Args:
        layer: its layer.
        argument: what the layer calls it.
        computed_scale: whether its scale may be computed from what it quantizes.
    """
    quantizer = getattr(layer, argument)
    if quantizer is None:
        return None
    if not isinstance(quantizer, Quantizer):
        name = getattr(quantizer, "__name__", type(quantizer).__name__)
        return f"its {argument} {name} is a plain function, which has no code book"
    if quantizer.spec.dynamic_scale and not computed_scale:
        return (
            f"its {argument} has a scale that is computed from the input: give it a fixed or learned one, or "
            "BitnetActivation in a layer of products"
        )
    return None


def quantizes_rows(layer: Any, product: Product) -> bool:
    """Whether the input is quantized at run time by what each row of it holds, as one op can that has no windows."""
    quantizer = getattr(layer, product.input)
    if product.windows or not isinstance(quantizer, BitnetActivation):
        return False
    rank = product.shape.rank
    return _axes(quantizer, rank) == {axis % rank for axis in product.row_axes}


def quantizes_in_float(layer: Any, product: Product) -> bool:
    """Whether the input is quantized at run time before the op, which multiplies floats: windows may meet several scales.

    Of volumes the values of a pixel share a scale, or all.
    """
    if not product.image or quantizes_rows(layer, product):
        return False
    quantizer, rank = getattr(layer, product.input), product.shape.rank
    return isinstance(quantizer, BitnetActivation) and (rank != 5 or _axes(quantizer, rank) in ({4}, {1, 2, 3, 4}))


def _axes(quantizer, rank):
    """The axes whose values share a scale."""
    return {axis % rank for axis in ([quantizer.axis] if isinstance(quantizer.axis, int) else quantizer.axis)}


class _Signs:
    """An input that is signs, of what the quantizer's `sign_argument` says; ternary where it has to hold zeros too."""

    scale = np.float32(1)

    def __init__(self, codes):
        self.codes = codes
        self.options = {} if codes.signs else codes.options("input")

    def argument(self, quantizer, inputs):
        return quantizer.sign_argument(tf.cast(inputs, tf.float32))

    def emit(self, x, consumer):
        options = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": consumer["channels"]}
        constants = []
        if not self.codes.signs:
            options = {"version": 2, "channels": consumer["channels"], "output": "packed", "place": 3}
            options |= self.codes.options("output")
            constants.append(np.float32([[-np.inf], [0], [0]]))  # none becomes 0
        options["layer"] = consumer["layer"]
        return composite("SteQuantize", options, _packed_like(consumer, self.codes.bits), x, *constants)

    def restore(self, codes, consumer):
        return _restored(codes, consumer, self.codes.options("input"), self.scale)


class _Input:
    """An input that is quantized, or read, as it comes."""

    def argument(self, quantizer, inputs):
        """What is quantized of the inputs."""
        return inputs


class _Unquantized(_Input):
    """An input as it is: float32, int8 or uint8."""

    options: dict[str, Any] = {}
    scale = np.float32(1)

    def __init__(self, dtype):
        self.codes = {tf.int8: Codes(8, "signed"), tf.uint8: Codes(8, "unsigned")}.get(dtype)

    def emit(self, x, consumer):
        return x if self.codes is not None else tf.cast(x, tf.float32)


class _Rows(_Input):
    """An input that the product quantizes itself, each row by its largest absolute value."""

    scale = np.float32(1)

    def __init__(self, quantizer):
        self.codes = Codes(quantizer.bits, "signed")
        self.options = {"row_bits": quantizer.bits, "row_epsilon": float(np.float32(quantizer.epsilon))}

    def emit(self, x, consumer):
        return tf.cast(x, tf.float32)


class _Floats(_Unquantized):
    """An input that TFLite's own ops quantize, to floats."""

    def __init__(self):
        super().__init__(tf.float32)

    def argument(self, quantizer, inputs):
        x = tf.cast(inputs, tf.float32)
        if x.shape.rank < 5:
            return quantizer(x)
        # TFLite broadcasts up to four axes. `quantizes_in_float` makes sure that these are all ways of five.
        rows = [-1, x.shape[-1]] if _axes(quantizer, 5) == {4} else [size(x, 0), -1]
        of_rows = BitnetActivation(bits=quantizer.bits, epsilon=quantizer.epsilon)
        return tf.reshape(of_rows(tf.reshape(x, rows)), [size(x, axis) for axis in range(5)])


class _Quantized(_Input):
    """An input that SteQuantize turns into codes."""

    def __init__(self, how: QuantizedInput):
        self.how, self.codes, self.scale = how, how.codes, how.scale
        self.options = how.codes.options("input") if how.packed else {}

    def emit(self, x, consumer):
        how, codes, channels = self.how, self.codes, consumer["channels"]
        options = {"version": 2, "channels": channels, "output": "packed" if how.packed else "int8"}
        if how.packed:
            options |= codes.options("output")
        if how.multiplier is None:
            # Of a flattened map the channels come again with every place.
            columns = how.thresholds.shape[1]
            thresholds = np.tile(how.thresholds, (1, 1 if columns == 1 else channels // columns))
            place, constant = 3, thresholds if codes.bits > 1 else thresholds[0]
        else:
            place, constant = 1, how.multiplier.reshape(1)
            options["output_zero_point"] = codes.zero_point
            options["output_min"], options["output_max"] = how.low + codes.zero_point, how.high + codes.zero_point
        options |= {"place": place, "layer": consumer["layer"]}
        if how.packed:
            body = _packed_like(consumer, codes.bits)
        else:
            body = lambda x, constant: tf.zeros(leading(x) + [channels], tf.int8)  # noqa: E731
        return composite("SteQuantize", options, body, tf.cast(x, tf.float32), constant)

    def restore(self, codes, consumer):
        return _restored(codes, consumer, {**self.options, "input_zero_point": self.codes.zero_point}, self.scale)


def _restored(codes, consumer, options, scale):
    """What codes are worth: the quantized input."""
    channels = consumer["channels"]
    options = {"version": 2, "channels": channels, **options, "place": 2, "layer": consumer["layer"]}
    return composite(
        "SteDequantize", options, lambda x, multiplier: tf.zeros(leading(x) + [channels]), codes, scale.reshape(1)
    )


def _packed_like(consumer, bits):
    words = bits * -(-consumer["channels"] // 32)
    return lambda x, *constants: tf.zeros(leading(x) + [words], tf.int32)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the op of a product is made of.

    Attributes:
        input: how the input is quantized.
        quantizer: the input's, or `None`.
        codes: the weights'.
        weights: what they are worth, integers as the kernel lies.
        multiplier, bias: float32, one for each output channel; a multiplier of one number counts
            for all.
    """

    input: Any
    quantizer: Quantizer | None
    codes: Codes
    weights: np.ndarray
    multiplier: np.ndarray
    bias: np.ndarray

    @property
    def quantizes_rows(self) -> bool:
        """Whether the op quantizes each row of its input."""
        return "row_bits" in self.input.options

    @property
    def version(self) -> int:
        packed = "input_bits" in self.input.options and not self.input.codes.signs
        return 2 if packed or self.quantizes_rows or not self.codes.signs else 1

    @property
    def options(self) -> dict[str, Any]:
        everything = self.options_of_version_2
        return everything if self.version == 2 else {"input_zero_point": everything["input_zero_point"]}

    @property
    def options_of_version_2(self) -> dict[str, Any]:
        read = self.input.codes if isinstance(self.input, _Quantized) else Codes()
        return {"input_zero_point": read.zero_point, **self.codes.options("weight"), **self.input.options}

    def argument(self, inputs: tf.Tensor) -> tf.Tensor:
        """What is quantized of the inputs."""
        return self.input.argument(self.quantizer, inputs)

    def emit_input(self, x: tf.Tensor, consumer: dict[str, Any]) -> tf.Tensor:
        """The input as the op of a product takes it, which has these options. Its last axis are the channels."""
        return self.input.emit(x, consumer)

    def columns(self, first: int, end: int) -> Plan:
        """The plan of some of the output channels, which are the kernel's last axis."""
        multiplier = self.multiplier if self.multiplier.size == 1 else self.multiplier[first:end]
        return dataclasses.replace(
            self, weights=self.weights[..., first:end], multiplier=multiplier, bias=self.bias[first:end]
        )


def plan_of(layer: Any, product: Product) -> Plan:
    """The plan of a layer's product.

    Raises:
        NoCodes: it has none; says why.
    """
    argument = product.weights
    kernel, scale = _kernel(layer, product)
    integers = kernel if product.spread is None else product.spread(kernel)
    try:
        codes = code_book(integers, getattr(layer, argument).spec)
    except NoCodes as why:
        holes = ", with the zeros between its places" if integers.size > kernel.size else ""
        raise NoCodes(f"its {argument} gives {why}{holes}") from None
    source = _input(layer, product)
    largest = 0 if source.codes is None else source.codes.largest
    outputs = {axis % integers.ndim for axis in product.output_axes}
    added = tuple(axis for axis in range(integers.ndim) if axis not in outputs)
    if max(largest, 1) * np.abs(integers).sum(added).max() >= MOST_SUM:
        raise NoCodes(f"its sums may reach {MOST_SUM}")
    weights = integers.astype(small_type(integers))
    quantizer = getattr(layer, product.input)
    multiplier, bias = _multiplier(layer, product, scale, source), _bias(layer, product)
    if not (np.isfinite(multiplier).all() and np.isfinite(bias).all()):
        raise NoCodes("its scales or its biases are not finite")
    return Plan(source, quantizer, codes, weights, multiplier, bias)


def small_type(integers: np.ndarray) -> type:
    """The smallest type that holds what codes of up to 8 bits are worth."""
    return np.int8 if max(integers.max(), -1 - integers.min()) < 128 else np.int16


def plan_without_values(layer: Any, product: Product) -> Plan:
    """A plan of the right shapes."""
    sizes = layer._weight(product.weights).shape
    ones = np.ones(math.prod(sizes[axis] for axis in product.output_axes), np.float32)
    weights = np.ones(sizes, np.int8)
    weights = weights if product.spread is None else product.spread(weights)
    return Plan(_Unquantized(product.dtype), None, Codes(), weights, ones, ones)


def has_values(layer: Any) -> bool:
    """Whether the weights were made before this trace."""
    weights = [layer._weight(argument) for argument in layer.quantized_weights]
    return all(tf.convert_to_tensor(weight).shape == weight.shape for weight in weights)


def integers_of(layer: Any, argument: str) -> tuple[np.ndarray, tf.Tensor | None]:
    """A weight's integers, as floats, and its scale, float32, `None` for 1."""
    kernel = tf.convert_to_tensor(layer._weight(argument))
    if not tf.reduce_all(tf.math.is_finite(kernel)):
        raise ValueError(
            f"the {layer.quantized_weights[argument]} of layer '{layer.name}' has a NaN or an infinite value, which "
            "no code stands for"
        )
    # The scale of a 16-bit kernel is computed, and used, in float32.
    integers, scale = layer._factors(argument, widened(kernel), training=False)
    return integers.numpy(), None if scale is None else tf.cast(scale, tf.float32)


def _kernel(layer, product):
    """The integers and the scale of the product's weights."""
    integers, scale = integers_of(layer, product.weights)
    outputs = {axis % integers.ndim for axis in product.output_axes}
    sizes = [] if scale is None else enumerate(scale.shape)
    if any(size != 1 for axis, size in sizes if axis not in outputs):
        raise NoCodes(f"the scale of its {product.weights} changes within an output channel")
    return integers, scale


def _input(layer, product):
    """How the op gets the input: one of the five classes above."""
    quantizer = getattr(layer, product.input)
    if quantizer is None:
        return _Unquantized(product.dtype)
    if quantizes_rows(layer, product):
        return _Rows(quantizer)
    if quantizes_in_float(layer, product):
        return _Floats()
    return input_of(quantizer, product.input, product.shape, product.channels_axis, product.outside)


def input_of(
    quantizer: Quantizer, argument: str, shape: tf.TensorShape, channels_axis: int = -1, outside: int | None = None
) -> Any:
    """How what a quantizer gives becomes codes.

    Args:
        quantizer: its scale is no matter of its input.
        argument: what the layer calls it.
        shape: of what is quantized.
        channels_axis: the axis along which each number may be quantized in its own way.
        outside: an integer that has to have a code too, or `None`.

    Raises:
        NoCodes: it has none; says why.
    """
    if _is_signs(quantizer, shape):
        return _Signs(Codes(2, "ternary") if outside == 0 else Codes())
    if shape[channels_axis] is None:
        raise NoCodes("the number of channels of its input is unknown")
    try:
        return _Quantized(quantized_input(quantizer, shape.rank, shape[channels_axis], channels_axis, outside))
    except NoCodes as obstacle:
        raise NoCodes(f"its {argument} gives {obstacle}") from None


def _is_signs(quantizer, shape):
    """Whether the quantizer says what it is the sign of, and is."""
    # Here, what it makes of a sample.
    probe = np.random.default_rng(0).normal(size=[size or 1 for size in shape]).astype(np.float32)
    probe.flat[::4] = 0
    argument = quantizer.sign_argument(tf.constant(probe))
    if argument is None:
        return False
    integers, scale = quantizer.factors(tf.constant(probe))
    return scale is None and np.array_equal(integers, np.where(argument >= 0, 1, -1))


def _multiplier(layer, product, scale, source):
    """What the sums are multiplied by: both scales, joined as the layer joins them."""
    sizes = layer._weight(product.weights).shape
    axes = {axis % len(sizes) for axis in product.output_axes}
    scale = tf.ones([]) if scale is None else scale
    if isinstance(source, _Rows) and scale.shape.num_elements() == 1:
        # The op joins it with the scale of each row.
        return scale.numpy().reshape(1)
    each = tf.broadcast_to(scale, [size if axis in axes else 1 for axis, size in enumerate(sizes)])
    return each.numpy().reshape(-1) * source.scale


def _bias(layer, product):
    """The bias of each output channel."""
    sizes = layer._weight(product.weights).shape
    axes = {axis % len(sizes) for axis in product.output_axes}
    outputs = [size for axis, size in enumerate(sizes) if axis in axes]
    bias = product.bias()
    bias = tf.zeros(outputs) if bias is None else tf.cast(bias, tf.float32)
    if bias.shape.num_elements() == math.prod(outputs):
        return bias.numpy().reshape(-1)
    return tf.broadcast_to(bias, outputs).numpy().reshape(-1)
