"""Puts the constants of an op where its readers look for them: what a layer emits has no gaps between its inputs."""

from __future__ import annotations

from keras_ste.converter.graph import STE_OPS, Graph


def place_inputs(graph: Graph) -> None:
    """Moves the last input to the place that the option `place` names; those between are absent."""
    for op in graph.select(*STE_OPS):
        place = op.options.pop("place", None)
        if place is not None:
            last = op.inputs.pop()
            op.inputs += [None] * (place - len(op.inputs)) + [last]
