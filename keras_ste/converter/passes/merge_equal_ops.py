"""What is computed twice in the same way is computed once."""

from __future__ import annotations

from keras_ste.converter.graph import MATMUL_OPS, STE_OPS, Graph, Op, Tensor

# A product that is computed twice may become two outputs of codes.
_MERGED = tuple(name for name in STE_OPS if name not in MATMUL_OPS)


def merge_equal_ops(graph: Graph) -> None:
    """Lets all readers of what equal ops of this package make of the same tensors read one of them. Products stay."""
    first: dict[tuple, Op] = {}
    for op in graph.select(*_MERGED):
        key = (op.name, *map(_identity, op.inputs), *sorted(op.options.items()))
        kept = first.setdefault(key, op)
        if kept is not op and op.outputs[0] not in graph.outputs:
            graph.replace(op.outputs[0], kept.outputs[0])
            graph.remove(op)


def _identity(tensor: Tensor | None) -> tuple | int | None:
    """Equal for the same tensor, and for constants that are equal."""
    if tensor is None:
        return None
    return (tensor.type, tensor.shape, tensor.data.tobytes()) if tensor.constant else id(tensor)
