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
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.codes import Codes
from keras_ste.estimators.gradients import without_gradients
from keras_ste.layers.code_books import NoCodes, code_book
from keras_ste.layers.composites import composite, leading, size
from keras_ste.layers.plans import (
    Plan,
    Product,
    has_values,
    input_of,
    integers_of,
    obstacle,
    only_product,
    plan_of,
    plan_without_values,
    quantizer_obstacle,
    quantizes_rows,
    small_type,
)
from keras_ste.quantizers import Quantizer

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
        with without_gradients():
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
        inputs: its inputs, `(batch, height, width, channels)` or `(batch, width, channels)`; or the
            channels behind the batch, where the layer has them there.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    product = image_product(layer, inputs)
    op = "SteFullyConnected" if quantizes_rows(layer, product) else "SteConv2D"
    label, plans = record(layer, inputs, op, image_obstacle(layer, inputs), [product])
    if plans is None:
        return None
    (plan,) = plans
    if plan.quantizes_rows:
        return emit_pixels(layer, inputs, plan, label)
    options = {
        "channels": layer.kernel.shape[-2] * layer.groups,
        "filters": layer.filters,
        **window_options(layer),
        "groups": layer.groups,
        "padding": layer.padding,
        "pad_value": layer.pad_values,
    }
    return _emit_conv(layer, inputs, plan, options, label)


def emit_depthwise(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantDepthwiseConv1D` or `QuantDepthwiseConv2D`, up to and including its bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, as of `emit_conv`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    product = image_product(layer, inputs)
    label, plans = record(layer, inputs, "SteDepthwiseConv2D", image_obstacle(layer, inputs), [product])
    return None if plans is None else _emit_depthwise(layer, inputs, *plans, label)


def emit_separable(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the two convolutions of a `QuantSeparableConv1D` or `QuantSeparableConv2D`, and the bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, as of `emit_conv`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    axis = channels_axis(layer)
    between = inputs.shape.as_list()
    between[axis] = layer.pointwise_kernel.shape[-2]
    products = [
        Product(
            inputs.shape,
            inputs.dtype,
            "depthwise_quantizer",
            output_axes=(-2, -1),
            channels_axis=axis,
            image=True,
            windows=True,
        ),
        Product(
            tf.TensorShape(between),
            tf.float32,
            "pointwise_quantizer",
            "intermediate_quantizer",
            bias=lambda: layer.bias,
            channels_axis=axis,
            row_axes=(axis,),
            image=True,
        ),
    ]
    op = "SteFullyConnected" if quantizes_rows(layer, products[1]) else "SteConv2D"
    op = op if products[0].plain(layer) else "SteDepthwiseConv2D"
    label, plans = record(layer, inputs, op, image_obstacle(layer, inputs), products)
    if plans is None:
        return None
    depthwise, pointwise = plans
    if depthwise is None:
        between = layer._depthwise(inputs, False)
    else:
        between = _emit_depthwise(layer, inputs, depthwise, label)
    if pointwise is None:
        return layer._pointwise(between, False)
    if pointwise.quantizes_rows:
        return emit_pixels(layer, between, pointwise, label, "intermediate_quantizer")
    options = {
        "channels": layer.pointwise_kernel.shape[-2],
        "filters": layer.filters,
        **{f"{what}_{axis}": 1 for what in ("kernel", "stride", "dilation") for axis in "hw"},
        "groups": 1,
        "padding": "valid",
        "pad_value": 0,
    }
    return _emit_conv(layer, between, pointwise, options, label)


def emit_transposed(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantConv1DTranspose` or `QuantConv2DTranspose`, up to and including its bias.

    Args:
        layer: the layer, built. A sequence is taken as an image of height 1.
        inputs: its inputs, as of `emit_conv`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    reason = image_obstacle(layer, inputs) or transposed_obstacle(layer)
    sizes = spread_sizes(layer)
    product = image_product(layer, inputs, spread=lambda weights: spread_kernel(weights, sizes, layer.dilation_rate))
    label, plans = record(layer, inputs, "SteTransposeConv2D", reason, [product])
    if plans is None:
        return None
    (plan,) = plans
    options = transposed_options(layer, plan, layer.kernel.shape[-1], label)
    weights = _as_image(layer, plan.weights, 0).transpose(2, 0, 1, 3)
    return _emit_image("SteTransposeConv2D", layer, inputs, plan, options, weights, transposed_places)


def transposed_options(layer, plan, channels, label):
    """The options of a SteTransposeConv2D of so many input channels, whose kernel is spread."""
    sizes = spread_sizes(layer)
    extra = dict(zip("wh", reversed(extra_places(layer, sizes)), strict=False))
    return {
        "version": 2,
        "channels": channels,
        "filters": layer.filters,
        **_along_image(layer, {"kernel": sizes, "stride": layer.strides}),
        **{f"extra_{axis}": more for axis, more in extra.items() if more},
        "padding": layer.padding,
        "output": "float32",
        **plan.options_of_version_2,
        "layer": label,
    }


def reach_of(layer):
    """How many places a kernel reaches over along each axis."""
    return [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]


def spread_sizes(layer):
    """The sizes of a transposed convolution's kernel, with zeros between its places and up to its strides."""
    return [max(pair) for pair in zip(reach_of(layer), layer.strides, strict=True)]


def transposed_obstacle(layer):
    """Why SteTransposeConv2D does not put the sums of the layer's kernel where Keras does, or None."""
    if layer.padding == "same" and layer.output_padding is not None and spread_sizes(layer) != reach_of(layer):
        return "it has an output_padding, and strides greater than its kernel: leave output_padding out"
    return None


def spread_kernel(weights, sizes, dilation):
    """A kernel with zeros where its dilation leaves places out, and behind it up to these sizes."""
    spread = np.zeros([*sizes, *weights.shape[len(sizes) :]], weights.dtype)
    spread[tuple(slice(0, (k - 1) * d + 1, d) for k, d in zip(weights.shape, dilation))] = weights
    return spread


def extra_places(layer, sizes):
    """How many places more than by its padding the output of a transposed convolution has, along each axis."""
    probe = [None, *[9] * layer.rank, layer.kernel.shape[-1]]
    if layer.data_format == "channels_first":
        probe = [None, probe[-1], *probe[1:-1]]
    outputs = layer.compute_output_shape(probe)
    outputs = outputs[1:-1] if layer.data_format == "channels_last" else outputs[2:]
    return [
        length - transposed_places(9, {"padding": layer.padding, "kernel_h": size, "stride_h": stride}, "h")
        for length, size, stride in zip(outputs, sizes, layer.strides, strict=True)
    ]


def image_product(layer, inputs, **more):
    """The product of a layer of images or sequences that has one."""
    axis = channels_axis(layer)
    windows = layer._pixel_strides("input_quantizer") is None or layer.groups > 1
    return only_product(layer, inputs, channels_axis=axis, row_axes=(axis,), image=True, windows=windows, **more)


def channels_axis(layer):
    return -1 if layer.data_format == "channels_last" else 1


def image_obstacle(layer, inputs):
    """Why the ops on images do not take the layer's image or sequence, or None."""
    if inputs.shape.rank != layer.rank + 2:
        axes = inputs.shape.rank or "an unknown number of"
        return f"the input has {axes} axes, not {layer.rank + 2}"
    return None


def window_options(layer):
    """The options that say how a kernel moves over an image."""
    kinds = {"kernel": layer.kernel_size, "stride": layer.strides, "dilation": layer.dilation_rate}
    return _along_image(layer, kinds)


def _along_image(layer, kinds):
    """The options of height and width: a sequence has the height 1, a volume is many images."""
    height = (1,) * (2 - layer.rank)
    return {
        f"{kind}_{axis}": length
        for kind, lengths in kinds.items()
        for axis, length in zip("hw", (*height, *lengths)[-2:], strict=True)
    }


def _as_image(layer, array, axis):
    """With an axis of height 1, where the layer is one of sequences."""
    return array if layer.rank == 2 else np.expand_dims(array, axis)


def window_places(length, o, axis):
    """The places of a window along one axis."""
    if o["padding"] == "valid":
        length = length - (o[f"kernel_{axis}"] - 1) * o[f"dilation_{axis}"]
    return -(-length // o[f"stride_{axis}"])


def transposed_places(length, o, axis):
    """The places that a transposed convolution adds to along one axis."""
    places = length * o[f"stride_{axis}"] + o.get(f"extra_{axis}", 0)
    return places + (o[f"kernel_{axis}"] - o[f"stride_{axis}"] if o["padding"] == "valid" else 0)


def _emit_conv(layer, inputs, plan, options, label):
    """A SteConv2D with a plan's weights."""
    options = {"version": plan.version, **options, "output": "float32", **plan.options, "layer": label}
    weights = _as_image(layer, plan.weights, 0).transpose(3, 0, 1, 2)
    return _emit_image("SteConv2D", layer, inputs, plan, options, weights, window_places)


def _emit_depthwise(layer, inputs, plan, label):
    """A SteDepthwiseConv2D with a plan's weights."""
    options = {
        "version": 2,
        "channels": plan.weights.shape[-2],
        "depth_multiplier": plan.weights.shape[-1],
        **window_options(layer),
        "padding": layer.padding,
        "pad_value": getattr(layer, "pad_values", 0),
        "output": "float32",
        **plan.options_of_version_2,
        "layer": label,
    }
    weights = _as_image(layer, plan.weights, 0)
    weights = weights.reshape(*weights.shape[:2], -1).transpose(2, 0, 1)
    return _emit_image("SteDepthwiseConv2D", layer, inputs, plan, options, weights, window_places)


def _emit_image(name, layer, inputs, plan, options, weights, places):
    """The op of a layer of images or sequences. `weights` have the output channels first."""
    inputs = channels_last(layer, plan.argument(inputs))
    if layer.rank == 1:
        inputs = tf.expand_dims(inputs, 1)
    x = plan.emit_input(inputs, options)
    outputs = image_op(name, plan, options, x, weights, places)
    if layer.rank == 1:
        outputs = tf.squeeze(outputs, 1)
    return channels_back(layer, outputs)


def channels_last(layer, x):
    """A layer's input with its channels behind all other axes."""
    return x if layer.data_format == "channels_last" else tf.transpose(x, [0, *range(2, layer.rank + 2), 1])


def channels_back(layer, x):
    """A layer's output with its channels where the layer has them."""
    return x if layer.data_format == "channels_last" else tf.transpose(x, [0, layer.rank + 1, *range(1, layer.rank + 1)])


def emit_pixels(layer, inputs, plan, label, argument="input_quantizer"):
    """The product of each pixel by itself, which is a dense layer's. `argument` quantizes the pixels."""
    x = channels_last(layer, plan.argument(inputs))
    strides = layer._pixel_strides(argument)
    if any(stride != 1 for stride in strides):
        x = x[(slice(None), *(slice(None, None, stride) for stride in strides))]
    return channels_back(layer, _fully_connected(plan, x, label))


def image_op(name, plan, options, x, weights, places):
    """A product of images, of codes or numbers, the channels behind height and width; `places` says what size it has."""
    units = len(plan.bias)

    def body(x, filters, multiplier, bias):
        return tf.zeros([size(x, 0), *(places(size(x, axis), options, "hw"[axis - 1]) for axis in (1, 2)), units])

    return composite(name, options, body, x, weights, plan.multiplier, plan.bias)


def emit_dense(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the product of a `QuantDense`, up to and including its bias.

    Args:
        layer: the layer, built.
        inputs: its inputs, `(batch, ..., channels)`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    reason = None if inputs.shape.rank else "the number of axes of the input is unknown"
    label, plans = record(layer, inputs, "SteFullyConnected", reason, [only_product(layer, inputs)])
    if plans is None:
        return None
    (plan,) = plans
    return _fully_connected(plan, plan.argument(inputs), label)


def emit_einsum(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the product of a `QuantEinsumDense` that is one of matrices, and adds its bias.

    Args:
        layer: the layer, built.
        inputs: its inputs.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    rank = inputs.shape.rank
    order, summed = _as_matrices(layer, rank) if rank else ([], 0)
    reason = None
    if not rank:
        reason = "the number of axes of the input is unknown"
    elif not order:
        reason = (
            f"no custom op for the equation {layer.equation}, which is no product of matrices: transpose before or "
            "behind it"
        )
    elif layer.bias is not None and layer.bias.shape.rank > len(order) - summed:
        reason = "its bias changes along an axis that is no output channel: add it in a layer of its own"
    product = only_product(layer, inputs, row_axes=tuple(range(-summed, 0)))
    label, plans = record(layer, inputs, "SteFullyConnected", reason, [product])
    if plans is None:
        return None
    (plan,) = plans
    plan = dataclasses.replace(plan, weights=plan.weights.transpose(order))
    sizes = plan.weights.shape
    lead = [size(inputs, axis) for axis in range(rank - summed)]
    inputs = tf.reshape(plan.argument(inputs), [*lead, math.prod(sizes[:summed])])
    return tf.reshape(_fully_connected(plan, inputs, label), [*lead, *sizes[summed:]])


def _as_matrices(layer, rank):
    """How an equation is a product of matrices: the kernel's axes, those that are added up first in the order of the
    input, and how many these are. No axes where it is none."""
    x, kernel, outputs = layer._letters(rank)
    summed = "".join(letter for letter in x if letter in kernel and letter not in outputs)
    kept = "".join(letter for letter in kernel if letter in outputs)
    free = x.removesuffix(summed)
    if summed and kept and x == free + summed and outputs == free + kept and set(kernel) == set(summed + kept):
        return [kernel.index(letter) for letter in summed + kept], len(summed)
    return [], 0


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
        return tf.zeros(leading(x) + [units])

    x = plan.emit_input(inputs, options)
    return composite("SteFullyConnected", options, body, x, weights.transpose(), plan.multiplier, plan.bias)


def emit_table(layer: Any, indices: tf.Tensor) -> tf.Tensor | None:
    """Emits the look-up of a `QuantEmbedding`: codes are gathered, and then what they are worth.

    Codes of 8 bits are bytes, which TFLite's own op gathers; others are packed.

    Args:
        layer: the layer, built.
        indices: integers of any shape.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    product = Product(indices.shape, indices.dtype, "embeddings_quantizer", None, output_axes=(-2, -1))
    reason, table = obstacle(layer, product), None
    if reason is None:
        with tf.init_scope():
            table, reason = _table(layer)
    are_bytes = table is not None and table[1] in (Codes(8, "signed"), Codes(8, "unsigned"))
    label = _add_row(layer, indices.dtype, "SteDequantize" if are_bytes else "SteGather", reason)
    if table is None:
        return None
    integers, codes, by_column, by_row = table
    options = {"channels": integers.shape[1], "layer": label}
    if are_bytes:
        rows = tf.gather(integers, indices)
    else:
        options |= codes.options("input")
        indices = _as_int32(indices, len(integers))
        looked_up = {"version": 4, "rows": len(integers), **options}
        rows = composite("SteGather", looked_up, lambda indices, table: tf.gather(table, indices), indices, integers)
    options["version"] = 2
    constants = [] if by_column is None else [by_column]
    if constants:
        options["place"] = 2  # behind the table of an op that has one
    values = composite("SteDequantize", options, lambda x, *constants: tf.cast(x, tf.float32), rows, *constants)
    return values if by_row is None else values * tf.gather(by_row, indices)


def _as_int32(indices, rows):
    """The indices in the type that SteGather reads; one outside of a table of so many rows stays outside of it."""
    return indices if indices.dtype == tf.int32 else tf.cast(tf.clip_by_value(indices, -1, rows), tf.int32)


def _table(layer):
    """`(integers, codes, scales of columns or None, scales of rows or None)` and `None`, or `None` and why not."""
    if not has_values(layer):
        return (np.ones(layer.embeddings.shape, np.int8), Codes(), None, None), None
    integers, scale = integers_of(layer, "embeddings_quantizer")
    try:
        codes = code_book(integers, layer.embeddings_quantizer.spec)
    except NoCodes as why:
        return None, f"its embeddings_quantizer gives {why}"
    integers = integers.astype(np.uint8 if codes == Codes(8, "unsigned") else small_type(integers))
    scale = None if scale is None else np.broadcast_to(scale.numpy(), np.broadcast_shapes(scale.shape, (1, 1)))
    if scale is None or scale.shape[0] == 1:
        return (integers, codes, None if scale is None else scale[0], None), None
    if scale.shape[1] == 1:
        return (integers, codes, None, scale), None
    return None, "the scale of its embeddings_quantizer changes along both axes"


@dataclasses.dataclass(frozen=True)
class CellProduct:
    """The op of a product of a recurrent cell, in place of its weights."""

    plan: Plan
    label: str

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """The product with a scale behind it."""
        return _fully_connected(self.plan, self.plan.argument(x), self.label)

    def split(self, first: int) -> tuple[CellProduct, CellProduct]:
        """That of the first output channels, and that of the others."""
        columns = ((0, first), (first, len(self.plan.bias)))
        return tuple(CellProduct(self.plan.columns(*pair), self.label) for pair in columns)


def emit_cell(layer: Any, inputs: tf.Tensor) -> list[CellProduct | None] | None:
    """Emits the products of a recurrent cell: of its inputs with the kernel, and of its state with the recurrent one.

    Args:
        layer: the cell, built.
        inputs: what it is given at one time step, `(batch, features)`.

    Returns:
        An op for each, `None` for one that is not quantized; or `None` where the cell has to compute both itself.
    """
    if not is_exporting():
        return None
    state = tf.TensorShape([inputs.shape[0], layer.units])
    products = [
        Product(inputs.shape, inputs.dtype, "kernel_quantizer"),
        Product(state, tf.float32, "recurrent_quantizer", "state_quantizer"),
    ]
    label, plans = record(layer, inputs, "SteFullyConnected", None, products)
    if plans is None:
        return None
    return [None if plan is None else CellProduct(plan, label) for plan in plans]


def emit_activation(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits a `QuantActivation`: its inputs become codes, and those what they are worth.

    Args:
        layer: the layer, built.
        inputs: its inputs, of one axis or more.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    reason = "it has no quantizer" if layer.quantizer is None else quantizer_obstacle(layer, "quantizer")
    if reason is None and layer.compute_dtype != "float32":
        reason = f"it computes in {layer.compute_dtype}, not in float32"
    if reason is None and not inputs.shape.rank:
        reason = "the number of axes of its input is unknown, or there are none"
    if reason is None:
        with tf.init_scope():
            try:
                source = input_of(layer.quantizer, "quantizer", inputs.shape)
            except NoCodes as why:
                reason = str(why)
    label = _add_row(layer, inputs.dtype, "SteDequantize", reason)
    if reason is not None:
        return None
    shape = {"channels": inputs.shape[-1], "layer": label}
    return source.restore(source.emit(source.argument(layer.quantizer, inputs), shape), shape)


def leave_in_float(layer: Any, inputs: tf.Tensor, reason: str) -> None:
    """Leaves a row about a layer that has no custom op, and which TensorFlow's converter takes.

    Args:
        layer: the layer, built.
        inputs: its inputs.
        reason: why it is not packed, and what to change.
    """
    if is_exporting():
        _add_row(layer, inputs.dtype, "", reason)


def is_exporting() -> bool:
    """Whether layers are traced in an export scope."""
    # Computing eagerly is nobody's export: the composite functions have no values of their own.
    return _recorder.get() is not None and not tf.executing_eagerly()


def record(layer, inputs, op, reason, products):
    """Adds the layer's row. Returns its label, and the plans of its products, `None` where it has no op.

    Of several products one that is not quantized at all has `None` for a plan, and the layer computes it.
    A layer whose kernel was made in this trace is traced again, with values: that trace adds the row.
    """
    plans = None
    quantized = [product for product in products if len(products) == 1 or not product.plain(layer)]
    for product in quantized or products:
        reason = reason or obstacle(layer, product)
    if reason is None:
        # Out of the graph that is being traced: these are values, not computations.
        with tf.init_scope():
            make = plan_of if has_values(layer) else plan_without_values
            try:
                plans = [make(layer, product) if product in quantized else None for product in products]
            except NoCodes as why:
                reason = str(why)
            if make is plan_without_values:
                return _recorder.get().label(layer), plans
    return _add_row(layer, inputs.dtype, op, reason), plans


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
        "input": _describe(getattr(layer, "input_quantizer", getattr(layer, "quantizer", None)), dtype),
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
