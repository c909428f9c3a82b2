"""Blocks and networks: what they compute, what is quantized in them, that they train, are saved and converted."""

import pathlib
import re
import sys

import keras
import numpy as np
import pytest
import reference_graph
import tensorflow as tf
from block_cases import BLOCKS, FLOAT_TWIN, NETWORKS, Layers, quantized_layers, shaken

import keras_ste
from keras_ste import QuantDense, blocks, models
from keras_ste.blocks import bitnet_block

DOCS = pathlib.Path(__file__).parents[1] / "docs" / "blocks.md"
every_block = pytest.mark.parametrize("name", BLOCKS)


def block_model(name, shape=(6, 4, 8), **further):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return keras.Model(inputs, getattr(blocks, name)(inputs, **BLOCKS[name].arguments, **further))


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def exported(package):
    return [(package, name) for name in package.__all__]


def test_every_block_and_network_is_among_those_that_are_checked():
    bitnet = {"bit_linear", "bitnet_attention", "bitnet_block", "bitnet_mlp"}
    assert set(blocks.__all__) == {*BLOCKS, *bitnet}
    assert set(models.__all__) == set(NETWORKS)


@pytest.mark.parametrize(("package", "name"), exported(blocks) + exported(models))
def test_it_has_an_example_a_paper_and_a_row_in_the_docs(package, name):
    function = getattr(package, name)
    assert "\n    >>> " in function.__doc__ and "Args:" in function.__doc__
    papers = re.findall(r"arXiv:\d{4}\.\d{5}", sys.modules[function.__module__].__doc__)
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}(")]
    assert len(rows) == 1 and rows[0].count(" | ") == 4
    assert any(paper in rows[0] for paper in papers)


@every_block
def test_a_block_computes_what_its_paper_says(name):
    model = shaken(block_model(name))
    x = images(3, 6, 4, 8)
    np.testing.assert_allclose(model(x), BLOCKS[name].computes(Layers(model), x), rtol=1e-4, atol=1e-4)


@every_block
def test_unknown_sizes_and_channels_first(name):
    case = BLOCKS[name]
    last = shaken(block_model(name, (None, None, 8)))
    first = block_model(name, (8, None, None), data_format="channels_first")
    for variable, value in zip(first.variables, last.variables, strict=True):
        variable.assign(tf.reshape(value, variable.shape))
    assert last.output_shape == (None, None, None, case.filters)
    for shape in ((2, 6, 4, 8), (1, 5, 7, 8)):
        y = last(images(*shape))
        np.testing.assert_allclose(
            np.moveaxis(first(np.moveaxis(images(*shape), -1, 1)), 1, -1), y, rtol=1e-5, atol=1e-6
        )
    assert last(images(2, 6, 4, 8)).shape == (2, *((3, 2) if case.halves else (6, 4)), case.filters)


@pytest.mark.parametrize("name", [name for name, case in BLOCKS.items() if case.binary])
def test_the_float_twin_of_a_block_has_the_same_weights_and_is_not_linear(name):
    model, twin = block_model(name), block_model(name, **FLOAT_TWIN)
    assert not quantized_layers(twin)
    own = [v.shape for v in model.variables if "quantizer/" not in v.path]
    assert own == [v.shape for v in twin.variables]
    x = images(2, 6, 4, 8)
    mean = (twin(x) + twin(-x)) / 2
    assert not np.allclose(mean, twin(np.zeros_like(x)), atol=1e-3)


def of_8_bits():
    """The quantizers of weights and of inputs."""
    uniform = keras_ste.quantizers.UniformQuantizer
    return uniform(bits=8, scale_axis=-1, narrow_range=True), uniform(bits=8, scale=1 / 32)


# Blocks whose convolution of size 1 may have quantizers of its own, and what their names begin with.
PROJECTIONS = {"bireal_block": "projection_", "real_to_binary_block": "projection_", "quicknet_transition": ""}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projections_of_8_bits(name, tmp_path):
    kernel, inputs = of_8_bits()
    prefix = PROJECTIONS[name]
    quantizers = {f"{prefix}kernel_quantizer": kernel, f"{prefix}input_quantizer": inputs}
    model, plain = shaken(block_model(name, **quantizers)), block_model(name)
    plain.set_weights(model.get_weights())
    (projection,) = [layer for layer in quantized_layers(model) if layer.kernel_size == (1, 1)]
    (of_floats,) = [layer for layer in plain.layers if type(layer) is keras.layers.Conv2D]
    of_floats.kernel.assign(projection.quantized_kernel)
    x = images(3, 6, 4, 8)
    assert not np.array_equal(model(x), plain(x))
    np.testing.assert_allclose(model(x), plain(x), atol=0.15)  # what the inputs' 8 bits leave out

    model.save(tmp_path / "block.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "block.keras")(x), model(x))
    converted = keras_ste.convert(model, strict=True)
    assert "CONV_2D" not in reference_graph.op_names(converted.model_content)
    assert [row.weight_bits for row in converted.report.rows].count(8) == 1
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(result["index"]), model(x), rtol=1e-4, atol=1e-4)


def network(name, **further):
    keras.utils.set_random_seed(0)
    return getattr(models, name)(**NETWORKS[name].arguments, **further)


def examples(model):
    """Random inputs and labels."""
    rng = np.random.default_rng(0)
    shape = (24, *model.input_shape[1:])
    if model.input.dtype == "int32":
        return rng.integers(0, model.output_shape[-1], (2, *shape)).astype(np.int32)
    return rng.normal(size=shape).astype(np.float32), np.arange(24) % 3


def gradients(model, x, y):
    """The largest gradient of each variable, by its path."""
    with tf.GradientTape() as tape:
        loss = model.loss(y, model(x, training=True))
    found = zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True)
    return {variable.path: np.abs(tf.convert_to_tensor(gradient)).max() for variable, gradient in found}


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request):
    """A network's name, itself after a few steps, the gradients before them, and the losses on the way."""
    model = network(request.param)
    x, y = examples(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, run_eagerly=True)
    first = gradients(model, x, y)
    losses = model.fit(x, y, batch_size=len(x), epochs=5, verbose=0).history["loss"]
    return request.param, model, first, losses


def test_gradients_reach_every_weight_and_training_lowers_the_loss(trained):
    _, model, first, losses = trained
    assert len(first) == len(model.trainable_variables)
    assert all(size > 0 for size in first.values()), first
    assert losses[-1] < losses[0]


def test_what_should_be_quantized_is(trained):
    name, model, _, _ = trained
    layers = quantized_layers(model)
    multiply = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    in_float = [layer for layer in model.layers if isinstance(layer, multiply) and layer not in layers]
    assert (len(layers), len(in_float)) == (NETWORKS[name].quantized, NETWORKS[name].in_float)
    for layer in layers:
        codes, bits = ([-1, 1], 1) if NETWORKS[name].packed else ([-1, 0, 1], 8)
        kernel = layer.quantized_kernel.numpy()
        scale = np.abs(kernel).max(tuple(range(kernel.ndim - 1)))
        np.testing.assert_array_equal(np.unique(kernel / scale), codes)
        assert layer.input_quantizer.spec.bits == bits and layer.bias is None


def test_a_network_is_saved_and_loaded(trained, tmp_path):
    _, model, _, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x, _ = examples(model)
    for batch in (1, 5):
        np.testing.assert_array_equal(again(x[:batch]), model(x[:batch]))


def test_the_float_twin_of_a_network_has_the_same_weights(trained):
    name, model, _, _ = trained
    twin = network(name, **FLOAT_TWIN)
    assert not quantized_layers(twin)
    assert [v.shape for v in model.variables if "quantizer/" not in v.path] == [v.shape for v in twin.variables]


def test_a_network_converts_and_runs_as_in_keras(trained):
    name, model, _, _ = trained
    case = NETWORKS[name]
    converted = keras_ste.convert(model, strict=case.packed)
    layers = {layer.path for layer in quantized_layers(model)}
    packed = [row for row in converted.report.rows if row.weight_bits in (1, 2)]
    assert {row.layer for row in packed} == layers
    x, _ = examples(model)
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    for batch in (1, 5):
        interpreter.resize_tensor_input(given["index"], x[:batch].shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], x[:batch])
        interpreter.invoke()
        np.testing.assert_allclose(
            interpreter.get_tensor(result["index"]), model(x[:batch]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("bireal_block", {"filters": 8, "strides": 3}, "strides must be 1 or 2. Received: strides=3"),
        ("reactnet_block", {"filters": 8, "strides": 0}, "strides must be 1 or 2. Received: strides=0"),
        ("reactnet_block", {"filters": 12}, "keeps its 8 channels or doubles them. Received: filters=12"),
        ("quicknet_transition", {"filters": 8, "strides": 4}, "strides must be 1 or 2"),
        ("meliusnet_improvement_block", {"growth": 9}, "cannot exceed the 8 channels.*Received: growth=9"),
        ("real_to_binary_block", {"filters": 8, "strides": 3}, "strides must be 1 or 2"),
        ("real_to_binary_block", {"filters": 8, "reduction": 9}, "between 1 and the number of channels, 8"),
        ("bireal_block", {"filters": 8, "kernel_quantizer": "sine"}, "sine"),
        ("quicknet_block", {"data_format": "first"}, "data_format"),
    ],
)
def test_arguments_a_block_does_not_take(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(blocks, name)(keras.Input((6, 6, 8)), **arguments)


@every_block
def test_blocks_take_images(name):
    for shape in ((6, 8), (6, 6, None)):
        with pytest.raises(ValueError, match="four axes and a known number of channels"):
            block_model(name, shape)


@pytest.mark.parametrize("name", [name for name, case in NETWORKS.items() if case.packed])
def test_arguments_a_network_does_not_take(name):
    make = getattr(models, name)
    with pytest.raises(ValueError, match="three numbers. Received: input_shape=\\(28, 28\\)"):
        make((28, 28), 10)
    for count in ((), (2, 0)):
        with pytest.raises(ValueError, match="each positive. Received: blocks="):
            make((28, 28, 1), 10, blocks=count)
    with pytest.raises(ValueError, match="units"):
        make((8, 8, 1), 0, filters=8, blocks=(1,))


def test_arguments_a_transformer_does_not_take():
    with pytest.raises(ValueError, match="160 channels cannot be divided among 7 heads"):
        models.bitnet_transformer(11, 6, heads=7)
    with pytest.raises(ValueError, match="blocks must be positive. Received: blocks=0"):
        models.bitnet_transformer(11, 6, blocks=0)


def test_a_transformer_knows_the_places_of_its_codes():
    model = network("bitnet_transformer")
    y = model(np.full((2, 6), 3, np.int32)).numpy()
    assert np.unique(y, axis=1).shape == y.shape
    embeddings = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    assert [layer.embeddings.shape for layer in embeddings] == [(11, 8), (6, 8)]


def bitnet(**quantizers):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((None, 32))
    for _ in range(2):
        x = bitnet_block(x, heads=4, hidden=48, **quantizers)
    return keras.Model(inputs, x)


def tokens(batch=2, count=7):
    return np.random.default_rng(0).normal(size=(batch, count, 32)).astype(np.float32)


def test_every_product_of_a_bitnet_block_is_of_integers():
    layers = [layer for layer in bitnet().layers if isinstance(layer, QuantDense)]
    assert len(layers) == 2 * (4 + 3)
    for layer in layers:
        kernel = layer.quantized_kernel.numpy()
        scale = np.abs(layer.kernel.numpy()).mean(dtype=np.float64)
        np.testing.assert_allclose(np.unique(kernel), [-scale, 0, scale], rtol=1e-5)
        assert layer.input_quantizer.spec.bits == 8 and layer.bias is None


def test_the_float_twin_has_the_same_weights_and_no_quantizers():
    ternary, twin = bitnet(), bitnet(**FLOAT_TWIN)
    assert [v.shape for v in ternary.variables] == [v.shape for v in twin.variables]
    twin.set_weights(ternary.get_weights())
    x = tokens()
    assert not np.array_equal(twin(x), ternary(x))
    # With the ternary weights in place, only the inputs' 8 bits are left between the two.
    for a, b in zip(ternary.layers, twin.layers, strict=True):
        if isinstance(a, QuantDense):
            b.kernel.assign(a.quantized_kernel)
    np.testing.assert_allclose(twin(x), ternary(x), atol=0.2)


@pytest.mark.parametrize("causal", [True, False])
def test_a_causal_block_does_not_look_ahead(causal):
    inputs = keras.Input((None, 32))
    block = keras.Model(inputs, bitnet_block(inputs, heads=4, hidden=48, causal=causal))
    x = tokens()
    changed = x.copy()
    changed[:, 4:] += 1
    before, after = block(x).numpy()[:, :4], block(changed).numpy()[:, :4]
    assert np.array_equal(before, after) == causal


def test_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match="32 channels cannot be divided among 5 heads"):
        bitnet_block(keras.Input((4, 32)), heads=5, hidden=48)
