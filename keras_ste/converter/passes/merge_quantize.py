"""What is quantized twice in the same way is quantized once."""

from __future__ import annotations

from keras_ste.converter.graph import Graph


def merge_quantize(graph: Graph) -> None:
    """Lets all readers of the same quantized tensor read one SteQuantize."""
    first = {}
    for op in graph.select("SteQuantize"):
        constants = [None if t is None else (t.shape, t.data.tobytes()) for t in op.inputs[1:]]
        key = (id(op.inputs[0]), *sorted(op.options.items()), *constants)
        kept = first.setdefault(key, op)
        if kept is not op:
            graph.replace(op.outputs[0], kept.outputs[0])
            graph.remove(op)
