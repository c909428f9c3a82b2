"""Packs the tables of embeddings: what is gathered are words of codes."""

from __future__ import annotations

from keras_ste.codes import codes_of
from keras_ste.converter.graph import Graph, TensorType, constant_tensor
from keras_ste.converter.packing import pack_codes

_BYTES = {TensorType.INT8: "signed", TensorType.UINT8: "unsigned"}


def pack_tables(graph: Graph) -> None:
    """GATHER(integers) → SteDequantize becomes GATHER(codes) → SteDequantize. Bytes of 8 bits stay as they are."""
    for op in graph.select("SteDequantize"):
        gather = graph.producer(op.inputs[0])
        if gather is None or gather.name != "GATHER" or not gather.inputs[0].constant:
            continue
        table, codes = gather.inputs[0], codes_of(op.options, "input")
        if codes.bits == 8 and _BYTES.get(table.type) == codes.encoding:
            del op.options["input_bits"], op.options["input_encoding"]
            continue
        packed = constant_tensor(table.name, pack_codes(table.data, codes))
        gather.inputs[0] = packed
        rows = gather.outputs[0]
        rows.type, rows.signature = packed.type, (*rows.signature[:-1], packed.signature[-1])
