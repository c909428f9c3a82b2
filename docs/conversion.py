"""What `keras_ste.convert` makes of every layer and quantizer: the tables of docs/what_converts.md, printed.

    python docs/conversion.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from keras_ste import layers, quantizers
from keras_ste.layers.export import export_scope

# By class: the arguments besides quantizers, and the shape of the inputs.
LAYERS = {
    "QuantDense": ({"units": 4}, (8,)),
    "QuantConv1D": ({"filters": 4, "kernel_size": 3}, (9, 8)),
    "QuantConv2D": ({"filters": 4, "kernel_size": 3}, (9, 9, 8)),
    "QuantConv3D": ({"filters": 4, "kernel_size": 3}, (9, 9, 9, 8)),
    "QuantConv1DTranspose": ({"filters": 4, "kernel_size": 3}, (9, 8)),
    "QuantConv2DTranspose": ({"filters": 4, "kernel_size": 3}, (9, 9, 8)),
    "QuantConv3DTranspose": ({"filters": 4, "kernel_size": 3}, (9, 9, 9, 8)),
    "QuantDepthwiseConv1D": ({"kernel_size": 3}, (9, 8)),
    "QuantDepthwiseConv2D": ({"kernel_size": 3}, (9, 9, 8)),
    "QuantSeparableConv1D": ({"filters": 4, "kernel_size": 3}, (9, 8)),
    "QuantSeparableConv2D": ({"filters": 4, "kernel_size": 3}, (9, 9, 8)),
    "QuantEinsumDense": ({"equation": "btc,cd->btd", "output_shape": (None, 4)}, (9, 8)),
    "QuantEmbedding": ({"input_dim": 9, "output_dim": 8}, (4,)),
    "QuantLSTM": ({"units": 4, "unroll": True, "recurrent_initializer": "glorot_uniform"}, (3, 8)),
    "QuantGRU": ({"units": 4, "unroll": True, "recurrent_initializer": "glorot_uniform"}, (3, 8)),
    "QuantDenseBatchNorm": ({"units": 4, "use_bias": False}, (8,)),
    "QuantConv1DBatchNorm": ({"filters": 4, "kernel_size": 3, "use_bias": False}, (9, 8)),
    "QuantConv2DBatchNorm": ({"filters": 4, "kernel_size": 3, "use_bias": False}, (9, 9, 8)),
    "QuantDepthwiseConv2DBatchNorm": ({"kernel_size": 3, "use_bias": False}, (9, 9, 8)),
    "QuantActivation": ({}, (8,)),
    "QuantMultiHeadAttention": ({"num_heads": 2, "key_dim": 4}, (5, 8)),
    "QuantGroupedQueryAttention": ({"head_dim": 4, "num_query_heads": 2, "num_key_value_heads": 1}, (5, 8)),
}
# What takes a family's quantizers: of weights, and of inputs.
FAMILIES = {
    "signs": (lambda: quantizers.SteSign(), lambda: quantizers.SteSign()),
    "ternary": (lambda: quantizers.SteTern(), lambda: quantizers.SteTern()),
    "k-bit": (
        lambda: quantizers.UniformQuantizer(4),
        lambda: quantizers.UniformQuantizer(4, 0.5),
    ),
    "BitNet": (lambda: quantizers.BitnetTernary(), lambda: quantizers.BitnetActivation()),
}


def traced(layer, shape, dtype="float32"):
    """The rows of a layer, which says what becomes of it."""
    x = tf.ones((1, *shape), dtype)
    attention = "Attention" in type(layer).__name__
    call = (lambda x: layer(x, x)) if attention else layer
    call(x)
    with export_scope() as rows:
        tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec((None, *shape), dtype))
    return rows


class Reasons:
    """Reasons by number, in the order in which they are met first."""

    def __init__(self):
        self.texts = []

    def cell(self, rows):
        """The op of a layer, or the number of the reason why it has none."""
        quantized = [row for row in rows if row["quantized"]]
        ops = sorted({row["op"] for row in quantized if row["packed"]})
        numbers = sorted({self.number(row["reason"]) for row in quantized if row["reason"]})
        return "; ".join([f"`{op}`" for op in ops] + [f"({number})" for number in numbers])

    def number(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def lines(self):
        return [f"{number}. {text}" for number, text in enumerate(self.texts, 1)]


def layer_cells(name, reasons):
    """The cells of a layer's row, one for each family."""
    options, shape = LAYERS[name]
    cls = getattr(layers, name)
    weights = [*cls.quantized_weights] or (["kernel_quantizer"] if "Attention" in name else [])
    tensors = ["input_quantizer"] if "Attention" in name else cls.quantized_tensors
    cells = []
    for make_weights, make_inputs in FAMILIES.values():
        given = {argument: make_weights() for argument in weights} | {argument: make_inputs() for argument in tensors}
        dtype = "int32" if name == "QuantEmbedding" else "float32"
        cells.append(reasons.cell(traced(cls(**options, **given), shape, dtype)))
    return cells


def quantizer_cells(name, reasons):
    """What becomes of a quantizer with its default arguments, as one of weights, and as one of inputs."""
    cells = []
    for argument in ("kernel_quantizer", "input_quantizer"):
        layer = layers.QuantDense(32, **{"kernel_quantizer": "ste_sign", argument: quantizers.get(name)})
        if name == "blockwise_quantizer" and argument == "input_quantizer":
            cells.append("—")  # blocks are of weights
        else:
            cells.append(reasons.cell(traced(layer, (32,))).replace("`SteFullyConnected`", "packed"))
    return cells


def table():
    """Both tables, each with its reasons."""
    reasons = Reasons()
    lines = ["| layer | " + " | ".join(FAMILIES) + " |", "|---" * (len(FAMILIES) + 1) + "|"]
    lines += [f"| `{name}` | " + " | ".join(layer_cells(name, reasons)) + " |" for name in LAYERS]
    lines += ["", *reasons.lines()]
    reasons = Reasons()
    lines += ["", "| quantizer | of weights | of inputs |", "|---|---|---|"]
    lines += [f"| `{name}` | " + " | ".join(quantizer_cells(name, reasons)) + " |" for name in quantizers.names()]
    return "\n".join([*lines, "", *reasons.lines()]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
