"""`summary`: what every layer of a model computes with, how large it is, and what its codes look like."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.layers.common import QuantizedLayer
from keras_ste.layers.rnn import QuantizedCell
from keras_ste.layers.tree import layers_within
from keras_ste.plotting import new_figure
from keras_ste.quantizers import Quantizer
from keras_ste.tables import macs_by_width, macs_text, table

FLOAT_BITS = 32


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One layer that has weights, or multiplies.

    Attributes:
        layer: its path.
        class_name: its class.
        input: what its input is quantized to, `"1 bipolar"`, or the type it has.
        kernel: what its kernels are quantized to, or their type; `""` where it has none.
        weights: the number of its weights, those of its quantizers left out.
        kernel_bytes: of the codes of its kernels, each kernel a whole number of bytes.
        bytes: these, and 4 for every other weight.
        macs: multiply-adds for one example; an axis of unknown size counts as 1.
        macs_by_width: the same by bits of weight and input, `{"1x8": 640}`: layers of two products may have two widths.
        ones: the share of the codes of its kernels that stand for -1 or +1; `None` without codes.
        dead_channels: the output channels whose quantized weights are all 0.
        channels: the output channels of its kernels.
    """

    layer: str
    class_name: str
    input: str = ""
    kernel: str = ""
    weights: int = 0
    kernel_bytes: int = 0
    bytes: int = 0
    macs: int = 0
    macs_by_width: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ones: float | None = None
    dead_channels: int = 0
    channels: int = 0

    @property
    def mac_width(self) -> str:
        """The widths of its multiply-adds: `"1x8"`, `"4x8, 1x8"`."""
        return ", ".join(self.macs_by_width)


@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows of a model, in the order of its layers. `str(summary)` is a table."""

    name: str
    rows: tuple[LayerSummary, ...]

    @property
    def weights(self) -> int:
        """The number of weights, those of quantizers left out."""
        return sum(row.weights for row in self.rows)

    @property
    def bytes(self) -> int:
        """The bytes of all weights, those of kernels packed."""
        return sum(row.bytes for row in self.rows)

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-adds by width."""
        return macs_by_width(count for row in self.rows for count in row.macs_by_width.items())

    def to_dict(self) -> dict[str, Any]:
        """Rows and totals as plain Python values."""
        totals = {"weights": self.weights, "bytes": self.bytes, "macs": self.macs}
        return {"name": self.name, "rows": [dataclasses.asdict(row) for row in self.rows], **totals}

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def plot(self) -> Any:
        """Draws bytes and multiply-adds of every layer, coloured by their width.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not installed.
        """
        figure = new_figure(figsize=(10, 1.5 + 0.25 * len(self.rows)))
        left, right = figure.subplots(1, 2, sharey=True)
        names = [row.layer for row in self.rows]
        sizes = [{row.kernel or "float32": row.bytes} for row in self.rows]
        macs = [row.macs_by_width for row in self.rows]
        for axis, counts, title in ((left, sizes, "bytes"), (right, macs, "multiply-adds")):
            ends = np.zeros(len(names))
            for kind in macs_by_width(count for row in counts for count in row.items()):
                values = np.array([row.get(kind, 0) for row in counts])
                chosen = np.flatnonzero(values)
                axis.barh(chosen, values[chosen], left=ends[chosen], label=kind)
                ends += values
            axis.set_xlabel(title)
            if axis.patches:
                axis.legend()
        left.set_yticks(np.arange(len(names)), names)
        left.invert_yaxis()
        return figure

    def __str__(self) -> str:
        header = ("layer", "class", "input", "kernel", "weights", "bytes", "MACs", "width", "±1", "dead channels")
        lines = [header, *(_cells(row) for row in self.rows)]
        total = f"total: {self.weights:,} weights, {self.bytes:,} bytes; MACs: {macs_text(self.macs)}"
        return table(lines, right=range(4, len(header))) + "\n" + total


def _cells(row):
    dead = f"{row.dead_channels} of {row.channels}" if row.channels else ""
    return (
        row.layer,
        row.class_name,
        row.input,
        row.kernel,
        f"{row.weights:,}",
        f"{row.bytes:,}",
        f"{row.macs:,}" if row.macs else "",
        row.mac_width,
        "" if row.ones is None else f"{row.ones:.1%}",
        dead,
    )


def summary(model: keras.Model) -> Summary:
    """What the layers of a model compute with: widths, sizes, multiply-adds, and the state of their codes.

    Args:
        model: a built Keras 3 model, quantized or not. A layer that is used twice has one row; its
            multiply-adds are those of the shape it was built for.

    Returns:
        A `Summary`: print it, or take `.rows`, `.to_json()`, `.plot()`.

    Raises:
        TypeError: not a Keras model.
        ValueError: it has no weights yet.

    >>> import keras_ste
    >>> dense = keras_ste.QuantDense(10, kernel_quantizer="ste_sign", input_quantizer="ste_sign", name="dense")
    >>> found = summary(keras.Sequential([keras.Input((64,)), dense], name="net"))
    >>> (row,) = found.rows
    >>> row.kernel, row.weights, row.bytes, row.macs, row.mac_width, row.ones
    ('1 bipolar', 650, 120, 640, '1x1', 1.0)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"summary takes a Keras 3 model. Received: {model!r} of type {type(model).__name__}.")
    if not model.built:
        raise ValueError(f"The model '{model.name}' has no weights yet: call it on data, or give it an Input.")
    layers = [layer for layer in (model, *layers_within(model)) if not isinstance(layer, Quantizer)]
    steps = {id(layer.cell): _shape(layer)[1] or 1 for layer in layers if isinstance(layer, keras.layers.RNN)}
    shapes = {}
    for layer in layers:
        if isinstance(layer, keras.layers.MultiHeadAttention) and _shape(layer, "query_shape"):
            # Keras builds it for sequences of any length.
            merged = _shape(layer._output_dense)[-2:]
            shapes[id(layer._output_dense)] = [*_shape(layer, "query_shape")[:-1], *merged]
    rows = (_row(layer, steps.get(id(layer), 1), shapes.get(id(layer)) or _shape(layer)) for layer in layers)
    return Summary(model.name, tuple(row for row in rows if row.weights or row.macs))


def _row(layer, steps, shape):
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    kernels = list(_kernels(layer))
    packed = sum(-(-math.prod(kernel.shape) * bits // 8) for kernel, bits, _, _ in kernels)
    numbers = sum(math.prod(variable.shape) for variable in own)
    rest = numbers - sum(math.prod(kernel.shape) for kernel, *_ in kernels)
    integers = [_integers(layer, argument, kernel) for kernel, _, argument, _ in kernels]
    codes = [values for values in integers if values is not None]
    dead = channels = 0
    for (kernel, _, _, axes), values in zip(kernels, integers, strict=True):
        if axes:
            values = np.asarray(kernel) if values is None else values
            summed = tuple(axis for axis in range(values.ndim) if axis not in axes)
            alive = np.any(values != 0, axis=summed)
            dead, channels = dead + int(np.sum(~alive)), channels + alive.size
    products = [(f"{_bits(layer, weight)}x{_bits(layer, given)}", count) for count, weight, given in _products(layer, shape)]
    macs = macs_by_width((width, steps * count) for width, count in products)
    return LayerSummary(
        layer=layer.path or layer.name,
        class_name=type(layer).__name__,
        input=_input(layer) if macs or kernels else "",
        kernel=", ".join(dict.fromkeys(_described(layer, argument) for _, _, argument, _ in kernels)),
        weights=numbers,
        kernel_bytes=packed,
        bytes=packed + 4 * rest,
        macs=sum(macs.values()),
        macs_by_width=macs,
        ones=float(np.mean(np.concatenate([np.abs(c).ravel() == 1 for c in codes]))) if codes else None,
        dead_channels=dead,
        channels=channels,
    )


def _kernels(layer) -> Iterator[tuple[Any, int, str | None, set[int]]]:
    """Of every kernel: the tensor, the bits of a weight, the argument of its quantizer, the axes of its channels."""
    if isinstance(layer, QuantizedLayer):
        for argument in layer.quantized_weights:
            kernel = tf.convert_to_tensor(layer._weight(argument))
            quantizer = getattr(layer, argument)
            bits = quantizer.spec.bits if isinstance(quantizer, Quantizer) else FLOAT_BITS
            axes = (-2, -1) if argument == "depthwise_quantizer" else layer.output_axes
            yield kernel, bits, argument, {axis % len(kernel.shape) for axis in axes}
        return
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings"):
        variable = getattr(layer, name, None)
        if isinstance(variable, keras.Variable) and any(variable is each for each in layer._trainable_variables):
            yield variable, FLOAT_BITS, None, set()


def _integers(layer, argument, kernel):
    """The integers of a quantized kernel, `None` of another."""
    if argument is None or not isinstance(getattr(layer, argument), Quantizer):
        return None
    return layer._factors(argument, kernel, False)[0].numpy()


def _described(layer, argument):
    quantizer = None if argument is None else getattr(layer, argument)
    if quantizer is None:
        return layer.dtype
    return f"{quantizer.spec.bits} {quantizer.spec.encoding}" if isinstance(quantizer, Quantizer) else "function"


def _input(layer):
    """What the input is quantized to, or its type."""
    for argument in ("input_quantizer", "query_quantizer"):
        quantizer = getattr(layer, argument, None)
        if isinstance(quantizer, Quantizer):
            return f"{quantizer.spec.bits} {quantizer.spec.encoding}"
    return _input_type(layer).name


def _input_type(layer):
    tensors = layer._inbound_nodes[0].input_tensors if layer._inbound_nodes else ()
    return tf.as_dtype(tensors[0].dtype if tensors else layer.compute_dtype)


def _bits(layer, argument):
    """The bits of what a quantizer's argument is for, whether the layer has one or not."""
    quantizer = getattr(layer, argument, None)
    if isinstance(quantizer, Quantizer):
        return quantizer.spec.bits
    return 8 * _input_type(layer).size if argument == "input_quantizer" else FLOAT_BITS


def _shape(layer, name="input_shape"):
    """The shape that a layer was built for; what is unknown is 1."""
    config = layer.get_build_config() or {}
    shape = config.get(name) or config.get("shapes_dict", {}).get(name)
    return None if shape is None else [size or 1 for size in shape]


def _products(layer, shape) -> list[tuple[int, str, str]]:
    """The products for one example of this shape, of a recurrent cell for one step.

    Each with its multiply-adds, the argument for the quantizer of its weights, and that for the one of its input.
    """
    if isinstance(layer, (QuantizedCell, keras.layers.LSTMCell, keras.layers.GRUCell)):
        return [
            (math.prod(layer.kernel.shape), "kernel_quantizer", "input_quantizer"),
            (math.prod(layer.recurrent_kernel.shape), "recurrent_quantizer", "state_quantizer"),
        ]
    if isinstance(layer, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)):
        return _products_of_attention(layer)
    if shape is None:
        return []
    if isinstance(layer, keras.layers.EinsumDense):
        return [(_einsum_macs(layer.equation, shape, layer.kernel.shape), "kernel_quantizer", "input_quantizer")]
    if isinstance(layer, keras.layers.Dense):
        places = math.prod(shape[1:-1])
        return [(places * math.prod(layer.kernel.shape), "kernel_quantizer", "input_quantizer")]
    if not hasattr(layer, "rank") or not hasattr(layer, "strides"):
        return []
    transposed = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
    sizes = shape if isinstance(layer, transposed) else layer.compute_output_shape(tuple(shape))
    places = math.prod(sizes[1:-1] if layer.data_format == "channels_last" else sizes[2:])
    if hasattr(layer, "depthwise_kernel"):
        depthwise, pointwise = (places * math.prod(each.shape) for each in (layer.depthwise_kernel, layer.pointwise_kernel))
        return [
            (depthwise, "depthwise_quantizer", "input_quantizer"),
            (pointwise, "pointwise_quantizer", "intermediate_quantizer"),
        ]
    argument = "depthwise_quantizer" if hasattr(layer, "depthwise_quantizer") else "kernel_quantizer"
    return [(places * math.prod(layer.kernel.shape), argument, "input_quantizer")]


def _einsum_macs(equation, shape, kernel):
    inputs, weights, outputs = equation.replace(" ", "").replace("->", ",").split(",")
    elided = len(shape) - len(inputs.replace("...", ""))
    # Digits are no letters of an equation.
    sizes = dict(zip(inputs.replace("...", "".join(map(str, range(elided)))), shape, strict=True))
    del sizes[next(iter(sizes))]
    sizes.update(zip(weights, kernel, strict=True))
    return math.prod(sizes.values())


def _products_of_attention(layer):
    """The two products of attention; the projections are layers of their own."""
    query, value = _shape(layer, "query_shape"), _shape(layer, "value_shape")
    if query is None:
        return []
    value = value or query
    heads = getattr(layer, "num_heads", None) or layer.num_query_heads
    sizes = (layer.key_dim, layer.value_dim) if hasattr(layer, "key_dim") else (layer.head_dim, layer.head_dim)
    pairs = heads * math.prod(query[1:-1]) * math.prod(value[1:-1])
    arguments = (("key_quantizer", "query_quantizer"), ("value_quantizer", "scores_quantizer"))
    return [(pairs * size, *names) for size, names in zip(sizes, arguments, strict=True)]
