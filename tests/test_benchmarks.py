"""What the benchmarks rest on: bounds that can be missed, one loader, the same network for every library."""

import functools
import gzip
import importlib.util
import os
import sys

import keras
import native_build
import numpy as np
import pytest

import keras_ste
from keras_ste import optimization
from keras_ste.estimators import surrogates

for folder in ("benchmarks", "examples"):
    sys.path.insert(0, str(native_build.ROOT / folder))

import accuracy  # noqa: E402
import code_ops  # noqa: E402
import common  # noqa: E402
import conv  # noqa: E402
import deployed_equal  # noqa: E402
import conversion  # noqa: E402
import fashion_data  # noqa: E402
import networks  # noqa: E402
import one_network  # noqa: E402
import steps  # noqa: E402
import training  # noqa: E402
import whole_networks  # noqa: E402


@pytest.mark.parametrize(
    ("value", "bound", "missed"),
    [
        (1.0, {"at_most": 1.0}, False),
        (1.0001, {"at_most": 1.0}, True),
        (1.0, {"at_least": 1.0}, False),
        (0.9999, {"at_least": 1.0}, True),
        (float("nan"), {"at_most": 1.0}, True),
        (float("nan"), {"at_least": 1.0}, True),
        (float("nan"), {}, False),
    ],
)
def test_rows_say_which_bound_is_missed(value, bound, missed, capsys):
    rows = common.Rows()
    rows.add("case", "metric", value, **bound)
    rows.finish()
    assert ("MISSED: case: metric" in capsys.readouterr().out) == missed


def write_split(folder, images, labels, prefix="t10k"):
    for kind, header, values in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
        with gzip.open(folder / f"{prefix}-{kind}-ubyte.gz", "wb") as f:
            f.write(bytes(header) + values.tobytes())


def test_loader_reads_images_and_labels_behind_their_headers(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (3, 28, 28, 1), np.uint8), rng.integers(0, 10, 3, np.uint8)
    write_split(tmp_path, images, labels)
    loaded = fashion_data.load_split(tmp_path, "t10k")
    np.testing.assert_array_equal(loaded[0], images)
    np.testing.assert_array_equal(loaded[1], labels)
    with pytest.raises(SystemExit, match="dataset-fashion-mnist"):
        fashion_data.load_split(tmp_path, "train")


def test_every_surrogate_of_a_sign_or_step_is_in_the_table():
    assert set(accuracy.surrogate_names()) == set(surrogates.names()) - {"dsq_round"}
    assert set(accuracy.QUICK_SURROGATES) <= set(accuracy.surrogate_names())
    assert set(accuracy.OURS) <= set(accuracy.surrogate_names())


def test_batches_are_permutations_drawn_from_the_seed():
    count = 3 * networks.BATCH + 5
    first, second = (np.array(list(networks.batches(count, 2, seed))) for seed in (1, 2))
    assert first.shape == (6, networks.BATCH)
    for epoch in (first[:3], first[3:]):
        assert len(set(epoch.ravel())) == 3 * networks.BATCH and epoch.max() < count
    assert not np.array_equal(first[:3], first[3:]) and not np.array_equal(first, second)
    np.testing.assert_array_equal(first, list(networks.batches(count, 2, 1)))


def networks_of_all():
    """Ours, and qkeras-v3's where it is installed."""
    yield networks.convnet(keras, lambda *a, **k: accuracy.binary_layers("clipped_identity", *a, **k), [4, 6, 8])
    if importlib.util.find_spec("qkeras"):
        yield networks.convnet(keras, accuracy.qkeras_layers, [4, 6, 8])


def test_the_peers_have_the_same_network_and_weights():
    plain = networks.convnet(keras, lambda n, **k: [keras.layers.Conv2D(n, **k)], [4, 6, 8])
    networks.initialize(plain, 3)
    images = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)
    outputs = []
    for model in networks_of_all():
        networks.initialize(model, 3)
        for ours, theirs in zip(model.trainable_variables, plain.trainable_variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        outputs.append(np.array(model(images)))
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], atol=1e-5)


def test_latent_weights_stay_clipped():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * networks.BATCH, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, len(images), np.uint8)
    model = networks.convnet(keras, lambda *a, **k: accuracy.binary_layers("approx_sign", *a, **k), [4, 8, 8])
    networks.initialize(model, 0)
    assert networks.train(keras, model, images, labels, epochs=3, rate=0.5, seed=0) > 0
    binary = [layer for layer in model.layers if isinstance(layer, keras_ste.QuantConv2D)]
    assert [np.abs(layer.kernel).max() for layer in binary] == [1.0, 1.0]


def test_residual_network_and_its_float_twin_differ_in_the_signs_only():
    binary, plain = accuracy.residual_network(True), accuracy.residual_network(False)
    thresholds = sum(v.shape[-1] for v in binary.trainable_variables if v.name == "threshold")
    assert binary.count_params() == plain.count_params() + thresholds > plain.count_params()


@pytest.mark.parametrize("name", one_network.FORMS)
def test_every_form_of_the_one_network_is_quantized_whole(name):
    scheme = one_network.FORMS[name].scheme
    if scheme is not None:
        model = optimization.quantize_model(networks.relu_convnet(keras), scheme, strict=True)
        one_network.check_quantized(model)
        quantized = [row.weights for row in model.quantization_report.rows if row.weights]
        assert len(quantized) == 5 and quantized[1:4] == quantized[1:2] * 3


def test_a_form_that_is_left_in_float_is_an_error():
    scheme = optimization.schemes.int8(last=None)
    with pytest.raises(RuntimeError, match="left in float.*dense"):
        one_network.check_quantized(optimization.quantize_model(networks.relu_convnet(keras), scheme))


def test_another_library_s_layers_start_from_the_float_weights(tmp_path):
    plain = networks.relu_convnet(keras)
    networks.initialize(plain, 3)
    networks.save_weights(plain, tmp_path / "weights.npz")
    theirs = networks.relu_convnet(keras, functools.partial(accuracy.binary_layers, "approx_sign"))
    networks.load_weights(theirs, tmp_path / "weights.npz")
    for ours, other in zip(plain.trainable_variables, theirs.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, other)
    with pytest.raises(ValueError, match="more weights than the network"):
        networks.load_weights(keras.Sequential(plain.layers[:3]), tmp_path / "weights.npz")


def test_the_one_network_is_trained_once_and_mixed_widths_take_no_more_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        write_split(tmp_path, rng.integers(0, 256, (256, 28, 28), np.uint8), rng.integers(0, 10, 256, np.uint8), prefix)
    budget = {"images": 256, "float_epochs": 1, "float_rate": 1e-3, "test": True}
    network = one_network.OneNetwork(tmp_path, tmp_path / "weights")
    written = network.weights(budget, 1).stat().st_mtime_ns
    results = [network.with_widths(3, mixed, budget, 1) for mixed in (False, True)]
    assert network.weights(budget, 1).stat().st_mtime_ns == written
    assert results[0]["widths"] == [3] * 5 and results[1]["bytes"] <= results[0]["bytes"]
    assert len(set(results[1]["widths"])) > 1
    trained = network.train_widths(3, True, {**budget, "epochs": 1, "rate": 1e-3}, 1)
    assert trained["bytes"] == results[1]["bytes"] and 0 <= trained["accuracy"] <= 1


def test_log_does_not_repeat_a_training(tmp_path):
    runs = []
    path = tmp_path / "log.jsonl"
    for epochs in (1, 1, 2):
        log = accuracy.Log(path)  # as a command that is given again has it
        result = log.result({"name": "a", "epochs": epochs}, lambda: runs.append(1) or {"accuracy": len(runs)})
        assert result == {"accuracy": epochs}
    assert len(runs) == 2


def test_ratios_are_medians_of_neighbours_whose_order_changes():
    asked = []

    def pair(reference_first):
        asked.append(reference_first)
        return [2.0 * len(asked), 1.0 * len(asked)]

    assert training.measure({"a": pair}, 3) == {"a": (2.0, 4.0, 2.0)}
    assert asked == [False, True, False]
    calls = []
    times = steps.seconds_of_both(lambda: calls.append("run"), lambda: calls.append("reference"), 2, True)
    assert calls == ["reference", "reference", "run", "run"] and len(times) == 2


@pytest.mark.parametrize("name", conv.CONV_CASES | conv.DENSE_CASES)
def test_ops_of_every_width_run_and_their_weights_have_that_width(name):
    models = []
    if name in conv.CONV_CASES:
        weights, inputs, _ = conv.CONV_CASES[name]
        models.append((code_ops.conv_model(5, 64, weights, inputs), 9 * 64 * 64))
    if name in conv.DENSE_CASES:
        weights, inputs, _ = conv.DENSE_CASES[name]
        models.append((code_ops.dense_model(1, 96, 64, weights, inputs), 96 * 64))
    for model, count in models:
        conv.invoker(keras_ste.Interpreter(model_content=model))()
        assert code_ops.weight_bytes(model) == count * weights[0] // 8


def test_an_op_on_rows_of_floats_runs():
    model = code_ops.dense_model(3, 64, 32, (2, "ternary"), code_ops.ROWS)
    interpreter = keras_ste.Interpreter(model_content=model)
    conv.invoker(interpreter)()
    assert np.ptp(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])) > 0


def test_the_ops_of_a_network_are_counted_by_name(capsys):
    binary = keras_ste.QuantConv2D(8, 1, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    layers = [keras.layers.Conv2D(32, 3), keras.layers.ReLU(), binary]
    content = keras_ste.convert(keras.Sequential([keras.Input((6, 6, 3)), *layers])).model_content
    whole_networks.print_ops("network", content, rounds=1)
    printed = capsys.readouterr().out
    assert all(f"1 {name} " in printed for name in ("CONV_2D", "SteQuantize", "SteConv2D"))


@pytest.mark.parametrize("network", [whole_networks.resnet, whole_networks.quicknet])
def test_a_network_and_its_int8_twin_have_the_same_weights(network):
    binary, twin = (sorted(tuple(v.shape) for v in network(quantized).variables) for quantized in (True, False))
    assert binary == twin


def test_networks_whose_conversions_are_compared_have_the_same_layers():
    counts = {name: conversion.resnet18(name, 4).count_params() for name in conversion.NETWORKS}
    assert counts["binary"] == counts["float"] and counts["W2A2"] == counts["float"] + 16  # a learned range for each input
    seconds, parameters = conversion.seconds_to_convert("binary", 4)
    assert seconds > 0 and parameters == counts["binary"]


@pytest.mark.skipif(not os.path.isdir(fashion_data.DEBIAN_DATA), reason="needs the Debian package dataset-fashion-mnist")
@pytest.mark.parametrize("name", deployed_equal.NETWORKS)
def test_what_a_network_decides_is_the_same_on_the_device(name):
    images, labels = (part[:300] for part in fashion_data.load_split(fashion_data.DEBIAN_DATA, "t10k"))
    keras.utils.set_random_seed(1)
    model = deployed_equal.NETWORKS[name]()
    for _ in range(5):
        model(images, training=True)  # the batch normalizations get to know them
    rows = common.Rows()
    deployed_equal.compare_images(rows, model, images, labels)
    assert len(rows.rows) == 3 and not rows.missed()
