"""What `quantize_model` made of every layer with weights, and why it left some in float."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from keras_ste.tables import table

QUANTIZED, KEPT, IMPOSSIBLE = "quantized", "kept in float", "cannot be quantized"


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer that has weights.

    Attributes:
        layer: its path in the model.
        class_name: of the original.
        status: `"quantized"`, `"kept in float"` as the scheme says, or `"cannot be quantized"`.
        counterpart: the class of the layer that stands for it, `""` where there is none.
        weights, inputs: what quantizes them, in a few words: `"4 signed"`.
        folded: the name of the batch normalization that is a part of it now, or `None`.
        reason: why it is in float, or was not folded; else `None`.
    """

    layer: str
    class_name: str
    status: str
    counterpart: str = ""
    weights: str = ""
    inputs: str = ""
    folded: str | None = None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class QuantizationReport:
    """The rows of a model, in the order of its layers. `str(report)` is a table."""

    scheme: str
    rows: tuple[LayerRow, ...]

    @property
    def impossible(self) -> tuple[tuple[str, str], ...]:
        """`(layer, reason)` for every layer that was to be quantized and cannot be."""
        return tuple((row.layer, row.reason) for row in self.rows if row.status == IMPOSSIBLE)

    def to_dict(self) -> dict[str, Any]:
        """Scheme and rows as plain Python values."""
        return {"scheme": self.scheme, "rows": [dataclasses.asdict(row) for row in self.rows]}

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def __str__(self) -> str:
        header = ("layer", "class", "status", "weights", "inputs", "becomes", "reason")
        lines = [header, *(_cells(row) for row in self.rows)]
        return table(lines)


def _cells(row):
    becomes = row.counterpart if row.folded is None else f"{row.counterpart} (with {row.folded})"
    return (row.layer, row.class_name, row.status, row.weights, row.inputs, becomes, row.reason or "")


def describe(quantizer: Any) -> str:
    """A quantizer in a few words: the width and encoding of its codes.

    >>> from keras_ste.quantizers import Lsq
    >>> describe(Lsq(4)), describe(None)
    ('4 signed', '')
    """
    if quantizer is None:
        return ""
    spec = getattr(quantizer, "spec", None)
    return "function" if spec is None else f"{spec.bits} {spec.encoding}"
