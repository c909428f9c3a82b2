"""Writes a graph as a `.tflite` file whose constants are aligned.

TensorFlow's own Python writer puts constants at any offset. Runtimes that map the file into memory, and
boards that run it from flash, want to read words and vectors from where they lie.
"""

from __future__ import annotations

import copy

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import STE_OPS, BuiltinOperator, Graph, Model, Op, Tensor

ALIGNMENT = 16

# The schema's first code field has one byte: later ops put this there and their code into the second.
PLACEHOLDER_CODE = 127


class _AlignedBuffer(schema.BufferT):
    """A buffer that lies at a multiple of ALIGNMENT."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # the name is flatbuffers'
        if self.data is None:
            return super().Pack(builder)
        content = self.data.tobytes()
        builder.StartVector(1, len(content), ALIGNMENT)
        end = builder.head
        builder.head = end - len(content)
        builder.Bytes[builder.head : end] = content
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


class _Buffers:
    """The file's buffers. Number 0 is empty, as the format wants it; equal contents share one."""

    def __init__(self) -> None:
        self.list = [_AlignedBuffer()]
        self._known: dict[bytes, int] = {}

    def add(self, content: np.ndarray) -> int:
        key = content.tobytes()
        if key not in self._known:
            self._known[key] = len(self.list)
            self.list.append(_AlignedBuffer(np.frombuffer(key, np.uint8)))
        return self._known[key]


class _Codes:
    """The file's table of the ops it uses."""

    def __init__(self) -> None:
        self.list: list[schema.OperatorCodeT] = []
        self._known: dict[tuple, int] = {}

    def add(self, op: Op) -> int:
        key = (op.code, op.custom_name, op.version)
        if key not in self._known:
            self._known[key] = len(self.list)
            short = min(op.code, PLACEHOLDER_CODE)
            self.list.append(schema.OperatorCodeT(short, op.custom_name, op.version, op.code))
        return self._known[key]


def _int32(values) -> np.ndarray:
    return np.asarray(list(values), np.int32)


def _write_tensor(tensor: Tensor, buffers: _Buffers) -> schema.TensorT:
    raw = schema.TensorT(hasRank=True) if tensor.raw is None else copy.copy(tensor.raw)
    raw.name = tensor.name
    raw.type = tensor.type
    raw.shape = _int32(tensor.shape)
    raw.shapeSignature = _int32(tensor.signature) if -1 in tensor.signature else None
    raw.buffer = 0 if tensor.data is None else buffers.add(tensor.data)
    return raw


def _write_op(op: Op, codes: _Codes, index: dict[int, int]) -> schema.OperatorT:
    raw = schema.OperatorT() if op.raw is None else copy.copy(op.raw)
    raw.opcodeIndex = codes.add(op)
    raw.inputs = _int32(-1 if tensor is None else index[id(tensor)] for tensor in op.inputs)
    raw.outputs = _int32(index[id(tensor)] for tensor in op.outputs)
    if op.intermediates:
        raw.intermediates = _int32(index[id(tensor)] for tensor in op.intermediates)
    if op.code == BuiltinOperator.CUSTOM and op.custom_name in STE_OPS:
        raw.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(op.options)), np.uint8)
    return raw


def _write_graph(graph: Graph, buffers: _Buffers, codes: _Codes) -> tuple[schema.SubGraphT, dict[int, int]]:
    tensors = list(graph.tensors())
    index = {id(tensor): position for position, tensor in enumerate(tensors)}
    raw = schema.SubGraphT(
        tensors=[_write_tensor(tensor, buffers) for tensor in tensors],
        inputs=_int32(index[id(tensor)] for tensor in graph.inputs),
        outputs=_int32(index[id(tensor)] for tensor in graph.outputs),
        operators=[_write_op(op, codes, index) for op in graph.ops],
        name=graph.name,
    )
    return raw, index


def write_model(model: Model) -> bytes:
    """The file's bytes.

    Raises:
      RuntimeError: a constant would not be aligned.
    """
    buffers, codes = _Buffers(), _Codes()
    subgraphs, indices = [], []
    for graph in model.graphs:
        subgraph, index = _write_graph(graph, buffers, codes)
        subgraphs.append(subgraph)
        indices.append(index)
    signatures = []
    for entry in model.signatures:
        index = indices[entry.graph]
        inputs = [schema.TensorMapT(name, index[id(tensor)]) for name, tensor in entry.inputs.items()]
        outputs = [schema.TensorMapT(name, index[id(tensor)]) for name, tensor in entry.outputs.items()]
        signatures.append(schema.SignatureDefT(inputs, outputs, entry.key, entry.graph))
    metadata = [
        schema.MetadataT(name, buffers.add(np.frombuffer(content, np.uint8)))
        for name, content in model.metadata.items()
    ]
    raw = schema.ModelT(
        version=model.version,
        operatorCodes=codes.list,
        subgraphs=subgraphs,
        description=model.description,
        buffers=buffers.list,
        metadata=metadata,
        signatureDefs=signatures,
    )
    size = sum(buffer.data.nbytes + 64 for buffer in buffers.list if buffer.data is not None)
    builder = flatbuffers.Builder(size + 65536)
    builder.Finish(raw.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    unaligned = [offset for offset in buffer_offsets(content) if offset % ALIGNMENT]
    if unaligned:
        raise RuntimeError(f"constants at offsets {unaligned[:5]}, no multiples of {ALIGNMENT} bytes")
    return content


def buffer_offsets(content: bytes) -> list[int]:
    """Where in the file the contents of its buffers begin."""
    model = schema.Model.GetRootAs(bytearray(content), 0)
    offsets = []
    for position in range(model.BuffersLength()):
        table = model.Buffers(position)._tab
        field = table.Offset(4)  # the field `data`
        if field:
            offsets.append(table.Vector(field))
    return offsets
