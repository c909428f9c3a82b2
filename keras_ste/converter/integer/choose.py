"""Chooses scale and zero point of every tensor of floats that becomes int8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_ste.converter.graph import Graph, Op, Tensor, TensorType
from keras_ste.converter.integer.builtin_ops import FIXED_OUTPUTS, MOVING, requantize
from keras_ste.converter.integer.parameters import Parameters, finite, integer_tensor, parameters_of_range
from keras_ste.converter.integer.ste_ops import int8_codes, quantizer_range

Ranges = dict[Tensor, tuple[float, float]]


def choose_parameters(graph: Graph, ranges: Ranges, stays: set[Tensor]) -> dict[Tensor, Parameters]:
    """Chooses the parameters of each tensor, and puts QUANTIZE where an op wants other ones than its input has.

    Args:
      graph: the graph.
      ranges: the least and the greatest number of each tensor of floats.
      stays: what stays float32.

    Raises:
      ValueError: a range that is needed is not known.
    """
    choice = _Choice(graph, ranges, stays)
    choice.backwards()
    choice.forwards()
    return choice.parameters


def _described(graph: Graph) -> dict[Tensor, Parameters]:
    """The int8 tensors that are already said to stand for something: the model's pixels."""
    found = {}
    for tensor in graph.tensors():
        said = None if tensor.raw is None else tensor.raw.quantization
        if tensor.type == TensorType.INT8 and not tensor.constant and said is not None and said.scale is not None:
            found[tensor] = Parameters(np.float32(said.scale[0]), int(said.zeroPoint[0]))
    return found


class _Choice:
    """The choice as it is made: `parameters` so far, and ranges where there are none yet."""

    def __init__(self, graph: Graph, ranges: Ranges, stays: set[Tensor]):
        self._graph, self._ranges, self._stays = graph, dict(ranges), stays
        self.parameters: dict[Tensor, Parameters] = _described(graph)

    def backwards(self) -> None:
        """What ops fix, what quantizers take, and what moves together with it: from readers to producers."""
        for op in self._graph.ops:
            if op.name in FIXED_OUTPUTS:
                self.parameters[op.outputs[0]] = FIXED_OUTPUTS[op.name]
        for tensor in self._floats():
            self._take_from_quantizers(tensor)
        for op in reversed(self._graph.ops):
            self._join(op)

    def forwards(self) -> None:
        """All others, in the order in which they are computed."""
        self._choose_all(self._graph.inputs)
        for op in list(self._graph.ops):
            self._choose_all(op.inputs)  # what is behind an input
            if op.name in MOVING:
                self._move(op)
            self._choose_all(op.outputs)

    def _choose_all(self, tensors: Sequence[Tensor | None]) -> None:
        for tensor in tensors:
            if self._is_float(tensor):
                self._choose(tensor)

    def _is_float(self, tensor: Tensor | None) -> bool:
        return (
            tensor is not None
            and not tensor.constant
            and tensor.type == TensorType.FLOAT32
            and tensor not in self._stays
        )

    def _floats(self) -> list[Tensor]:
        return [tensor for tensor in self._graph.tensors() if self._is_float(tensor)]

    def _take_from_quantizers(self, tensor: Tensor) -> None:
        """What only trained quantizers read has their codes, or reaches no further than they do."""
        readers = self._graph.consumers(tensor)
        if not readers or tensor in self._graph.outputs or any(op.name != "SteQuantize" for op in readers):
            return
        codes = {int8_codes(op) for op in readers}
        if len(codes) == 1 and None not in codes:
            self.parameters.setdefault(tensor, codes.pop().parameters)
            return
        ends = [quantizer_range(op) for op in readers]
        if None in ends:
            return
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        known = self._ranges.get(tensor, (low, high))
        self._ranges[tensor] = max(low, min(known[0], high)), min(high, max(known[1], low))

    def _join(self, op: Op) -> None:
        """Lets what an op moves have one range, so that it need not be rounded again on the way."""
        if op.name not in MOVING:
            return
        tensors = [t for t in (*op.inputs, *op.outputs) if self._is_float(t)]
        wanted = next((self.parameters[t] for t in op.outputs if t in self.parameters), None)
        if wanted is not None:
            for tensor in tensors:
                if len(self._graph.consumers(tensor)) == 1 and tensor not in self._graph.outputs:
                    self.parameters.setdefault(tensor, wanted)
            return
        if not tensors:
            return
        ends = [self._range(t) for t in tensors]
        constants = [t.data for t in op.inputs if t is not None and t.constant and t.type == TensorType.FLOAT32]
        ends += [(float(values.min()), float(values.max())) for values in constants if values.size]
        if op.name in ("MAX_POOL_2D", "RESHAPE", "TRANSPOSE"):  # the inputs' range is not made smaller by them
            ends = ends[:1]
        joined = min(low for low, _ in ends), max(high for _, high in ends)
        for tensor in tensors:
            self._ranges[tensor] = joined

    def _range(self, tensor: Tensor) -> tuple[float, float]:
        if tensor in self.parameters:
            return self.parameters[tensor].range
        return self._ranges.get(tensor, (float("-inf"), float("inf")))

    def _move(self, op: Op) -> None:
        """An op that moves integers: with one input its output has the input's parameters."""
        sources = [t for t in op.inputs if t is not None and not t.constant and t in self.parameters]
        outputs = [t for t in op.outputs if self._is_float(t)]
        if len(sources) == 1:
            for tensor in outputs:
                self.parameters.setdefault(tensor, self.parameters[sources[0]])
        for tensor in outputs[:1]:
            self._choose(tensor)
            wanted = self.parameters[tensor]
            for source in sources:
                if self.parameters[source] != wanted:
                    self._requantize(op, source, wanted)

    def _requantize(self, op: Op, source: Tensor, wanted: Parameters) -> None:
        target = integer_tensor(f"{source.name}/requantized", source, wanted)
        self._graph.insert_before(op, requantize(source, target))
        op.inputs = [target if each is source else each for each in op.inputs]
        self.parameters[target] = wanted

    def _choose(self, tensor: Tensor) -> None:
        if tensor in self.parameters:
            return
        low, high = self._range(tensor)
        if not (finite(low) and finite(high)):
            producer = self._graph.producer(tensor)
            origin = "an input" if producer is None else f"an output of {producer.name}"
            raise ValueError(
                f"the range of the tensor '{tensor.name}', {origin}, does not follow from the model: give convert() a "
                "representative_dataset"
            )
        self.parameters[tensor] = parameters_of_range(low, high)
