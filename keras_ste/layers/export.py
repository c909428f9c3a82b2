"""The export scope: inside it, a quantized layer writes a custom op in place of TensorFlow's ops.

The converter traces a model in this scope. A layer that can be packed emits composite functions,
which TensorFlow's converter turns into custom ops (their inputs, outputs and options are described
in docs/ops.md; the filter is still a plain int8 tensor of -1 and +1: packing it is the converter's
work); a layer that cannot computes in float as ever. Either way it leaves a row that says so.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.quantizers import Quantizer
from keras_ste.quantizers.common import widened

VERSION = 1

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
        * `op`: `"SteConv2D"`, `"SteFullyConnected"`, or `""` for a layer that has no custom op;
        * `input`, `kernel`: what is multiplied: `"bipolar1"`, `"custom"` for a callable without a
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
    reason = None
    if layer.data_format != "channels_last":
        reason = f"data_format={layer.data_format!r}: only channels_last has a custom op"
    elif inputs.shape.rank != layer.rank + 2:
        axes = inputs.shape.rank or "an unknown number of"
        reason = f"the input has {axes} axes, not {layer.rank + 2}"
    elif layer.padding == "causal":
        reason = "padding='causal': only same and valid have a custom op"
    label, packed = _record(layer, inputs, "SteConv2D", reason)
    if not packed:
        return None
    inputs = _sign_argument(layer, inputs)
    codes, multiplier, bias = _constants(layer)
    height = (1,) * (2 - layer.rank)
    kernel_size = (*height, *layer.kernel_size)
    strides, dilations = (*height, *layer.strides), (*height, *layer.dilation_rate)
    options = {
        "version": VERSION,
        "channels": layer.kernel.shape[-2] * layer.groups,
        "filters": layer.filters,
        "kernel_h": kernel_size[0],
        "kernel_w": kernel_size[1],
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h": dilations[0],
        "dilation_w": dilations[1],
        "groups": layer.groups,
        "padding": layer.padding,
        "pad_value": layer.pad_values,
        "output": "float32",
        "input_zero_point": 0,
        "layer": label,
    }

    def body(x, filters, multiplier, bias):
        shape = [_size(x, 0)]
        for axis, kernel, stride, dilation in zip(
            (1, 2), kernel_size, strides, dilations, strict=True
        ):
            size = _size(x, axis)
            if layer.padding == "valid":
                size = size - (kernel - 1) * dilation
            shape.append(-(-size // stride))
        return tf.zeros(shape + [layer.filters])

    for _ in height:
        inputs = tf.expand_dims(inputs, 1)
        codes = codes[np.newaxis]
    codes = codes.transpose(3, 0, 1, 2)
    x = _emit_input(layer, inputs, options)
    outputs = _composite("SteConv2D", options, body, x, codes, multiplier, bias)
    return tf.squeeze(outputs, 1) if height else outputs


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
    label, packed = _record(layer, inputs, "SteFullyConnected", reason)
    if not packed:
        return None
    return _fully_connected(layer, _sign_argument(layer, inputs), label)


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
    label, packed = _record(layer, inputs, "SteFullyConnected", reason)
    if not packed:
        return None
    leading = [_size(inputs, axis) for axis in range(len(free))]
    channels = math.prod(layer.kernel.shape[: len(summed)])
    inputs = _sign_argument(layer, inputs)
    outputs = _fully_connected(layer, tf.reshape(inputs, [*leading, channels]), label)
    return tf.reshape(outputs, [*leading, *layer.kernel.shape[len(summed) :]])


def _fully_connected(layer, inputs, label):
    """The op for `(batch, ..., channels)`, whatever axes the kernel has its outputs in."""
    codes, multiplier, bias = _constants(layer)
    units = len(bias)
    codes = codes.reshape(-1, units)
    options = {
        "version": VERSION,
        "units": units,
        "channels": codes.shape[0],
        "pixels": 1,
        "input_axes": 1,
        "output": "float32",
        "input_zero_point": 0,
        "layer": label,
    }

    def body(x, filters, multiplier, bias):
        return tf.zeros([_size(x, axis) for axis in range(x.shape.rank - 1)] + [units])

    x = _emit_input(layer, inputs, options)
    return _composite("SteFullyConnected", options, body, x, codes.transpose(), multiplier, bias)


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
    """Adds the layer's row. Returns its label, and whether it can be packed."""
    reason = reason or _obstacle(layer, inputs)
    return _add_row(layer, inputs.dtype, op, reason), reason is None


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


def _obstacle(layer, inputs):
    """Why the layer cannot be packed, or None."""
    if layer.kernel_quantizer is None:
        return "its kernel is not quantized"
    for argument in ("kernel_quantizer", "input_quantizer"):
        quantizer = getattr(layer, argument)
        if quantizer is None:
            continue
        if not isinstance(quantizer, Quantizer):
            name = getattr(quantizer, "__name__", type(quantizer).__name__)
            return f"its {argument} {name} is a plain function, which has no code book"
        if _describe(quantizer, None) != "bipolar1":
            return f"no kernel for the codes of its {argument}, {_describe(quantizer, None)}"
    if layer.input_quantizer is not None and layer.input_quantizer.spec.dynamic_scale:
        return "its input_quantizer has a scale"
    if _sign_argument(layer, inputs) is None:
        return "its input_quantizer does not say what its values are the signs of"
    axis, axes = layer.kernel_quantizer.spec.scale_axis, len(layer.kernel.shape)
    if axis is not None and axis % axes not in {output % axes for output in layer.output_axes}:
        return "the scale of its kernel_quantizer changes within an output channel"
    if layer.compute_dtype != "float32":
        return f"it computes in {layer.compute_dtype}, not in float32"
    # Out of the graph that is being traced: these are values, not computations.
    with tf.init_scope():
        if not _has_values(layer):
            return None
        return _kernel_obstacle(layer) or _input_obstacle(layer, inputs.shape)


def _has_values(layer):
    """Whether the kernel was made before this trace; else the layer is traced again, with values."""
    return tf.convert_to_tensor(layer.kernel).shape == layer.kernel.shape


def _kernel_obstacle(layer):
    """Why the quantized kernel is not one of signs, scaled by output channels, or None."""
    kernel = tf.convert_to_tensor(layer._weight("kernel_quantizer"))
    if not tf.reduce_all(tf.math.is_finite(kernel)):
        raise ValueError(
            f"the kernel of layer '{layer.name}' has a NaN or an infinite value, which no code stands for"
        )
    # Whatever a quantizer says of itself, its values decide.
    integers, scale = layer._factors("kernel_quantizer", kernel, training=False)
    outputs = {axis % kernel.shape.rank for axis in layer.output_axes}
    sizes = [] if scale is None else enumerate(scale.shape)
    scaled_within = any(size != 1 for axis, size in sizes if axis not in outputs)
    if scaled_within or not np.array_equal(np.abs(integers), np.ones(kernel.shape)):
        return "its kernel_quantizer gives other values than signs, scaled by output channels"
    return None


def _input_obstacle(layer, shape):
    """Why the quantized input is not what its quantizer says it is the sign of, or None."""
    quantizer = layer.input_quantizer
    if quantizer is None:
        return None
    # Here, what it makes of a sample.
    probe = np.random.default_rng(0).normal(size=[size or 1 for size in shape]).astype(np.float32)
    probe.flat[::4] = 0
    integers, scale = quantizer.factors(tf.constant(probe))
    if scale is not None:
        return "its input_quantizer has a scale"
    argument = quantizer.sign_argument(tf.constant(probe))
    if not np.array_equal(integers, np.where(argument >= 0, 1, -1)):
        return "its input_quantizer gives other values than the sign of its sign_argument"
    return None


def _constants(layer):
    """Weights (int8, -1 and +1, as the kernel lies); multiplier and bias (float32, by channel)."""
    sizes = layer.kernel.shape
    axes = {axis % len(sizes) for axis in layer.output_axes}
    outputs = [size for axis, size in enumerate(sizes) if axis in axes]
    units = math.prod(outputs)
    with tf.init_scope():
        if not _has_values(layer):
            return np.ones(sizes, np.int8), np.ones(units, np.float32), np.zeros(units, np.float32)
        # The scale of a 16-bit kernel is computed, and used, in float32.
        kernel = widened(tf.convert_to_tensor(layer._weight("kernel_quantizer")))
        integers, scale = layer._factors("kernel_quantizer", kernel, training=False)
        scale = tf.ones([]) if scale is None else tf.cast(scale, tf.float32)
        multiplier = tf.broadcast_to(scale, [s if axis in axes else 1 for axis, s in enumerate(sizes)])
        bias = layer._added_bias
        bias = tf.zeros(outputs) if bias is None else tf.cast(bias, tf.float32)
        bias = tf.broadcast_to(bias, outputs)
        codes = integers.numpy().astype(np.int8)
        return codes, multiplier.numpy().reshape(units), bias.numpy().reshape(units)


def _sign_argument(layer, inputs):
    """What the signs of the quantized input are taken of; `inputs` where they are not quantized."""
    if layer.input_quantizer is None:
        return inputs
    return layer.input_quantizer.sign_argument(tf.cast(inputs, tf.float32))


def _emit_input(layer, inputs, consumer):
    """The input as the custom op takes it: packed, or float32, int8 or uint8.

    `inputs` are what the signs are taken of, where the layer takes signs.
    """
    if layer.input_quantizer is None:
        keep = inputs.dtype in (tf.float32, tf.int8, tf.uint8)
        return inputs if keep else tf.cast(inputs, tf.float32)
    words = -(-consumer["channels"] // 32)
    options = {
        "version": VERSION,
        "bits": 1,
        "encoding": "bipolar",
        "channels": consumer["channels"],
        "layer": consumer["layer"],
    }

    def body(x):
        shape = [_size(x, axis) for axis in range(x.shape.rank - 1)]
        return tf.zeros(shape + [words], tf.int32)

    return _composite("SteQuantize", options, body, inputs)


def _composite(name, options, body, *arguments):
    """Calls a function that TensorFlow's converter replaces by the custom op `name`.

    Args:
        name: the custom op's.
        options: integers and strings; they become the op's options.
        body: what is called; only the shape and dtype of its result matter.
        arguments: tensors, and numpy arrays that become constants.
    """
    implements = f'name: "{name}" attr {{ key: "tfl_fusable_op" value {{ b: true }} }}'
    for key, value in options.items():
        if isinstance(value, str):
            value = f"s: {json.dumps(value, ensure_ascii=False)}"
        else:
            value = f"i: {int(value)}"
        implements += f' attr {{ key: "{key}" value {{ {value} }} }}'
    function = tf.function(body, experimental_implements=implements, autograph=False)
    return function(*(tf.convert_to_tensor(argument) for argument in arguments))


def _size(x, axis):
    """The size of an axis: an integer where it is known."""
    size = x.shape[axis]
    return tf.shape(x)[axis] if size is None else size
