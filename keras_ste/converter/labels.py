"""The names of classes inside the file, where TFLite's Task Library, MediaPipe and Netron look for them.

TFLite's metadata is a flatbuffer of its own in the model's metadata buffer TFLITE_METADATA. It names, for each
output, the files that belong to it; these are in a ZIP archive behind the model.
"""

from __future__ import annotations

import io
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from keras_ste.converter.graph import Model
from keras_ste.version import __version__

METADATA = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_AXIS_LABELS = 2  # AssociatedFileType: a line for each element of the tensor's last axis

# The fields of the tables of TFLite's metadata_schema.fbs that are written here, by their numbers.
_MODEL = {"name": 0, "version": 2, "subgraph_metadata": 3, "min_parser_version": 7}
_SUBGRAPH = {"input_tensor_metadata": 2, "output_tensor_metadata": 3}
_TENSOR = {"name": 0, "associated_files": 6}
_FILE = {"name": 0, "description": 1, "type": 2}


class Labels:
    """The names of the classes of one or several outputs.

    Args:
      labels: a list of names, or the path of a text file with one a line; for a model of several outputs
        a dictionary of these by the outputs' names.
      graph: the model; the number of names has to be that of the output's last axis.

    Raises:
      ValueError, TypeError: an output that there is not, or another number of names.
      FileNotFoundError: no such label file.
    """

    def __init__(self, labels: Any, graph: Model):
        (signature,) = graph.signatures
        self._inputs, outputs = list(signature.inputs), signature.outputs
        if not isinstance(labels, Mapping):
            if len(outputs) != 1:
                raise ValueError(
                    f"labels: the model has {len(outputs)} outputs ({', '.join(outputs)}); say whose they are by a "
                    "dictionary"
                )
            labels = {next(iter(outputs)): labels}
        self._names = {output: None for output in outputs}
        for output, given in labels.items():
            if output not in outputs:
                raise ValueError(f"labels: there is no output '{output}', but {', '.join(outputs)}")
            names = _lines(given)
            size = outputs[output].signature[-1] if outputs[output].signature else 1
            if len(names) != size:
                raise ValueError(f"labels: the output '{output}' has {size} channels, got {len(names)} labels")
            self._names[output] = names

    def _file(self, output: str) -> str:
        several = sum(names is not None for names in self._names.values()) > 1
        return f"labels_{output}.txt" if several else "labels.txt"

    def metadata(self, name: str) -> bytes:
        """The contents of the metadata buffer of a model of that name."""
        builder = flatbuffers.Builder(1024)
        inputs = [_table(builder, _TENSOR, name=builder.CreateString(each)) for each in self._inputs]
        outputs = [self._output(builder, output) for output in self._names]
        subgraph = _table(
            builder,
            _SUBGRAPH,
            input_tensor_metadata=_vector(builder, inputs),
            output_tensor_metadata=_vector(builder, outputs),
        )
        model = _table(
            builder,
            _MODEL,
            name=builder.CreateString(name),
            version=builder.CreateString(f"keras_ste {__version__}"),
            subgraph_metadata=_vector(builder, [subgraph]),
            min_parser_version=builder.CreateString("1.0.0"),
        )
        builder.Finish(model, _IDENTIFIER)
        return bytes(builder.Output())

    def _output(self, builder: flatbuffers.Builder, output: str) -> int:
        fields = {"name": builder.CreateString(output)}
        if self._names[output] is not None:
            strings = {"name": self._file(output), "description": "the names of the classes"}
            file = {key: builder.CreateString(text) for key, text in strings.items()}
            fields["associated_files"] = _vector(builder, [_table(builder, _FILE, **file, type=_AXIS_LABELS)])
        return _table(builder, _TENSOR, **fields)

    def appended_to(self, content: bytes) -> bytes:
        """The model's file with the ZIP archive behind it, whose offsets count from the file's beginning."""
        file = io.BytesIO(content)
        with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
            for output, names in self._names.items():
                if names is not None:
                    # The time of a ZipInfo is that of 1980: equal models make equal files.
                    archive.writestr(zipfile.ZipInfo(self._file(output)), "\n".join(names) + "\n")
        return file.getvalue()


def _lines(labels: Any) -> list[str]:
    if isinstance(labels, (str, os.PathLike)):
        labels = pathlib.Path(labels).read_text(encoding="utf-8").splitlines()
    if not isinstance(labels, Sequence) or not all(isinstance(label, str) for label in labels):
        raise TypeError(f"labels takes a list of names or the path of a text file, got {type(labels).__name__}")
    broken = [label for label in labels if "\n" in label]
    if broken:
        raise ValueError(f"labels: a label is one line, got {broken[0]!r}")
    return list(labels)


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _table(builder: flatbuffers.Builder, numbers: Mapping[str, int], **fields: int) -> int:
    """A table of offsets; the field `type` is a byte."""
    builder.StartObject(max(numbers.values()) + 1)
    for name, value in fields.items():
        if name == "type":
            builder.PrependInt8Slot(numbers[name], value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(numbers[name], value, 0)
    return builder.EndObject()
