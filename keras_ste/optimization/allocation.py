"""Widths for each layer: how much each one matters, and which to choose under a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.model_summary import summary
from keras_ste.optimization import schemes
from keras_ste.optimization.calibration import calibrate
from keras_ste.optimization.observing import examples, products, quantizers_off
from keras_ste.optimization.quantize import quantize_model
from keras_ste.optimization.schemes import Scheme
from keras_ste.plotting import new_figure

COSTS = ("bytes", "macs")


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """What becomes of a model's result when one layer alone is quantized.

    Attributes:
        errors: by layer and width of its weights, the mean squared change of the result over its variance.
        bytes: by layer and width, the bytes of its weights.
        macs: by layer and width, its multiply-adds times the bits of weight and input.
        inputs: the width of the inputs of all layers.
    """

    errors: Mapping[str, Mapping[int, float]]
    bytes: Mapping[str, Mapping[int, float]]
    macs: Mapping[str, Mapping[int, float]]
    inputs: int


@dataclasses.dataclass(frozen=True)
class Allocation:
    """A width for each layer.

    Attributes:
        widths: bits of the weights, by the name of the layer.
        cost: what they cost together.
        error: the sum of what each of them does by itself.
        inputs: the width of the inputs of all layers.
    """

    widths: Mapping[str, int]
    cost: float
    error: float
    inputs: int = 8

    def scheme(self) -> Scheme:
        """The scheme that quantizes each layer so: `lsq` of its width."""
        scheme = Scheme("allocation", None, first=None, last=None, embeddings=None)
        for name, width in self.widths.items():
            scheme = scheme.where(_Named(name), schemes.lsq(width, self.inputs).default)
        return scheme


@dataclasses.dataclass(frozen=True)
class _Named:
    """A rule's match for a layer of this name."""

    name: str

    def __call__(self, layer: keras.layers.Layer) -> bool:
        return layer.name == self.name


def sensitivity(
    model: keras.Model, data: Any, widths: Sequence[int] = (2, 3, 4, 6, 8), inputs: int = 8, samples: int = 128
) -> Sensitivity:
    """Measures for each layer what quantizing it alone does to the result of a trained model.

    The layers are those that compute products, with weights in `lsq` of each width, calibrated; what the others
    compute is in float. No labels are needed.

    Args:
        model: a trained Keras 3 model whose layers have names of their own.
        data: its inputs, as for `calibrate`.
        widths: the bits of weights to try.
        inputs: the bits of the inputs.
        samples: how many examples are looked at.

    Raises:
        ValueError: no widths, or two layers of one name; and as by `quantize_model` and `calibrate`.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
    >>> found = sensitivity(model, np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), widths=(2, 8))
    >>> found.errors["a"][8] < found.errors["a"][2], found.bytes["a"]
    (True, {2: 3.0, 8: 12.0})
    """
    if not widths:
        raise ValueError("sensitivity needs a width at least.")
    batch = keras.tree.map_structure(tf.convert_to_tensor, examples(data, samples))
    errors: dict[str, dict[int, float]] = {}
    sizes: dict[str, dict[int, float]] = {}
    macs: dict[str, dict[int, float]] = {}
    for width in widths:
        each = schemes.lsq(width, inputs).default
        quantized = quantize_model(model, Scheme("width", each, first=each, last=each, embeddings=None))
        calibrate(quantized, data, verbose=0)
        layers = products(quantized)
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            raise ValueError(f"sensitivity tells layers by their names, which have to differ. Received: {names}.")
        rows = {row.layer: row for row in summary(quantized).rows}
        with quantizers_off(quantized):
            expected = _flat(quantized(batch, training=False))
        for layer in layers:
            with quantizers_off(quantized, but=layer):
                change = np.mean(np.square(_flat(quantized(batch, training=False)) - expected))
            errors.setdefault(layer.name, {})[width] = float(change / max(np.var(expected), 1e-30))
            row = rows[layer.path or layer.name]
            sizes.setdefault(layer.name, {})[width] = float(row.kernel_bytes)
            macs.setdefault(layer.name, {})[width] = float(row.macs * width * inputs)
    return Sensitivity(errors, sizes, macs, inputs)


def _flat(results):
    return np.concatenate([np.asarray(result).ravel() for result in keras.tree.flatten(results)])


def pareto_front(found: Sensitivity, cost: Any = "bytes") -> list[Allocation]:
    """Allocations from the cheapest to the dearest, each with less error than the one before.

    It begins with the cheapest width everywhere and changes, step by step, the layer's that takes off the most error
    for its cost: errors of layers are taken to add up, as in Z. Dong et al., *HAWQ-V2*, arXiv:1911.03852.

    Args:
        found: what `sensitivity` measured.
        cost: `"bytes"`; `"macs"`, which counts multiply-adds times the bits of both; or what each width costs each
            layer, `{"conv": {2: 0.1, 8: 0.3}, ...}`, as `measured_times` gives it. A wider one may be cheaper.

    Raises:
        ValueError: an unknown cost, or one that leaves out a layer or a width.
    """
    costs = _costs(found, cost)
    chosen = _cheapest(found, costs)
    front = [_allocation(found, costs, chosen)]
    while True:
        best, ratio = None, 0.0
        for name, width in chosen.items():
            for other, error in found.errors[name].items():
                gain = found.errors[name][width] - error
                # Never below 0: what was cheaper and had less error was chosen before.
                price = costs[name][other] - costs[name][width]
                if gain > 0 and gain / max(price, 1e-30) > ratio:
                    best, ratio = (name, other), gain / max(price, 1e-30)
        if best is None:
            return front
        chosen[best[0]] = best[1]
        front.append(_allocation(found, costs, chosen))


def allocate(found: Sensitivity, budget: float, cost: Any = "bytes") -> Allocation:
    """The best widths of the Pareto front that keep to a budget, and what else still fits into it.

    Args:
        found: what `sensitivity` measured.
        budget: of the weights in bytes, or of what `cost` counts.
        cost: as for `pareto_front`.

    Raises:
        ValueError: the cheapest widths exceed the budget; and as by `pareto_front`.
    """
    costs = _costs(found, cost)
    front = [allocation for allocation in pareto_front(found, cost) if allocation.cost <= budget]
    if not front:
        least = _allocation(found, costs, _cheapest(found, costs))
        raise ValueError(f"The cheapest widths cost {least.cost:g} already. Received: budget={budget!r}.")
    chosen = dict(front[-1].widths)
    for name, errors in found.errors.items():
        rest = budget - _allocation(found, costs, chosen).cost + costs[name][chosen[name]]
        fitting = [width for width in errors if costs[name][width] <= rest]
        chosen[name] = min(fitting, key=lambda width, errors=errors: errors[width])
    return _allocation(found, costs, chosen)


def plot_pareto(front: Sequence[Allocation], label: str = "mixed widths", axes: Any = None) -> Any:
    """Draws error over cost of allocations; `axes` of matplotlib to draw into, or a new figure.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    axes = new_figure().subplots() if axes is None else axes
    axes.plot([each.cost for each in front], [each.error for each in front], marker="o", label=label)
    axes.set_xlabel("cost")
    axes.set_ylabel("sum of errors")
    axes.set_yscale("log")
    axes.legend()
    return axes.figure


def _costs(found, cost):
    if isinstance(cost, str):
        if cost not in COSTS:
            raise ValueError(f"A cost must be one of {', '.join(COSTS)}, or a mapping. Received: {cost!r}.")
        return getattr(found, cost)
    missing = [
        (name, width) for name, errors in found.errors.items() for width in errors if width not in cost.get(name, {})
    ]
    if missing:
        raise ValueError(f"The cost leaves out these layers and widths: {missing}.")
    return cost


def _cheapest(found, costs):
    """For each layer the width that costs the least; of several, the one of the least error."""
    return {
        name: min(errors, key=lambda width, name=name, errors=errors: (costs[name][width], errors[width]))
        for name, errors in found.errors.items()
    }


def _allocation(found, costs, widths):
    cost = sum(costs[name][width] for name, width in widths.items())
    error = sum(found.errors[name][width] for name, width in widths.items())
    return Allocation(dict(widths), float(cost), float(error), found.inputs)
