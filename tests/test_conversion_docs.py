"""docs/what_converts.md against the package: its tables are what docs/conversion.py prints."""

import importlib.util
import inspect
import pathlib

from keras_ste import layers

DOCS = pathlib.Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("conversion", DOCS / "conversion.py")
conversion = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(conversion)


def test_the_tables_are_the_printed_ones():
    assert conversion.table() in (DOCS / "what_converts.md").read_text(), (
        "docs/what_converts.md: put in what `python docs/conversion.py` prints"
    )


def test_every_layer_with_quantizers_has_a_row():
    quantized = {
        name
        for name in layers.__all__
        if any(getattr(getattr(layers, name), kind, ()) for kind in ("quantized_tensors", "quantized_weights"))
    }
    cells = {name for name in quantized if name.endswith("Cell")}  # the layers of which they are cells stand for them
    assert quantized - cells == set(conversion.LAYERS)
    assert all(inspect.isclass(getattr(layers, name)) for name in conversion.LAYERS)
