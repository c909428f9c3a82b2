"""Removes ops that nobody reads."""

from __future__ import annotations

from keras_ste.converter.graph import STE_OPS, Graph, Op

# They may act on something that no tensor shows.
_ACTING = ("CALL", "CALL_ONCE", "IF", "WHILE", "STABLEHLO_WHILE", "STABLEHLO_CUSTOM_CALL")


def _acts(op: Op) -> bool:
    foreign = op.custom_name is not None and op.custom_name not in STE_OPS
    return foreign or op.name in _ACTING or not op.outputs


def drop_dead_ops(graph: Graph) -> None:
    """Removes, last op first, every op whose outputs are neither read nor outputs of the graph."""
    used = {id(tensor) for tensor in graph.outputs}
    kept = []
    for op in reversed(graph.ops):
        if _acts(op) or any(id(tensor) in used for tensor in op.outputs):
            kept.append(op)
            used.update(id(tensor) for tensor in op.inputs)
    graph.ops = kept[::-1]
