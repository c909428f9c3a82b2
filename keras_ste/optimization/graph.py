"""What a model's graph says of its layers: where they stand, and what enters them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

# Of inputs without negative values these make none.
_PASSING = (
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.RepeatVector,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.UpSampling3D,
    layers.Identity,
    layers.Add,
    layers.Average,
    layers.Concatenate,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
)
_NONNEGATIVE = tuple(
    keras.activations.get(name)
    for name in ("relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential")
)
# A state or an average of values that an activation has been put on: it says nothing of the result.
_WITH_INNER_ACTIVATION = (layers.RNN, layers.MultiHeadAttention, layers.GroupQueryAttention)


@dataclasses.dataclass
class Use:
    """How a layer is used, at all places together.

    Attributes:
        nonnegative: nothing that enters it is negative.
        integers: what enters it are integers.
        first: nothing that quantizes is between the model's inputs and it.
        last: nothing that quantizes is between it and the model's outputs, and no other such layer is run later.
        calls: at how many places.
    """

    nonnegative: bool = True
    integers: bool = True
    first: bool = False
    last: bool = False
    calls: int = 0


def nodes_of(model: keras.Model) -> list[Any]:
    """The calls of layers and ops that make up a functional model, in running order, without its inputs."""
    by_depth = model._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in nodes if not node.is_input]


def uses(
    model: keras.Model,
    quantizes: Callable[[Any], bool],
    nonnegative: Sequence[bool],
    first: bool,
    last: bool,
) -> dict[int, Use]:
    """How every layer of a functional model is used, by its id.

    Args:
        model: the model.
        quantizes: whether a layer, or one within it, can be quantized.
        nonnegative: for each input, whether its values are.
        first: nothing that quantizes stands before the model's inputs.
        last: nothing that quantizes stands behind its outputs.
    """
    nodes = nodes_of(model)
    found = {id(node.operation): Use() for node in nodes}
    without_negatives = {id(x) for x, is_so in zip(model.inputs, nonnegative, strict=True) if is_so}
    raw = {id(x) for x in model.inputs} if first else set()
    for node in nodes:
        use, operation = found[id(node.operation)], node.operation
        inputs = [id(x) for x in node.input_tensors]
        use.calls += 1
        use.nonnegative &= all(x in without_negatives for x in inputs)
        use.integers &= all(not x.dtype.startswith(("float", "bfloat")) for x in node.input_tensors)
        if quantizes(operation):
            use.first |= any(x in raw for x in inputs)
        elif all(x in raw for x in inputs):
            raw.update(id(x) for x in node.outputs)
        if _makes_nonnegative(operation, all(x in without_negatives for x in inputs)):
            without_negatives.update(id(x) for x in node.outputs)
    if last:
        for operation in _last(model, nodes, quantizes):
            found[id(operation)].last = True
    return found


def _last(model, nodes, quantizes):
    """For each output, the operation that quantizes and is run last of those it depends on directly."""
    producers = {id(x): (place, node) for place, node in enumerate(nodes) for x in node.outputs}
    for output in model.outputs:
        reached, seen, latest = [output], set(), (-1, None)
        while reached:
            x = reached.pop()
            if id(x) in seen or id(x) not in producers:
                continue
            seen.add(id(x))
            place, node = producers[id(x)]
            if quantizes(node.operation):
                latest = max(latest, (place, node), key=lambda found: found[0])
            else:
                reached.extend(node.input_tensors)
        if latest[1] is not None:
            yield latest[1].operation


def _makes_nonnegative(operation, inputs_are):
    activation = getattr(operation, "activation", None)
    if isinstance(operation, layers.ReLU):
        return operation.negative_slope == 0 and operation.threshold >= 0
    if isinstance(operation, layers.Softmax):
        return True
    if activation is not None and not isinstance(operation, _WITH_INNER_ACTIVATION):
        return activation in _NONNEGATIVE
    return inputs_are and type(operation) in _PASSING


def batch_norms_behind(model: keras.Model, folds: Callable[[Any], bool]) -> dict[int, keras.layers.BatchNormalization]:
    """For each layer of a functional model that `folds`, by its id: the normalization that alone reads its result."""
    nodes = nodes_of(model)
    readers: dict[int, list] = {}
    for node in nodes:
        for x in node.input_tensors:
            readers.setdefault(id(x), []).append(node)
    outputs = {id(x) for x in model.outputs}
    calls = [id(node.operation) for node in nodes]
    found = {}
    for node in nodes:
        (result, *others) = node.outputs
        if others or id(result) in outputs or not folds(node.operation) or calls.count(id(node.operation)) > 1:
            continue
        behind = readers.get(id(result), [])
        if len(behind) == 1 and type(behind[0].operation) is layers.BatchNormalization:
            batch_norm = behind[0].operation
            if calls.count(id(batch_norm)) == 1:
                found[id(node.operation)] = batch_norm
    return found
