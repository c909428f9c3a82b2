"""Slices that only add axes, `x[:, None]`, spelt out: TFLite has no op for one of a tensor with several unknown sizes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2


def spell_out_new_axes(folder: str) -> None:
    """Puts ExpandDims in the place of the slices in a SavedModel that do nothing but add axes of size 1."""
    file = pathlib.Path(folder, "saved_model.pb")
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    functions = [each for graph in saved.meta_graphs for each in graph.graph_def.library.function]
    # Each of them, and not up to the first.
    if sum([_spell_out(function) for function in functions]):
        file.write_bytes(saved.SerializeToString(deterministic=True))


def _spell_out(function: function_pb2.FunctionDef) -> int:
    """How many slices of a function were replaced."""
    constants = {node.name: node for node in function.node_def if node.op == "Const"}
    nodes, found = [], 0
    for node in function.node_def:
        axes = _added_axes(node, constants) if node.op == "StridedSlice" else []
        nodes += _expansions(node, axes) if axes else [node]
        found += bool(axes)
    if found:
        kept = [node_def_pb2.NodeDef.FromString(node.SerializeToString()) for node in nodes]
        del function.node_def[:]
        function.node_def.extend(kept)
    return found


def _added_axes(node: Any, constants: dict[str, Any]) -> list[int]:
    """The axes that a slice adds, in an order in which they can be added; none where it does something else."""
    # Those that are 0 may be left out; asking the attributes for one would add it.
    masks = {
        name: node.attr[f"{name}_mask"].i if f"{name}_mask" in node.attr else 0
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    strides = constants.get(node.input[3].partition(":")[0])
    if not masks["new_axis"] or masks["shrink_axis"] or strides is None:
        return []
    strides = tf.make_ndarray(strides.attr["value"].tensor)
    new, elided, whole = (
        [bool(mask >> place & 1) for place in range(len(strides))]
        for mask in (masks["new_axis"], masks["ellipsis"], masks["begin"] & masks["end"])
    )
    if not all(new[i] or elided[i] or (whole[i] and strides[i] == 1) for i in range(len(strides))):
        return []
    # What stands before an ellipsis is counted from the front, and what stands behind it from the end.
    middle = elided.index(True) if any(elided) else len(strides)
    front = [i for i in range(middle) if new[i]]
    back = [i - len(strides) for i in reversed(range(middle + 1, len(strides))) if new[i]]
    return front + back


def _expansions(node: Any, axes: list[int]) -> list[Any]:
    """Nodes that add these axes, one after the other; the last has the name of the slice."""
    nodes, source = [], node.input[0]
    for place, axis in enumerate(axes):
        name = node.name if place == len(axes) - 1 else f"{node.name}/axis_{place}"
        number = node_def_pb2.NodeDef(name=f"{node.name}/number_{place}", op="Const")
        number.attr["dtype"].type = tf.int32.as_datatype_enum
        number.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.int32(axis)))
        expand = node_def_pb2.NodeDef(name=name, op="ExpandDims", input=[source, f"{number.name}:output:0"])
        expand.attr["T"].type = node.attr["T"].type
        expand.attr["Tdim"].type = tf.int32.as_datatype_enum
        nodes += [number, expand]
        source = f"{name}:output:0"
    return nodes
