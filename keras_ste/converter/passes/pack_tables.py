"""Packs the tables of embeddings: what is looked up are codes, in words or without gaps."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import Graph, TensorType, constant_tensor
from keras_ste.converter.packing import pack_codes, pack_gapless
from keras_ste.converter.shapes import output_shape
from keras_ste.converter.sizes import most_bytes


def pack_tables(graph: Graph) -> None:
    """Packs the tables that SteGather reads, so that it puts out packed codes.

    Rows that do not fill their words are stored without gaps.

    Raises:
      RuntimeError: a table is no constant.
    """
    for op in graph.select("SteGather"):
        table, rows = op.inputs[1], op.outputs[0]
        if table.data is None:
            raise RuntimeError(f"{op}: the table '{table.name}' is no constant")
        op.inputs[1] = constant_tensor(table.name, _packed(table.data, codes_of(op.options, "input")))
        rows.type, rows.signature = TensorType.INT32, output_shape(op)


def _packed(integers: np.ndarray, codes: Codes) -> np.ndarray:
    packed = pack_codes(integers, codes)
    return packed if packed.nbytes <= most_bytes(integers.size * codes.bits) else pack_gapless(integers, codes)
