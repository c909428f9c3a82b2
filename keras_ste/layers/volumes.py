"""The convolutions of volumes as ops on images: the planes that one plane of the output reads become its channels.

Planes are joined as codes where the input is packed, and padded with the code of what stands outside of the volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.layers.composites import composite, leading, size
from keras_ste.layers.export import (
    channels_back,
    channels_last,
    emit_pixels,
    extra_places,
    image_obstacle,
    image_op,
    image_product,
    is_exporting,
    record,
    spread_kernel,
    spread_sizes,
    transposed_obstacle,
    transposed_options,
    transposed_places,
    window_options,
    window_places,
)
from keras_ste.layers.plans import quantizes_rows

_MOST_JOINED = 8


def emit_volume(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantConv3D`, up to and including its bias.

    Args:
        layer: the layer, built.
        inputs: its inputs, `(batch, depth, height, width, channels)`, or the channels behind the batch, where the
            layer has them there.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    reason, padding = image_obstacle(layer, inputs), (0, 0)
    columns = all(length == 1 for length in (*layer.kernel_size[1:], *layer.strides[1:]))
    if reason is None and layer.padding == "same" and not columns:
        padding = layer._paddings(inputs)[1 if layer.data_format == "channels_last" else 2]
        if any(map(tf.is_tensor, padding)):
            reason = 'padding="same" with strides along the depth depends on the depth of its input, which is unknown'
    outside = layer.pad_values if reason is None and any(padding) else None
    product = image_product(layer, inputs, outside=outside)
    op = "SteFullyConnected" if quantizes_rows(layer, product) else "SteConv2D"
    label, plans = record(layer, inputs, op, reason, [product])
    if plans is None:
        return None
    (plan,) = plans
    if plan.quantizes_rows:
        return emit_pixels(layer, inputs, plan, label)
    planes = _Planes(layer, inputs, plan, label)
    if columns:
        return _over_columns(layer, planes)
    planes.pad(*padding, layer.pad_values)
    return _over_planes(layer, planes)


def _over_columns(layer, planes):
    """The convolution by a kernel that is one place wide and high: over an image as high as the depth."""
    along_depth = {"kernel": layer.kernel_size, "stride": layer.strides, "dilation": layer.dilation_rate}
    window = {f"{kind}_{axis}": n for kind, (n, *_) in along_depth.items() for axis, n in (("h", n), ("w", 1))}
    weights = planes.plan.weights[:, 0].transpose(3, 0, 1, 2)
    outputs = _conv(layer, planes, planes.values, weights, planes.channels, window)
    return channels_back(layer, tf.reshape(outputs, [-1, size(outputs, 1), *planes.sizes, layer.filters]))


def _over_planes(layer, planes):
    """The convolution over images, whose channels are those of all planes that a window reads."""
    taps, stride, dilation = layer.kernel_size[0], layer.strides[0], layer.dilation_rate[0]
    images = planes.joined([(k * dilation, (taps - 1 - k) * dilation) for k in range(taps)], stride)
    weights = np.moveaxis(planes.plan.weights, 0, 2)
    if layer.groups > 1:
        # The channels of a group have to lie together: those of each plane alternate.
        images, weights = planes.alternating(images, taps), np.moveaxis(weights, 2, 3)
    weights = weights.reshape(*weights.shape[:2], -1, layer.filters).transpose(3, 0, 1, 2)
    outputs = _conv(layer, planes, images, weights, taps * planes.channels, window_options(layer))
    along_depth = {"padding": "valid", "kernel_d": taps, "stride_d": stride, "dilation_d": dilation}
    return planes.volume(outputs, depth=window_places(size(planes.values, 1), along_depth, "d"))


def _conv(layer, planes, images, weights, channels, window):
    """A SteConv2D of images that are made of planes."""
    plan = planes.plan
    options = {
        "version": plan.version,
        "channels": channels,
        "filters": layer.filters,
        **window,
        "groups": layer.groups,
        "padding": layer.padding,
        "pad_value": layer.pad_values,
        "output": "float32",
        **plan.options,
        "layer": planes.label,
    }
    return image_op("SteConv2D", plan, options, images, weights, window_places)


def emit_transposed_volume(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Emits the convolution of a `QuantConv3DTranspose`, up to and including its bias.

    Every plane of the output whose number leaves the same remainder by the stride reads the input by the same places of
    the kernel: for each remainder there is an op.

    Args:
        layer: the layer, built.
        inputs: its inputs, as of `emit_volume`.

    Returns:
        The float32 result, or `None` where the layer has to compute it itself.
    """
    if not is_exporting():
        return None
    reason = image_obstacle(layer, inputs) or transposed_obstacle(layer)
    depth = _TransposedDepth(layer)
    product = image_product(layer, inputs, spread=depth.spread, outside=0 if any(depth.padding) else None)
    label, plans = record(layer, inputs, "SteTransposeConv2D", reason, [product])
    if plans is None:
        return None
    (plan,) = plans
    planes = _Planes(layer, inputs, plan, label)
    planes.pad(*depth.padding, 0)
    results = []
    for taps, cuts in depth.ops:
        images = planes.joined(cuts)
        weights = plan.weights[taps].transpose(3, 1, 2, 0, 4)
        weights = weights.reshape(*weights.shape[:3], -1)
        options = transposed_options(layer, plan, len(taps) * planes.channels, label)
        results.append(image_op("SteTransposeConv2D", plan, options, images, weights, transposed_places))
    return planes.volume(*results, depth=planes.depth + depth.rounds, surplus=depth.surplus)


class _TransposedDepth:
    """Which planes of the input each plane of the output of a transposed convolution reads.

    Place k of the kernel adds plane d of the input to plane `d · stride + k · dilation − before` of the output. So plane
    `j · stride + t` of the output reads, for each k with `(t + before − k · dilation) % stride == 0`, the plane
    `j + (t + before − k · dilation) / stride`.

    Attributes:
        padding: how many planes are read before and behind the input.
        ops: for each t the places of the kernel, and for each of these how many planes of the padded input lie before
            the first and behind the last that are read.
        rounds: how many j there are more than the input has planes.
        surplus: how many planes too many there are at the end, since all t have as many.
    """

    def __init__(self, layer):
        taps, stride, dilation = layer.kernel_size[0], layer.strides[0], layer.dilation_rate[0]
        size, extra = spread_sizes(layer)[0], extra_places(layer, spread_sizes(layer))[0]
        before = max(size - stride - extra, 0) // 2 if layer.padding == "same" else 0
        more = extra + (size - stride if layer.padding == "valid" else 0)  # planes
        self.layer, self.surplus = layer, -more % stride
        self.rounds = rounds = (more + self.surplus) // stride
        reads = [
            {k: (t + before - k * dilation) // stride for k in range(taps) if (t + before - k * dilation) % stride == 0}
            for t in range(stride)
        ]
        # A plane that nothing is added to reads one by zeros.
        self.holes = not all(reads)
        reads = [each or {taps: 0} for each in reads]
        shifts = [shift for each in reads for shift in each.values()]
        self.padding = max(0, -min(shifts)), max(0, max(shifts) + rounds)
        start, end = self.padding
        self.ops = [([*each], [(start + n, end - n - rounds) for n in each.values()]) for each in reads]

    def spread(self, weights):
        """The kernel as its planes are read: each spread, and one of zeros behind them, where that is needed."""
        layer = self.layer
        sizes = (weights.shape[0] + self.holes, *spread_sizes(layer)[1:])
        return spread_kernel(weights, sizes, (1, *layer.dilation_rate[1:]))


class _Planes:
    """The input of a layer as its planes, `[batch, depth, height · width, channels]`: numbers, or packed codes."""

    def __init__(self, layer, inputs, plan, label):
        self.layer, self.plan, self.label = layer, plan, label
        x = channels_last(layer, plan.argument(inputs))
        self.depth, self.sizes, self.channels = size(x, 1), [size(x, 2), size(x, 3)], x.shape[4]
        # As images, as the op of a layer before puts them out.
        x = tf.reshape(x, [-1, *self.sizes, self.channels])
        x = plan.emit_input(x, {"channels": self.channels, "layer": label})
        self.codes = plan.input.codes
        self.packed = x.dtype == tf.int32
        self.values = tf.reshape(x, [-1, self.depth, self.sizes[0] * self.sizes[1], x.shape[-1]])

    def pad(self, before, behind, value):
        """Adds planes before and behind the others, of what is worth `value`."""
        if not before and not behind:
            return
        options = {"version": 2, **(self.codes.options("input") if self.packed else {}), "channels": self.channels}
        options |= {"pad_top": before, "pad_bottom": behind, "pad_left": 0, "pad_right": 0}
        options["pad_value"] = value + (0 if self.codes is None else self.codes.zero_point)

        def body(x):
            return tf.zeros([size(x, 0), before + size(x, 1) + behind, size(x, 2), x.shape[3]], x.dtype)

        self.values = composite("StePad", options | {"layer": self.label}, body, self.values)

    def joined(self, cuts, stride=1):
        """The planes without so many at the start and at the end, for each of the cuts, as channels behind each other."""
        parts = [self._cut(first, last, stride) for first, last in cuts]
        if len(parts) == 1:
            return self._as_images(parts[0])
        if not self.packed:
            return self._as_images(tf.concat(parts, -1))
        sizes = [self.channels] * len(parts)
        while len(parts) > 1:
            parts = [self._concat(parts[:_MOST_JOINED], sizes[:_MOST_JOINED]), *parts[_MOST_JOINED:]]
            sizes = [sum(sizes[:_MOST_JOINED]), *sizes[_MOST_JOINED:]]
        return self._as_images(parts[0])

    def _cut(self, first, last, stride):
        return self.values[:, first : -last or None : stride] if (first, last, stride) != (0, 0, 1) else self.values

    def _concat(self, parts, sizes):
        options = {"version": 2, **self.codes.options("input"), "layer": self.label}
        options |= {f"channels_{i}": channels for i, channels in enumerate(sizes)}
        words = self.codes.bits * -(-sum(sizes) // 32)
        return composite("SteConcat", options, lambda x, *_: tf.zeros([*leading(x), words], tf.int32), *parts)

    def _as_images(self, values):
        return tf.reshape(values, [-1, *self.sizes, values.shape[-1]])

    def alternating(self, images, parts):
        """Images of joined channels, of which the first of each part come first, then the second of each, and so on."""
        if parts == 1:
            return images
        if not self.packed:
            apart = tf.reshape(images, [-1, *self.sizes, parts, self.channels])
            return tf.reshape(tf.transpose(apart, [0, 1, 2, 4, 3]), [-1, *self.sizes, parts * self.channels])
        options = {"version": 2, **self.codes.options("input"), "channels": parts * self.channels, "groups": parts}
        body = lambda x: tf.zeros([*leading(x), x.shape[-1]], tf.int32)  # noqa: E731
        return composite("SteShuffle", options | {"layer": self.label}, body, images)

    def volume(self, *results, depth, surplus=0):
        """Images that are put out as volumes of this depth: the first of each result, the second of each, and so on."""
        lengths = [size(results[0], axis) for axis in (1, 2, 3)]
        images = results[0] if len(results) == 1 else tf.stack(results, 1)
        planes = len(results) * depth
        if surplus:
            images = tf.reshape(images, [-1, planes, lengths[0] * lengths[1], lengths[2]])[:, :-surplus]
        outputs = tf.reshape(images, [-1, planes - surplus, *lengths])
        return channels_back(self.layer, outputs)
