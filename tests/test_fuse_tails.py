"""Residual networks: what stands behind a layer becomes its tail, and no bit changes."""

import hypothesis
import keras
import numpy as np
import pytest
import reference_graph
from hypothesis import strategies as st
from sketch import Sketch
from test_passes import MINIMAL, random_step, random_values, signs

import keras_ste
from keras_ste import blocks
from keras_ste.converter import passes
from keras_ste.converter.passes import PASSES
from keras_ste.converter.passes.fuse_tails import fuse_tails


def residual_graph(seed, blocks_of, steps, passes_run):
    """Blocks of sign, convolution, steps, shortcut and steps; the floats of one of them are an output too."""
    rng = np.random.default_rng(seed)
    sketch, channels = Sketch(), int(rng.choice([5, 32, 33]))
    x, outputs = sketch.input("x", np.float32, 5, 4, channels), {}
    for block in range(blocks_of):
        y = sketch.conv(
            sketch.quantize(x), signs(rng, channels, 3, 3, channels), channels, random_values(rng, channels, 0.1),
            random_values(rng, channels, 1.0), padding="same",
        )  # fmt: skip
        for _ in range(int(rng.integers(steps + 1))):
            y = random_step(sketch, rng, y, 1.0)
        y = sketch.builtin("ADD", *([y, x] if rng.random() < 0.5 else [x, y]))
        if rng.random() < 0.5:
            slopes = random_values(rng, (1, 1, channels), 1.0)
            y = sketch.builtin("ADD", sketch.builtin("PRELU", y, slopes), random_values(rng, channels, 1.0))
        if rng.random() < 0.3:
            outputs[f"y{block}"] = y
        x = y
    return sketch.write(passes_run, **outputs, last=x), rng.normal(size=(2, 5, 4, channels)).astype(np.float32)


@hypothesis.settings(max_examples=60)
@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 4))
def test_no_bit_changes(seed, blocks_of, steps):
    content, x = residual_graph(seed, blocks_of, steps, MINIMAL)
    fused, _ = residual_graph(seed, blocks_of, steps, PASSES)
    expected, actual = (reference_graph.run(each, x=x) for each in (content, fused))
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array)
    if "DIV" not in reference_graph.op_names(fused) and steps < 2:  # a tail has room for so many
        assert reference_graph.op_names(fused) == ["SteQuantize", *["SteConv2D"] * blocks_of]


def bireal(x):
    for strides in (2, 1):
        x = blocks.bireal_block(x, 32, strides)
    return x


def reactnet(x):
    for filters in (16, 32, 32):
        x = blocks.reactnet_block(x, filters)
    return x


def quicknet(x):
    return blocks.quicknet_block(blocks.quicknet_block(x))


def eight_bits(x):
    """Quantizers of more codes than thresholds are worth having for."""
    for _ in range(2):
        x = keras_ste.QuantConv2D(
            20, 3, padding="same", kernel_quantizer="ste_sign", use_bias=False,
            input_quantizer=keras_ste.quantizers.DorefaActivation(bits=8),
        )(x)  # fmt: skip
        x = keras.layers.BatchNormalization()(x)
    return x


def bitnet(x):
    x = keras.layers.Reshape((36, 16))(x)
    return blocks.bitnet_block(blocks.bitnet_block(x, heads=2, hidden=40), heads=2, hidden=40)


def randomized(network):
    """The network of blocks, every weight that training would move, moved."""
    inputs = keras.Input((6, 6, 16))
    model = keras.Model(inputs, network(inputs))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5 if "variance" in weight.name else -1, 1.5, weight.shape))
        elif isinstance(layer, keras_ste.layers.RPReLU):
            for weight in layer.weights:
                weight.assign(rng.normal(size=weight.shape))
    return model


def results(content, value, threads):
    interpreter = keras_ste.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


# What is left of each network, but for the products.
LEFT = {
    bireal: {"SteAveragePool2D", "CONV_2D", "SteQuantize"},
    reactnet: {"CONCATENATION", "SUB", "ADD", "PRELU", "SteQuantize"},
    quicknet: {"SteQuantize"},
    eight_bits: {"SteQuantize"},
}


@pytest.mark.parametrize("network", [bireal, reactnet, quicknet, eight_bits, bitnet])
def test_networks_compute_what_their_float_ops_did(network, monkeypatch):
    """In the interpreter, where XNNPACK computes what is not fused."""
    model = randomized(network)
    fused = keras_ste.convert(model).model_content
    monkeypatch.setattr(passes, "LAST", tuple(run for run in passes.LAST if run is not fuse_tails))
    plain = keras_ste.convert(model).model_content
    value = np.random.default_rng(1).normal(size=(1, 6, 6, 16)).astype(np.float32)
    (expected,) = results(plain, value, 1)
    for threads in (1, 2):
        np.testing.assert_array_equal(results(fused, value, threads)[0], expected)
    names = set(reference_graph.op_names(fused))
    if network in LEFT:
        assert names - LEFT[network] == {"SteConv2D"}
    assert len(reference_graph.op_names(fused)) < len(reference_graph.op_names(plain))
