"""`keras_ste.convert`: a trained Keras model becomes a `.tflite` file with packed layers."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from keras_ste.converter.errors import NotPackedError, VerificationError
from keras_ste.converter.files import write_file
from keras_ste.converter.graph import MATMUL_OPS, STE_OPS, Model, read_model
from keras_ste.converter.integer import make_integer, move_codes
from keras_ste.converter.labels import METADATA as LABEL_METADATA
from keras_ste.converter.labels import Labels
from keras_ste.converter.passes import finish, fuse
from keras_ste.converter.report import Report, make_report
from keras_ste.converter.saved_model import read_saved_model, rows_of_ops
from keras_ste.converter.trace import Traced, float32_compute, trace
from keras_ste.converter.verify import verify_file
from keras_ste.converter.writer import write_model
from keras_ste.version import __version__

METADATA = "keras_ste"


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A converted model.

    Attributes:
      model_content: the bytes of the `.tflite` file.
      report: a row for every op, and what was left in float and why; print it.
    """

    model_content: bytes = dataclasses.field(repr=False)
    report: Report = dataclasses.field(repr=False)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the file; a file of that name is replaced when the new one is complete.

        Raises:
          FileNotFoundError: the folder of `path` does not exist.
          IsADirectoryError: `path` is a folder.
        """
        write_file(path, self.model_content)


def convert(
    model: Any,
    *,
    input_signature: Any = None,
    signature_key: str | None = None,
    strict: bool = False,
    verify: Any = None,
    verify_layers: bool = False,
    tolerance: float = 1e-4,
    representative_dataset: Any = None,
    inference_input_type: Any = None,
    inference_output_type: Any = None,
    labels: Any = None,
) -> ConvertedModel:
    """Converts a trained Keras model for TFLite, LiteRT and TFLite Micro.

    Layers with weights of 1 to 8 bits become the ops `SteConv2D`, `SteDepthwiseConv2D`, `SteTransposeConv2D`
    and `SteFullyConnected`, with weights in bits. Where the next layer takes codes of up to 4 bits, scale,
    bias, batch normalization, clamps and max-pooling between the two become integer thresholds, and the
    activations stay in bits. Packed activations are equal to the Keras model's bit for bit. All other
    layers are converted as TensorFlow does. The model itself is not changed. A model trained in mixed
    precision is converted to compute in float32.

    Args:
      model: a built model of Keras 3 or of tf_keras: Sequential, functional, nested or subclassed; or the path
        of a SavedModel, best one of `keras_ste.export_saved_model`.
      input_signature: for a subclassed model, one `tf.TensorSpec` for each argument of its call (None
        is a size known only at run time). By default the shapes it was last built with and float32
        are taken, with any batch size; so it is needed where the inputs are integers.
      signature_key: of a SavedModel, the signature to convert; by default `serving_default`, or the only one.
      strict: makes it an error when a layer that was quantized in training is not packed.
      verify: samples on which the file and the Keras model are run and compared: an array, a list of arrays
        or a dictionary of them by the inputs' names, or a `tf.data.Dataset` or generator of batches. The
        report then says how the outputs differ.
      verify_layers: whether to compare the inputs and outputs of each packed layer too, codes bit for bit.
      tolerance: what floats may differ by on these samples, times the largest magnitude of the tensor where
        that is above 1. Integers and codes have to be equal (but for a tolerance of 1 or more).
      representative_dataset: samples as `verify` takes them, or, as in TFLiteConverter, a function that yields
        lists of arrays, one for each input. Given these or one of the two types below, the whole model
        becomes integer: what is computed in float between packed layers becomes int8, in TFLite's own
        ops. Its ranges are those that the samples show; without them they have to follow from the model,
        as those of pixels, packed sums and clamps do.
      inference_input_type, inference_output_type: `"int8"` or `"uint8"` (or `tf.int8`, `tf.uint8`): the type of
        the inputs and outputs that are floats, and of inputs that are 8-bit integers. `None` or
        `"float32"` leaves them as they are.
      labels: the names of the classes, which the file then carries: a list, the path of a text file with
        one a line, or a dictionary of these by the outputs' names.

    Returns:
      A `ConvertedModel`. Its signature `serving_default` has the model's names: those of the inputs,
      and for outputs the keys of a dictionary, the names of a functional model's output layers, or
      `output_0`, `output_1`, ...

    Raises:
      TypeError: not a Keras model, not a signature, or no samples.
      ValueError: the model has no weights yet, its inputs are not known, TFLite lacks an op that it
        needs, or samples do not fit the model's inputs; of an integer model: an op has no int8 form, or a range
        is not known. `NotPackedError`, a ValueError: in strict mode a quantized layer was not packed.
        `VerificationError`, a ValueError: a difference is above the tolerance; the message names the layer
        or output, the sample and the values.
      RuntimeError: TensorFlow lost a quantized layer on the way.

    Example:
      >>> import keras, keras_ste
      >>> layer = keras_ste.QuantDense(
      ...     3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", name="dense")
      >>> model = keras.Sequential([keras.Input((64,)), layer], name="net")
      >>> converted = keras_ste.convert(model, strict=True)
      >>> [(row.op, row.layer) for row in converted.report.rows]
      [('SteQuantize', 'net/dense'), ('SteFullyConnected', 'net/dense')]
    """
    types = [_integer_type(given) for given in (inference_input_type, inference_output_type)]
    content, traced = _trace(model, input_signature, signature_key, verify)
    graph = read_model(content)
    layers = traced.rows or rows_of_ops(graph)
    _check_emissions(graph, layers)
    unpacked = _unpacked(layers, traced.unreached)
    if strict and unpacked:
        listed = "\n".join(f"  {layer} ({kind}): {reason}" for layer, kind, reason in unpacked)
        raise NotPackedError(f"strict=True, but these quantized layers cannot be packed:\n{listed}")
    if strict and not layers and traced.serve is None:
        raise NotPackedError(
            "strict=True, but the SavedModel has no packed layers: save it with keras_ste.export_saved_model, or within "
            "keras_ste.export_scope()"
        )
    _order_signature(graph, [spec.name for spec in traced.inputs], traced.outputs)
    emitted = [op.outputs[0] for subgraph in graph.graphs for op in subgraph.select(*MATMUL_OPS)]
    _check_custom_ops(graph)
    for subgraph in graph.graphs:
        fuse(subgraph)
        move_codes(subgraph)
    if representative_dataset is not None or types != [None, None]:
        make_integer(graph, traced.inputs, *types, representative_dataset)
    finish(graph)
    graph.metadata[METADATA] = _metadata(graph, layers)
    if labels is None:
        content = write_model(graph)
    else:
        named = Labels(labels, graph)
        name = pathlib.Path(model).name if isinstance(model, (str, os.PathLike)) else model.name
        graph.metadata[LABEL_METADATA] = named.metadata(name)
        content = named.appended_to(write_model(graph))
    report = make_report(graph.graphs, unpacked, len(content), layers)
    if verify is not None:
        with float32_compute(model):
            verification = verify_file(content, graph, traced, emitted, verify, tolerance, verify_layers)
        if not verification.passed:
            raise VerificationError(verification)
        report = dataclasses.replace(report, verification=verification)
    return ConvertedModel(content, report)


def _trace(model: Any, input_signature: Any, signature_key: str | None, verify: Any) -> tuple[bytes, Traced]:
    """TensorFlow's file of a model or of a SavedModel."""
    if not isinstance(model, (str, os.PathLike)):
        if signature_key is not None:
            raise ValueError("signature_key names a signature of a SavedModel, and this is a model")
        return trace(model, input_signature)
    if input_signature is not None:
        raise ValueError("a SavedModel has its signatures: input_signature is for models")
    if verify is not None:
        raise ValueError("verify compares with a Keras model, which a SavedModel is not")
    return read_saved_model(model, signature_key)


def _integer_type(given: Any) -> str | None:
    """The name of an integer type of the model's ends, or None for float32."""
    if given is None:
        return None
    name = getattr(given, "name", given)
    if name not in ("float32", "int8", "uint8"):
        raise ValueError(f'inference types are "int8", "uint8" and "float32", got {given!r}')
    return None if name == "float32" else name


def _metadata(graph: Model, layers: list[dict]) -> bytes:
    """Who wrote the file, how its layers are quantized, and which op is which layer's."""
    said = {
        "version": __version__,
        "layers": [layer for layer in layers if layer["quantized"]],
        "ops": [[op.layer for op in subgraph.ops] for subgraph in graph.graphs],
    }
    return json.dumps(said, ensure_ascii=False).encode("utf-8")


def _check_emissions(graph: Model, layers: list[dict]) -> None:
    """Every layer that emitted a custom op has one in the file."""
    ops = [op for subgraph in graph.graphs for op in subgraph.select(*STE_OPS)]
    found = {(op.options["layer"], op.name) for op in ops}
    missing = [
        layer["layer"]
        for layer in layers
        if layer["packed"] and (layer["layer"], layer["op"]) not in found
    ]
    if missing:
        raise RuntimeError(
            f"the custom ops of these layers are not in TensorFlow's file: {', '.join(missing)}. Either the "
            "model's call computes them without using the result, or TensorFlow's converter dropped them, "
            "which is a bug: please report it with the model's code."
        )


def _check_custom_ops(graph: Model) -> None:
    """All custom ops are of this package: TensorFlow's converter writes one where TFLite has no op."""
    ops = [op for subgraph in graph.graphs for op in subgraph.ops if op.custom_name not in (None, *STE_OPS)]
    if ops:
        listed = ", ".join(f"{op.name} ({op.outputs[0].name})" for op in ops)
        raise ValueError(f"TFLite has no op for what the model computes outside of quantized layers: {listed}")


def _unpacked(layers: list[dict], unreached: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Layer, class and reason of each layer that was quantized in training and has no custom op."""
    unpacked = [
        (layer["layer"], layer["class_name"], layer["reason"])
        for layer in layers
        if layer["quantized"] and not layer["packed"]
    ]
    reason = "its call was not reached, or is not keras_ste's"
    return unpacked + [(layer, class_name, reason) for layer, class_name in unreached]


def _order_signature(graph: Model, inputs: list[str], outputs: list[str]) -> None:
    """Puts inputs and outputs in the model's order; TensorFlow sorts them by name."""
    (signature,) = graph.signatures
    signature.inputs = {name: signature.inputs[name] for name in inputs if name in signature.inputs}
    signature.outputs = {name: signature.outputs[name] for name in outputs}
    main = graph.graphs[signature.graph]
    main.inputs = list(signature.inputs.values())
    main.outputs = list(signature.outputs.values())
