"""Takes the name of the Keras layer out of an op's options: the file format does not have it."""

from __future__ import annotations

from keras_ste.converter.graph import STE_OPS, Graph


def take_layer_names(graph: Graph) -> None:
    """Moves the option `layer` to `op.layer`, for the report."""
    for op in graph.select(*STE_OPS):
        op.layer = op.options.pop("layer", None)
