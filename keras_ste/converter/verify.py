"""Runs a converted file beside the Keras model it was made of, on the same samples."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.codes import codes_of
from keras_ste.converter.difference import Difference, difference
from keras_ste.converter.graph import MATMUL_OPS, Graph, Model, Op, Tensor, TensorType
from keras_ste.converter.packing import unpack_codes
from keras_ste.converter.samples import batches
from keras_ste.converter.trace import Traced
from keras_ste.converter.writer import write_model
from keras_ste.layers.observe import Call, observed
from keras_ste.runtime.interpreter import Interpreter


@dataclasses.dataclass(frozen=True)
class Verification:
    """How the file compares with the Keras model.

    Attributes:
      samples: their number.
      tolerance: what a difference of floats may be, times the largest magnitude of the tensor where that is
        above 1, and what one of codes and integers may be.
      outputs: a row for each output of the model.
      layers: where asked for, rows for each packed layer, in running order: what it reads, and what it puts
        out where the file has that (a layer's sums that become the next one's codes are compared as
        those).
      skipped: `(layer, reason)` of packed layers that could not be compared.
    """

    samples: int
    tolerance: float
    outputs: tuple[Difference, ...]
    layers: tuple[Difference, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def first_differing(self) -> Difference | None:
        """The first row of a layer with a difference above the tolerance."""
        return next((row for row in self.layers if row.exceeds), None)

    @property
    def passed(self) -> bool:
        """Whether no difference is above the tolerance."""
        return not any(row.exceeds for row in (*self.outputs, *self.layers))

    def to_dict(self) -> dict[str, Any]:
        """The same as plain Python values."""
        first = self.first_differing
        return {**dataclasses.asdict(self), "passed": self.passed, "first_differing": first and first.name}

    def complaint(self) -> str:
        """What is wrong: the rows above the tolerance."""
        lines = [f"on {self.samples} samples the file differs from the Keras model by more than {self.tolerance:g}:"]
        if self.first_differing:
            lines.append(f"  the first differing layer: {self.first_differing}")
        lines += [f"  {row}" for row in self.outputs if row.exceeds]
        if not self.layers:
            lines.append("  verify_layers=True says at which layer it begins")
        return "\n".join(lines)

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"verified on {self.samples} samples, tolerance {self.tolerance:g}: {verdict}"]
        lines += [f"  {row}" for row in (*self.outputs, *self.layers)]
        lines += [f"  {layer}: not compared, {reason}" for layer, reason in self.skipped]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Watched:
    """A packed layer's op, and its place among the ops that are watched."""

    op: Op
    tensor: Tensor
    is_input: bool


def verify_file(
    content: bytes,
    graph: Model,
    traced: Traced,
    emitted: Sequence[Tensor],
    data: Any,
    tolerance: float,
    layers: bool,
) -> Verification:
    """Compares a file with the model.

    Args:
      content: the file.
      graph: what it was written from.
      traced: the trace of the model.
      emitted: what the layers put out before the passes. A tensor that is still there after them holds just that.
      data: samples, as `samples.batches` takes them.
      tolerance: see `Verification`.
      layers: whether to compare layer by layer.
    """
    (signature,) = graph.signatures
    names = list(signature.inputs)
    runner = _Runner(content, traced, names)
    watched = _watched(graph.graphs[signature.graph], emitted) if layers else []
    exposed = _Runner(_exposed(graph, signature.graph, watched), traced, names) if watched else None
    outputs: dict[str, Difference] = {}
    pairs: dict[tuple[int, int], Difference] = {}
    samples = 0
    for batch in batches(data, traced.inputs):
        with observed() as calls:
            expected = traced.serve(*(tf.constant(array) for array in runner.as_file_reads(batch)))
        for name, found in zip(traced.outputs, runner.run(batch), strict=True):
            row = _output(name, expected[name].numpy(), found, tolerance, samples)
            outputs[name] = outputs[name].then(row) if name in outputs else row
        if exposed is not None:
            found = exposed.run(batch)[len(expected) :]
            _compare_layers(pairs, watched, [value for value, _ in found], calls, traced, tolerance, samples)
        samples += len(batch[0])
    rows, skipped = _nearest(pairs, watched)
    if layers:
        skipped += _in_loops(graph, signature.graph)
    return Verification(samples, tolerance, tuple(outputs.values()), rows, skipped)


class _Runner:
    """The file in the interpreter."""

    def __init__(self, content: bytes, traced: Traced, names: Sequence[str]):
        self._interpreter = Interpreter(model_content=content)
        self._positions = [[spec.name for spec in traced.inputs].index(name) for name in names]
        self._shapes: list[tuple[int, ...]] = []

    def _details(self) -> list[tuple[int, dict]]:
        return list(zip(self._positions, self._interpreter.get_input_details(), strict=True))

    def as_file_reads(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        """The batch, what the file reads as integers rounded to what these stand for."""
        batch = list(batch)
        for position, detail in self._details():
            scale, zero_point = detail["quantization"]
            if scale and batch[position].dtype.kind == "f":
                codes = _codes(batch[position], scale, zero_point, detail["dtype"])
                batch[position] = ((codes.astype(np.float32) - zero_point) * np.float32(scale)).astype(np.float32)
        return batch

    def run(self, batch: list[np.ndarray]) -> list[tuple[np.ndarray, tuple[float, int]]]:
        """The outputs, each with its scale, 0 where it has none, and zero point."""
        shapes = [array.shape for array in batch]
        if shapes != self._shapes:
            for position, detail in self._details():
                self._interpreter.resize_tensor_input(detail["index"], shapes[position], strict=True)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for position, detail in self._details():
            scale, zero_point = detail["quantization"]
            array = batch[position]
            if scale:
                array = _codes(array, scale, zero_point, detail["dtype"])
            self._interpreter.set_tensor(detail["index"], array.astype(detail["dtype"]))
        self._interpreter.invoke()
        details = self._interpreter.get_output_details()
        return [(self._interpreter.get_tensor(detail["index"]), detail["quantization"]) for detail in details]


def _codes(values: np.ndarray, scale: float, zero_point: int, dtype: type) -> np.ndarray:
    """Floats as the integers of a quantized tensor."""
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)


def _output(
    name: str, expected: np.ndarray, found: tuple[np.ndarray, tuple[float, int]], tolerance: float, samples: int
) -> Difference:
    value, (scale, zero_point) = found
    if scale and expected.dtype.kind == "f" and value.dtype.kind in "iu":
        expected = _codes(expected, scale, zero_point, value.dtype)
    return difference(name, "output", expected, value, tolerance, samples)


def _watched(graph: Graph, emitted: Sequence[Tensor]) -> list[_Watched]:
    """The tensors of the file that are a layer's inputs or outputs, in running order."""
    still = {id(tensor) for tensor in emitted}
    watched = []
    for op in graph.select(*MATMUL_OPS):
        if op.layer and not op.inputs[0].constant:
            # What lies between two products of one layer is nothing that it is called on or returns.
            if _source(graph, op) != op.layer:
                watched.append(_Watched(op, op.inputs[0], True))
            result = op.outputs[0]
            inside = any(reader.layer == op.layer for reader in graph.consumers(result))
            if id(result) in still and result.type == TensorType.FLOAT32 and not inside:
                watched.append(_Watched(op, result, False))
    return watched


def _source(graph: Graph, op: Op) -> str | None:
    """The layer that a product's input comes from, behind the op that quantizes it for this product."""
    producer = graph.producer(op.inputs[0])
    if producer is not None and producer.name == "SteQuantize":
        producer = graph.producer(producer.inputs[0])
    return None if producer is None else producer.layer


def _in_loops(graph: Model, main: int) -> tuple[tuple[str, str], ...]:
    """The packed layers whose ops are in a subgraph of their own."""
    names = [op.layer for i, each in enumerate(graph.graphs) if i != main for op in each.select(*MATMUL_OPS) if op.layer]
    return tuple((name, "it runs in a loop") for name in dict.fromkeys(names))


def _exposed(graph: Model, main: int, watched: Sequence[_Watched]) -> bytes:
    """The same file with the watched tensors among its outputs, behind the model's."""
    graphs = list(graph.graphs)
    outputs = [*graphs[main].outputs, *(item.tensor for item in watched)]
    graphs[main] = dataclasses.replace(graphs[main], outputs=outputs)
    return write_model(dataclasses.replace(graph, graphs=graphs, signatures=[]))


def _found(item: _Watched, value: np.ndarray) -> tuple[str, np.ndarray]:
    """Which tensor that is, and its values; of codes what they are worth."""
    if not item.is_input:
        return "output", value
    if item.tensor.type == TensorType.FLOAT32:
        return "input", value
    options = item.op.options
    if item.tensor.type == TensorType.INT32:
        return "input codes", unpack_codes(value, options["channels"], codes_of(options, "input"))
    return "input codes", value.astype(np.int32) - options.get("input_zero_point", 0)


def _expected(call: Call, kind: str) -> np.ndarray:
    """The same of a call of the layer."""
    if kind == "output":
        values = call.outputs.numpy()
    elif kind == "input":
        values = tf.cast(call.inputs, tf.float32).numpy()
    else:
        integers, _ = call.layer._input_factors(call.inputs, training=False)
        values = integers.numpy().astype(np.int32)
    # The ops have the channels last, wherever the layer has them.
    return np.moveaxis(values, 1, -1) if getattr(call.layer, "data_format", None) == "channels_first" else values


def _compare_layers(
    pairs: dict[tuple[int, int], Difference],
    watched: Sequence[_Watched],
    found: Sequence[np.ndarray],
    calls: Sequence[Call],
    traced: Traced,
    tolerance: float,
    samples: int,
) -> None:
    """Compares each watched tensor with each call of its layer, the sizes of which agree."""
    of_layer = defaultdict(list)
    for call in calls:
        of_layer[id(call.layer)].append(call)
    for position, (item, value) in enumerate(zip(watched, found, strict=True)):
        kind, value = _found(item, value)
        for number, call in enumerate(of_layer[id(traced.layers.get(item.op.layer))]):
            if kind == "input codes" and call.layer.input_quantizer is None and call.inputs.dtype.is_floating:
                continue  # int8 that the converter made of floats
            expected = _expected(call, kind)
            if expected.size != value.size or (expected.ndim == 5 and expected.shape[-1] != value.shape[-1]):
                continue  # another call; or planes of a volume, which are read as channels
            row = difference(item.op.layer, kind, expected, value.reshape(expected.shape), tolerance, samples)
            key = (position, number)
            pairs[key] = pairs[key].then(row) if key in pairs else row


def _nearest(
    pairs: dict[tuple[int, int], Difference], watched: Sequence[_Watched]
) -> tuple[tuple[Difference, ...], tuple[tuple[str, str], ...]]:
    """Of a layer that is called several times, the call that each tensor is nearest to; and what has none."""
    rows, skipped = [], []
    for position, item in enumerate(watched):
        candidates = [row for (place, _), row in pairs.items() if place == position]
        if candidates:
            rows.append(min(candidates, key=lambda row: (row.differing, row.largest)))
        else:
            skipped.append((item.op.layer, "its call was not seen, or works on another number of elements"))
    return tuple(rows), tuple(dict.fromkeys(skipped))
