"""Pads numbers and bytes by TFLite's own op: a StePad is one of packed codes.

A layer emits StePad for all of them, since TensorFlow's converter writes no padding of bytes.
"""

from __future__ import annotations

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import NUMPY_TYPES, BuiltinOperator, Graph, Op, TensorType, constant_tensor


def pad_numbers(graph: Graph) -> None:
    """StePad of what is not packed becomes PADV2."""
    for pad in graph.select("StePad"):
        if pad.inputs[0].type != TensorType.INT32:
            graph.insert_before(pad, _pad_op(pad))
            graph.remove(pad)


def _pad_op(pad: Op) -> Op:
    name, o = pad.outputs[0].name, pad.options
    around = np.array([(0, 0), (o["pad_top"], o["pad_bottom"]), (o["pad_left"], o["pad_right"]), (0, 0)], np.int32)
    value = np.array(o["pad_value"], NUMPY_TYPES[pad.inputs[0].type])
    inputs = [*pad.inputs, constant_tensor(f"{name}/around", around), constant_tensor(f"{name}/value", value)]
    options = {"builtinOptionsType": schema.BuiltinOptions.PadV2Options, "builtinOptions": schema.PadV2OptionsT()}
    return Op(BuiltinOperator.PADV2, inputs, pad.outputs, raw=schema.OperatorT(**options), layer=pad.layer)
