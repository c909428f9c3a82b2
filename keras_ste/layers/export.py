"""The export scope: inside it, a quantized layer writes a custom op in place of TensorFlow's ops.

The converter traces a model in this scope. A layer that can be packed emits composite functions,
which TensorFlow's converter turns into custom ops (their inputs, outputs and options are described
in docs/ops.md; the filter is still a plain tensor of integers, what the codes are worth: packing it is
the converter's work); a layer that cannot computes in float as ever. Either way it leaves a row that says so.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.codes import Codes
from keras_ste.layers.code_books import NoCodes, QuantizedInput, code_book, quantized_input
from keras_ste.quantizers import BitnetActivation, Quantizer
from keras_ste.quantizers.common import widened

# Sums of integers stay below it in the ops.
MOST_SUM = 2**30

_recorder: contextvars.ContextVar[_Recorder | None] = contextvars.ContextVar(
    "keras_ste_export", default=None
)


@contextlib.contextmanager
def export_scope() -> Iterator[list[dict[str, Any]]]:
    """Within it, quantized layers that are traced emit custom ops.

    Yields:
        A list that fills with one row for each quantized layer that is traced (a layer that is
        traced again in the same way adds no second row):

        * `layer`: the layer's path, made unique; the custom ops carry it as the option `layer`;
        * `class_name`;
        * `quantized`: the layer has a quantizer;
        * `packed`: it was emitted as a custom op;
        * `reason`: why it was not, or `None`;
        * `op`: the product's, `"SteConv2D"` for example, or `""` for a layer that has no custom op;
        * `input`, `kernel`: what is multiplied: `"bipolar1"`, `"signed4"`, ..., `"custom"` for a callable without a
          code book, or the dtype where there is no quantizer; of several kernels, one after the
          other;
        * `weights`: their number, and that of multiplications for each output position.

    >>> import keras
    >>> from keras_ste.layers import QuantDense
    >>> layer = QuantDense(2, kernel_quantizer="ste_sign", name="dense")
    >>> with export_scope() as rows:
    ...     graph = tf.function(layer).get_concrete_function(tf.TensorSpec((None, 3)))
    >>> rows[0]["layer"], rows[0]["packed"], rows[0]["input"], rows[0]["kernel"]
    ('dense', True, 'float32', 'bipolar1')
    """
    recorder = _Recorder()
    token = _recorder.set(recorder)
    try:
        yield recorder.rows
    finally:
        _recorder.reset(token)


class _Recorder:
    def __init__(self):
        self.rows = []
        self._labels = {}

    def label(self, layer):
        """The layer's path; two layers of nested models may have the same one."""
        if id(layer) not in self._labels:
            path = layer.path or layer.name
            taken = {label for _, label in self._labels.values()}
            label, count = path, 1
            while label in taken:
                label, count = f"{path}_{count}", count + 1
            # Keeps the layer alive, so that its id stays its own.
            self._labels[id(layer)] = (layer, label)
        return self._labels[id(layer)][1]

    def add(self, row):
        if row not in self.rows:
            self.rows.append(row)


def labelled_layers() -> dict[str, Any]:
    """Within an export scope: the layers that were traced so far, by the label that rows and ops have of them."""
    return {label: layer for layer, label in _recorder.get()._labels.values()}


def emit_conv(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantConv1D` or `QuantConv2D`, up to and including its bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, `(batch, height, width, channels)` or `(batch, width, channels)`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not _exporting():
        return None
    reason = _image_obstacle(layer, inputs)
    label, plan = _record(layer, inputs, "SteConv2D", reason)
    if plan is None:
        return None
    options = {
        "version": plan.version,
        "channels": layer.kernel.shape[-2] * layer.groups,
        "filters": layer.filters,
        **_window(layer),
        "groups": layer.groups,
        "padding": layer.padding,
        "pad_value": layer.pad_values,
        "output": "float32",
        **plan.options,
        "layer": label,
    }
    weights = _as_image(layer, plan.weights, 0).transpose(3, 0, 1, 2)
    return _emit_image("SteConv2D", layer, inputs, plan, options, weights, _places)


def emit_depthwise(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantDepthwiseConv1D` or `QuantDepthwiseConv2D`, up to and including its bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, as of `emit_conv`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not _exporting():
        return None
    label, plan = _record(layer, inputs, "SteDepthwiseConv2D", _image_obstacle(layer, inputs))
    if plan is None:
        return None
    options = {
        "version": 2,
        "channels": layer.kernel.shape[-2],
        "depth_multiplier": layer.depth_multiplier,
        **_window(layer),
        "padding": layer.padding,
        "pad_value": layer.pad_values,
        "output": "float32",
        **plan.options_of_version_2,
        "layer": label,
    }
    weights = _as_image(layer, plan.weights, 0)
    weights = weights.reshape(*weights.shape[:2], -1).transpose(2, 0, 1)
    return _emit_image("SteDepthwiseConv2D", layer, inputs, plan, options, weights, _places)


def emit_transposed(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantConv1DTranspose` or `QuantConv2DTranspose`, up to and including its bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, as of `emit_conv`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not _exporting():
        return None
    reason = _image_obstacle(layer, inputs)
    if any(stride > size for stride, size in zip(layer.strides, layer.kernel_size, strict=True)):
        reason = reason or "its strides are greater than its kernel"
    elif layer.output_padding is not None:
        reason = reason or "its output_padding has no custom op"
    elif any(dilation > 1 for dilation in layer.dilation_rate):
        reason = reason or "its dilation_rate has no custom op"
    label, plan = _record(layer, inputs, "SteTransposeConv2D", reason)
    if plan is None:
        return None
    window = {key: size for key, size in _window(layer).items() if not key.startswith("dilation")}
    options = {
        "version": 2,
        "channels": layer.kernel.shape[-1],
        "filters": layer.filters,
        **window,
        "padding": layer.padding,
        "output": "float32",
        **plan.options_of_version_2,
        "layer": label,
    }
    weights = _as_image(layer, plan.weights, 0).transpose(2, 0, 1, 3)
    return _emit_image("SteTransposeConv2D", layer, inputs, plan, options, weights, _transposed_places)


def _image_obstacle(layer, inputs):
    """Why the ops on images do not take the layer's image or sequence, or None."""
    if layer.data_format != "channels_last":
        return f"data_format={layer.data_format!r}: only channels_last has a custom op"
    if inputs.shape.rank != layer.rank + 2:
        axes = inputs.shape.rank or "an unknown number of"
        return f"the input has {axes} axes, not {layer.rank + 2}"
    if layer.padding == "causal":
        return "padding='causal': only same and valid have a custom op"
    return None


def _window(layer):
    """The options that say how a kernel moves over an image; a sequence has the height 1."""
    height = (1,) * (2 - layer.rank)
    kinds = {"kernel": layer.kernel_size, "stride": layer.strides, "dilation": layer.dilation_rate}
    return {
        f"{kind}_{axis}": size
        for kind, sizes in kinds.items()
        for axis, size in zip("hw", (*height, *sizes), strict=True)
    }


def _as_image(layer, array, axis):
    """With an axis of height 1, where the layer is one of sequences."""
    return array if layer.rank == 2 else np.expand_dims(array, axis)


def _places(size, o, axis):
    """The places of a window along one axis."""
    if o["padding"] == "valid":
        size = size - (o[f"kernel_{axis}"] - 1) * o[f"dilation_{axis}"]
    return -(-size // o[f"stride_{axis}"])


def _transposed_places(size, o, axis):
    """The places that a transposed convolution adds to along one axis."""
    if o["padding"] == "valid":
        return (size - 1) * o[f"stride_{axis}"] + o[f"kernel_{axis}"]
    return size * o[f"stride_{axis}"]


def _emit_image(name, layer, inputs, plan, options, weights, places):
    """The op of a layer of images or sequences. `weights` have the output channels first."""
    units = len(plan.bias)

    def body(x, filters, multiplier, bias):
        return tf.zeros([_size(x, 0), *(places(_size(x, axis), options, "hw"[axis - 1]) for axis in (1, 2)), units])

    inputs = plan.argument(layer, inputs)
    if layer.rank == 1:
        inputs = tf.expand_dims(inputs, 1)
    x = plan.emit_input(inputs, options)
    outputs = _composite(name, options, body, x, weights, plan.multiplier, plan.bias)
    return tf.squeeze(outputs, 1) if layer.rank == 1 else outputs


def emit_dense(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the product of a `QuantDense`, up to and including its bias.

    Args:
        layer: the layer, built.
        inputs: its inputs, `(batch, ..., channels)`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not _exporting():
        return None
    reason = None if inputs.shape.rank else "the number of axes of the input is unknown"
    label, plan = _record(layer, inputs, "SteFullyConnected", reason)
    if plan is None:
        return None
    return _fully_connected(plan, plan.argument(layer, inputs), label)


def emit_einsum(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the product of a `QuantEinsumDense` that is one of matrices, and adds its bias.

    Args:
        layer: the layer, built.
        inputs: its inputs.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not _exporting():
        return None
    rank = inputs.shape.rank
    reason = None if rank else "the number of axes of the input is unknown"
    if rank:
        x, kernel, outputs = layer._letters(rank)
        summed = "".join(letter for letter in kernel if letter not in outputs)
        free, kept = x.removesuffix(summed), kernel.removeprefix(summed)
        if not (summed and kept and x == free + summed and kernel == summed + kept and outputs == free + kept):
            reason = f"no custom op for the equation {layer.equation}, which is no product of matrices"
        elif layer.bias is not None and layer.bias.shape.rank > len(kept):
            reason = "its bias changes along an axis that is no output channel"
        elif len(summed) > 1 and isinstance(layer.input_quantizer, BitnetActivation):
            reason = "its input_quantizer has several scales for what is added up"
    label, plan = _record(layer, inputs, "SteFullyConnected", reason)
    if plan is None:
        return None
    leading = [_size(inputs, axis) for axis in range(len(free))]
    channels = math.prod(layer.kernel.shape[: len(summed)])
    inputs = plan.argument(layer, inputs)
    outputs = _fully_connected(plan, tf.reshape(inputs, [*leading, channels]), label)
    return tf.reshape(outputs, [*leading, *layer.kernel.shape[len(summed) :]])


def _fully_connected(plan, inputs, label):
    """The op for `(batch, ..., channels)`, whatever axes the kernel has its outputs in."""
    units = len(plan.bias)
    weights = plan.weights.reshape(-1, units)
    options = {
        "version": plan.version,
        "units": units,
        "channels": weights.shape[0],
        "pixels": 1,
        "input_axes": 1,
        "output": "float32",
        **plan.options,
        "layer": label,
    }

    def body(x, filters, multiplier, bias):
        return tf.zeros([_size(x, axis) for axis in range(x.shape.rank - 1)] + [units])

    x = plan.emit_input(inputs, options)
    return _composite("SteFullyConnected", options, body, x, weights.transpose(), plan.multiplier, plan.bias)


def leave_in_float(layer: Any, inputs: tf.Tensor, reason: str) -> None:
    """Leaves a row about a layer that has no custom op, and which TensorFlow's converter takes.

    Args:
        layer: the layer, built.
        inputs: its inputs.
        reason: why it is not packed.
    """
    if _exporting():
        _add_row(layer, inputs.dtype, "", reason)


def _exporting():
    # Computing eagerly is nobody's export: the composite functions have no values of their own.
    return _recorder.get() is not None and not tf.executing_eagerly()


def _record(layer, inputs, op, reason):
    """Adds the layer's row. Returns its label, and the plan of its product, `None` where it has no op.

    A layer whose kernel was made in this trace is traced again, with values: that trace adds the row.
    """
    plan = None
    reason = reason or _obstacle(layer)
    if reason is None:
        # Out of the graph that is being traced: these are values, not computations.
        with tf.init_scope():
            if not _has_values(layer):
                return _recorder.get().label(layer), _plan_without_values(layer, inputs)
            try:
                plan = _plan(layer, inputs)
            except NoCodes as obstacle:
                reason = str(obstacle)
    return _add_row(layer, inputs.dtype, op, reason), plan


def _add_row(layer, dtype, op, reason):
    """Adds the layer's row. Returns its label."""
    recorder = _recorder.get()
    weights = layer.quantized_weights
    row = {
        "layer": recorder.label(layer),
        "class_name": type(layer).__name__,
        "quantized": any(getattr(layer, name) is not None for name in layer.quantizer_arguments),
        "packed": reason is None,
        "reason": reason,
        "op": op,
        "input": _describe(getattr(layer, "input_quantizer", None), dtype),
        "kernel": ", ".join(_describe(getattr(layer, name), layer.dtype) for name in weights),
        "weights": sum(math.prod(layer._weight(name).shape) for name in weights),
    }
    recorder.add(row)
    return row["layer"]


def _describe(quantizer, dtype):
    if quantizer is None:
        return tf.as_dtype(dtype).name
    if not isinstance(quantizer, Quantizer):
        return "custom"
    return f"{quantizer.spec.encoding}{quantizer.spec.bits}"


def _obstacle(layer):
    """Why the layer cannot be packed, as far as its arguments say, or None."""
    (weights,) = layer.quantized_weights
    if getattr(layer, weights) is None:
        return "its kernel is not quantized"
    for argument in (weights, "input_quantizer"):
        quantizer = getattr(layer, argument)
        if quantizer is not None and not isinstance(quantizer, Quantizer):
            name = getattr(quantizer, "__name__", type(quantizer).__name__)
            return f"its {argument} {name} is a plain function, which has no code book"
    quantizer = layer.input_quantizer
    if quantizer is not None and quantizer.spec.dynamic_scale and not _quantizes_rows(layer):
        return "its input_quantizer has a scale that is computed from the input"
    axis, axes = getattr(layer, weights).spec.scale_axis, len(layer.kernel.shape)
    if axis is not None and axis % axes not in {output % axes for output in layer.output_axes}:
        return f"the scale of its {weights} changes within an output channel"
    if layer.compute_dtype != "float32":
        return f"it computes in {layer.compute_dtype}, not in float32"
    return None


def _quantizes_rows(layer):
    """Whether the input is quantized at run time by what its last axis holds, as one op can that has no image."""
    quantizer = layer.input_quantizer
    return isinstance(quantizer, BitnetActivation) and quantizer.axis in (-1, (-1,)) and not hasattr(layer, "rank")


class _Signs:
    """An input that is signs, of what the quantizer's `sign_argument` says."""

    codes, scale, options = Codes(), np.float32(1), {}

    def emit(self, x, consumer):
        options = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": consumer["channels"]}
        return _composite("SteQuantize", options | {"layer": consumer["layer"]}, _packed_like(consumer, 1), x)


class _Unquantized:
    """An input as it is: float32, int8 or uint8."""

    options: dict[str, Any] = {}
    scale = np.float32(1)

    def __init__(self, dtype):
        self.codes = {tf.int8: Codes(8, "signed"), tf.uint8: Codes(8, "unsigned")}.get(dtype)

    def emit(self, x, consumer):
        return x if self.codes is not None else tf.cast(x, tf.float32)


class _Rows:
    """An input that the product quantizes itself, each row by its largest absolute value."""

    scale = np.float32(1)

    def __init__(self, quantizer):
        self.codes = Codes(quantizer.bits, "signed")
        self.options = {"row_bits": quantizer.bits, "row_epsilon": float(np.float32(quantizer.epsilon))}

    def emit(self, x, consumer):
        return tf.cast(x, tf.float32)


class _Quantized:
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
            body = lambda x, constant: tf.zeros(_leading(x) + [channels], tf.int8)  # noqa: E731
        return _composite("SteQuantize", options, body, tf.cast(x, tf.float32), constant)


def _leading(x):
    return [_size(x, axis) for axis in range(x.shape.rank - 1)]


def _packed_like(consumer, bits):
    words = bits * -(-consumer["channels"] // 32)
    return lambda x, *constants: tf.zeros(_leading(x) + [words], tf.int32)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What the op of a product is made of.

    Attributes:
        input: how the input is quantized.
        codes: the weights'.
        weights: what they are worth, integers as the kernel lies.
        multiplier, bias: float32, one for each output channel; a multiplier of one number counts
            for all.
    """

    input: Any
    codes: Codes
    weights: np.ndarray
    multiplier: np.ndarray
    bias: np.ndarray

    @property
    def version(self) -> int:
        packed = "input_bits" in self.input.options and not self.input.codes.signs
        return 2 if packed or "row_bits" in self.input.options or not self.codes.signs else 1

    @property
    def options(self) -> dict[str, Any]:
        everything = self.options_of_version_2
        return everything if self.version == 2 else {"input_zero_point": everything["input_zero_point"]}

    @property
    def options_of_version_2(self) -> dict[str, Any]:
        read = self.input.codes if isinstance(self.input, _Quantized) else Codes()
        return {"input_zero_point": read.zero_point, **self.codes.options("weight"), **self.input.options}

    def argument(self, layer, inputs):
        """What is quantized of the inputs."""
        if isinstance(self.input, _Signs):
            return layer.input_quantizer.sign_argument(tf.cast(inputs, tf.float32))
        return inputs

    def emit_input(self, x, consumer):
        """The input as the op of a product takes it, which has these options."""
        return self.input.emit(x, consumer)


def _plan(layer, inputs):
    """The plan of a layer's product.

    Raises:
        NoCodes: it has none; says why.
    """
    (argument,) = layer.quantized_weights
    integers, scale = _kernel(layer, argument)
    try:
        codes = code_book(integers, getattr(layer, argument).spec)
    except NoCodes as obstacle:
        raise NoCodes(f"its {argument} gives {obstacle}") from None
    source = _input(layer, inputs)
    largest = 0 if source.codes is None else source.codes.largest
    outputs = {axis % integers.ndim for axis in layer.output_axes}
    added = tuple(axis for axis in range(integers.ndim) if axis not in outputs)
    if max(largest, 1) * np.abs(integers).sum(added).max() >= MOST_SUM:
        raise NoCodes(f"its sums may reach {MOST_SUM}")
    weights = integers.astype(np.int8 if max(integers.max(), -1 - integers.min()) < 128 else np.int16)
    return _Plan(source, codes, weights, _multiplier(layer, scale, source), _bias(layer))


def _plan_without_values(layer, inputs):
    """A plan of the right shapes."""
    ones = np.ones(math.prod(layer.kernel.shape[axis] for axis in layer.output_axes), np.float32)
    return _Plan(_Unquantized(inputs.dtype), Codes(), np.ones(layer.kernel.shape, np.int8), ones, ones)


def _has_values(layer):
    """Whether the kernel was made before this trace."""
    return tf.convert_to_tensor(layer.kernel).shape == layer.kernel.shape


def _kernel(layer, argument):
    """The kernel's integers, as floats, and its scale, float32, `None` for 1."""
    kernel = tf.convert_to_tensor(layer._weight(argument))
    if not tf.reduce_all(tf.math.is_finite(kernel)):
        raise ValueError(
            f"the kernel of layer '{layer.name}' has a NaN or an infinite value, which no code stands for"
        )
    # The scale of a 16-bit kernel is computed, and used, in float32.
    integers, scale = layer._factors(argument, widened(kernel), training=False)
    outputs = {axis % kernel.shape.rank for axis in layer.output_axes}
    sizes = [] if scale is None else enumerate(scale.shape)
    if any(size != 1 for axis, size in sizes if axis not in outputs):
        raise NoCodes(f"the scale of its {argument} changes within an output channel")
    return integers.numpy(), None if scale is None else tf.cast(scale, tf.float32)


def _input(layer, inputs):
    """How the op gets the input: one of the four classes above."""
    quantizer = layer.input_quantizer
    if quantizer is None:
        return _Unquantized(inputs.dtype)
    if _quantizes_rows(layer):
        return _Rows(quantizer)
    if _is_signs(quantizer, inputs.shape):
        return _Signs()
    if inputs.shape[-1] is None:
        raise NoCodes("the number of channels of its input is unknown")
    try:
        return _Quantized(quantized_input(quantizer, inputs.shape.rank, inputs.shape[-1]))
    except NoCodes as obstacle:
        raise NoCodes(f"its input_quantizer gives {obstacle}") from None


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


def _multiplier(layer, scale, source):
    """What the sums are multiplied by: both scales, joined as the layer joins them."""
    sizes = layer.kernel.shape
    axes = {axis % len(sizes) for axis in layer.output_axes}
    scale = tf.ones([]) if scale is None else scale
    if isinstance(source, _Rows) and scale.shape.num_elements() == 1:
        # The op joins it with the scale of each row.
        return scale.numpy().reshape(1)
    each = tf.broadcast_to(scale, [size if axis in axes else 1 for axis, size in enumerate(sizes)])
    return each.numpy().reshape(-1) * source.scale


def _bias(layer):
    """The bias of each output channel."""
    sizes = layer.kernel.shape
    axes = {axis % len(sizes) for axis in layer.output_axes}
    outputs = [size for axis, size in enumerate(sizes) if axis in axes]
    bias = layer._added_bias
    bias = tf.zeros(outputs) if bias is None else tf.cast(bias, tf.float32)
    if bias.shape.num_elements() == math.prod(outputs):
        return bias.numpy().reshape(-1)
    return tf.broadcast_to(bias, outputs).numpy().reshape(-1)


def _composite(name, options, body, *arguments):
    """Calls a function that TensorFlow's converter replaces by the custom op `name`.

    Args:
        name: the custom op's.
        options: integers, floats and strings; they become the op's options.
        body: what is called; only the shape and dtype of its result matter.
        arguments: tensors, and numpy arrays that become constants.
    """
    implements = f'name: "{name}" attr {{ key: "tfl_fusable_op" value {{ b: true }} }}'
    for key, value in options.items():
        if isinstance(value, str):
            value = f"s: {json.dumps(value, ensure_ascii=False)}"
        elif isinstance(value, float):
            value = f"f: {value:.9g}"
        else:
            value = f"i: {int(value)}"
        implements += f' attr {{ key: "{key}" value {{ {value} }} }}'
    function = tf.function(body, experimental_implements=implements, autograph=False)
    return function(*(tf.convert_to_tensor(argument) for argument in arguments))


def _size(x, axis):
    """The size of an axis: an integer where it is known."""
    size = x.shape[axis]
    return tf.shape(x)[axis] if size is None else size
