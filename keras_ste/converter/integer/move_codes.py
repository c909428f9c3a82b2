"""Lets what is quantized to int8 in training be so before it is pooled or reshaped, not after."""

from __future__ import annotations

from keras_ste.converter.graph import Graph, Op, Tensor, TensorType
from keras_ste.converter.integer.parameters import Parameters, describe
from keras_ste.converter.integer.ste_ops import int8_codes
from keras_ste.converter.passes.drop_reshapes import RESHAPES
from keras_ste.converter.passes.move_quantize import quantize_before_reshape


def move_codes(graph: Graph) -> None:
    """MAX_POOL_2D → SteQuantize becomes SteQuantize → MAX_POOL_2D on int8, which is the same: one factor rounds all.

    Behind the layer before, the SteQuantize can become that layer's rounding.
    """
    for quantize in graph.select("SteQuantize"):
        codes = int8_codes(quantize)
        while codes is not None and (op := _before(graph, quantize)) is not None:
            if op.name == "MAX_POOL_2D":
                _swap(graph, op, quantize, codes.parameters)
            elif quantize_before_reshape(graph, quantize, op):
                graph.remove(op)
                describe(quantize.outputs[0], codes.parameters.scale, codes.parameters.zero_point)
            else:
                break


def _before(graph: Graph, quantize: Op) -> Op | None:
    source = quantize.inputs[0]
    op = graph.producer(source)
    keeps = op is not None and op.name in ("MAX_POOL_2D", *RESHAPES) and op.activation == "NONE"
    alone = graph.only_reader(source) is quantize
    return op if keeps and alone and op.inputs[0].type == TensorType.FLOAT32 and op.inputs[0].signature[-1] > 0 else None


def _swap(graph: Graph, op: Op, quantize: Op, parameters: Parameters) -> None:
    inner, outer = Tensor(f"{op.inputs[0].name}/codes", TensorType.INT8, op.inputs[0].signature), quantize.outputs[0]
    for tensor in (inner, outer):
        describe(tensor, parameters.scale, parameters.zero_point)
    quantize.inputs[0], op.inputs[0] = op.inputs[0], inner
    quantize.outputs, op.outputs = [inner], [outer]
    quantize.options["channels"] = inner.signature[-1]
    graph.remove(quantize)
    graph.insert_before(op, quantize)
