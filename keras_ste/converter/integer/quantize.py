"""From a graph of floats between ops of this package to one of int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_ste.converter.graph import MATMUL_OPS, STE_OPS, Graph, Model, Op, Tensor, TensorType
from keras_ste.converter.integer import edges
from keras_ste.converter.integer.bounds import all_channels, known_bounds
from keras_ste.converter.integer.builtin_ops import has_int8, quantize_constants
from keras_ste.converter.integer.calibration import calibrate
from keras_ste.converter.integer.choose import choose_parameters
from keras_ste.converter.integer.fold_chains import fold_chains
from keras_ste.converter.integer.parameters import HIGHEST, LOWEST, Parameters, describe, set_integer
from keras_ste.converter.integer.ste_ops import as_builtin, int8_codes, put_int8, put_rounded, read_int8, rounds
from keras_ste.converter.passes.fuse_tails import fuse_roundings

_INTEGER_KINDS = {"int8": TensorType.INT8, "uint8": TensorType.UINT8}


def make_integer(
    model: Model, inputs: Sequence[tf.TensorSpec], input_type: str | None, output_type: str | None, data: Any
) -> None:
    """Makes every tensor of floats int8, in place.

    Args:
      model: the graph, fused, its weights not yet packed.
      inputs: the model's, in the order of the graph's.
      input_type, output_type: "int8" or "uint8", the type of inputs and outputs of floats (and of inputs of 8-bit
        integers); None leaves them as they are.
      data: a representative data set, or None: then ranges have to follow from the graph.

    Raises:
      ValueError: an op has no int8 form, a range is not known, or the data are none for this model.
      TypeError: the data are no samples.
    """
    if len(model.graphs) != 1:
        raise ValueError("a model with loops or conditions, as a recurrent layer is, cannot be made integer")
    (graph,) = model.graphs
    for op in graph.select("SteQuantize"):
        _describe_codes(op)
    fuse_roundings(graph)
    fold_chains(graph)
    ranges = {key: tuple(float(end[0]) for end in all_channels(b)) for key, b in known_bounds(graph).items()}
    if data is not None:
        ranges |= calibrate(model, data, inputs)
    kinds = [_INTEGER_KINDS.get(kind) for kind in (input_type, output_type)]
    _check_ops(graph)
    edges.convert_pixels(graph, kinds[0])
    behind, before = edges.part_inputs(graph, kinds[0]), edges.part_outputs(graph, kinds[1])
    ranges |= {inner: ranges[key] for key, inner in (behind | before).items() if key in ranges}
    stays = {t for t in (*graph.inputs, *graph.outputs) if t in behind or t in before}
    stays |= {t for t in graph.outputs if kinds[1] is None}
    parameters = choose_parameters(graph, ranges, stays)
    _rewrite(graph, parameters)
    edges.join_inputs(graph, behind, kinds[0], parameters)
    edges.join_outputs(graph, before, kinds[1], parameters)


def _describe_codes(quantize: Op) -> None:
    """Writes into the file what the codes of a trained quantizer stand for."""
    codes = int8_codes(quantize)
    if codes is not None:
        describe(quantize.outputs[0], codes.parameters.scale, codes.parameters.zero_point)


def _check_ops(graph: Graph) -> None:
    for op in graph.ops:
        floats = [t for t in (*op.inputs, *op.outputs) if t is not None and t.type == TensorType.FLOAT32]
        pixels = op.name == "CAST" and op.inputs[0].type in (TensorType.INT8, TensorType.UINT8)
        if floats and op.name not in STE_OPS and not has_int8(op) and not pixels:
            raise ValueError(f"{op.name}, which computes '{floats[-1].name}', has no int8 form in TFLite")


def _rewrite(graph: Graph, parameters: dict[Tensor, Parameters]) -> None:
    for op in list(graph.ops):
        if op.name in STE_OPS:
            _rewrite_ste(graph, op, parameters)
        elif any(tensor in parameters for tensor in (*op.inputs, *op.outputs)):
            quantize_constants(op, parameters)
    for tensor in graph.tensors():
        if tensor in parameters and tensor.type == TensorType.FLOAT32:
            set_integer(tensor, parameters[tensor])


def _rewrite_ste(graph: Graph, op: Op, parameters: dict[Tensor, Parameters]) -> None:
    source, result = op.inputs[0], op.outputs[0]
    codes = int8_codes(op)
    whole = codes is not None and (codes.low, codes.high) == (LOWEST, HIGHEST)
    if whole and parameters.get(source) == codes.parameters:
        # Its readers read codes from now on, not floats.
        set_integer(source, codes.parameters)
        graph.replace(result, source)
        graph.remove(op)
        return
    if source.type == TensorType.FLOAT32 and source in parameters:
        read_int8(op, parameters[source])
    if rounds(op) and result in parameters:
        put_rounded(op, parameters[result])
    if op.name in MATMUL_OPS and op.options["output"] == "float32" and result in parameters:
        builtin = None
        if source.type in (TensorType.FLOAT32, TensorType.INT8) and source in parameters:
            builtin = as_builtin(op, parameters[source])
        if builtin is None:
            put_int8(op, parameters[result])
        else:
            graph.ops[graph.ops.index(op)] = builtin
