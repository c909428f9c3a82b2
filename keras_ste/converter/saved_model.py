"""SavedModels: writing one to convert elsewhere, and converting one."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import tensorflow as tf

from keras_ste.codes import codes_of
from keras_ste.converter.graph import MATMUL_OPS, Model, TensorType
from keras_ste.converter.trace import SIGNATURE, Traced, lite_file, save_traced
from keras_ste.version import __version__

# TensorFlow leaves this folder to others.
_NOTES = pathlib.Path("assets.extra", "keras_ste.json")


def export_saved_model(model: Any, path: str | os.PathLike, *, input_signature: Any = None) -> None:
    """Writes a model as a SavedModel to be converted elsewhere: `keras_ste.convert(path)` needs no code of the model.

    Its quantized layers are custom ops of this package, which TensorFlow cannot compute: it is for `convert`, not for
    serving. The file that `convert` makes of it is that of the model itself. What other ways of saving write
    becomes the same where they run in the export scope: `with keras_ste.export_scope(): model.export(path)`.

    Args:
      model: a built model of Keras 3 or tf_keras.
      path: the folder to write.
      input_signature: as for `convert`.

    Raises:
      TypeError, ValueError: as `convert` does of the model.

    Example:
      >>> import keras, keras_ste, pathlib, tempfile
      >>> model = keras.Sequential([keras.Input((64,)), keras_ste.QuantDense(
      ...     3, input_quantizer="ste_sign", kernel_quantizer="ste_sign")])
      >>> folder = pathlib.Path(tempfile.mkdtemp(), "saved")
      >>> keras_ste.export_saved_model(model, folder)
      >>> keras_ste.convert(folder).model_content == keras_ste.convert(model).model_content
      True
    """
    traced = save_traced(model, input_signature, os.fspath(path))
    notes = {
        "version": __version__,
        "layers": traced.rows,
        "inputs": [spec.name for spec in traced.inputs],
        "outputs": traced.outputs,
        "unreached": traced.unreached,
    }
    file = pathlib.Path(path, _NOTES)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(notes, ensure_ascii=False), encoding="utf-8")


def read_saved_model(path: str | os.PathLike, key: str | None) -> tuple[bytes, Traced]:
    """TensorFlow's file of a SavedModel, and what is known of the model.

    Args:
      path: its folder.
      key: which of its signatures; None for `serving_default`, or the only one.

    Raises:
      ValueError: there is no SavedModel, or it has no such signature.
    """
    folder = os.fspath(path)
    if not tf.saved_model.contains_saved_model(folder):
        hint = ": load a Keras file with keras.models.load_model" if os.path.isfile(folder) else ""
        raise ValueError(f"there is no SavedModel in '{folder}'{hint}")
    loaded = tf.saved_model.load(folder)  # keeps the signatures' functions alive
    signatures = dict(loaded.signatures)
    key = _signature_key(signatures, key, folder)
    function = signatures[key]
    specs = function.structured_input_signature[1]
    notes = _notes(folder)
    names = notes.get("inputs", list(specs))
    inputs = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name=name) for name in names]
    outputs = notes.get("outputs", list(function.structured_outputs))
    unreached = [tuple(entry) for entry in notes.get("unreached", [])]
    return lite_file(folder, key), Traced(notes.get("layers", []), inputs, outputs, unreached)


def _signature_key(signatures: dict[str, Any], key: str | None, folder: str) -> str:
    if key is None:
        key = next(iter(signatures)) if len(signatures) == 1 else SIGNATURE
    if key not in signatures:
        raise ValueError(
            f"the SavedModel in '{folder}' has no signature '{key}'; signature_key names one of: "
            f"{', '.join(signatures) or 'none'}"
        )
    return key


def _notes(folder: str) -> dict[str, Any]:
    file = pathlib.Path(folder, _NOTES)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def rows_of_ops(graph: Model) -> list[dict[str, Any]]:
    """What the ops of products say of their layers, as the export scope's rows do, where nobody has noted down more."""
    rows = {}
    for op in (op for subgraph in graph.graphs for op in subgraph.select(*MATMUL_OPS)):
        codes = {name: codes_of(op.options, name) for name in ("input", "weight")}
        kinds = {name: f"{each.encoding}{each.bits}" for name, each in codes.items()}
        rows[op.options["layer"]] = {
            "layer": op.options["layer"],
            "class_name": op.name,
            "quantized": True,
            "packed": True,
            "reason": None,
            "op": op.name,
            "input": kinds["input"] if op.inputs[0].type == TensorType.INT32 else op.inputs[0].type_name,
            "kernel": kinds["weight"],
            "weights": int(op.inputs[1].data.size),
        }
    return list(rows.values())
