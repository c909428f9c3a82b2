"""convert(verify=...): the file is run beside the Keras model, and what differs is named."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste.codes import Codes
from keras_ste.converter.difference import difference
from keras_ste.converter.errors import CheckError, VerificationError
from keras_ste.converter.packing import pack_codes, unpack_codes

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
K2 = {"input_quantizer": keras_ste.quantizers.Pact(bits=2), "kernel_quantizer": "ste_sign"}


class EagerShift(keras.layers.Layer):
    """Adds a number to one channel, but not in the graph that is converted."""

    def __init__(self, shift, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, x):
        if isinstance(x, keras.KerasTensor) or not tf.executing_eagerly():
            return x
        return x + tf.one_hot(3, x.shape[-1], self.shift, 0.0)


def convnet(shift=0.0):
    layers = [
        keras.Input((8, 8, 3), dtype="uint8", name="image"),
        keras_ste.QuantConv2D(33, 3, kernel_quantizer="ste_sign", name="first"),
        keras.layers.BatchNormalization(),
        EagerShift(shift),
        keras_ste.QuantConv2D(40, 3, **K2, name="second"),
        keras.layers.Flatten(),
        keras_ste.QuantDense(10, **SIGNS, name="classes"),
    ]
    return keras.Sequential(layers, name="net")


def images(count=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def test_each_layer_and_output_is_compared():
    report = keras_ste.convert(convnet(), verify=images(37), verify_layers=True).report
    found = report.verification
    assert found.passed and found.samples == 37 and not found.skipped and found.first_differing is None
    assert [(row.name, row.tensor, row.elements, row.differing) for row in found.layers] == [
        ("net/first", "input codes", 37 * 8 * 8 * 3, 0),
        ("net/second", "input codes", 37 * 6 * 6 * 33, 0),
        ("net/classes", "input codes", 37 * 4 * 4 * 40, 0),
        ("net/classes", "output", 370, 0),
    ]
    assert [(row.name, row.elements, row.differing) for row in found.outputs] == [("classes", 370, 0)]
    assert report.to_dict()["verification"]["passed"] is True
    assert "verified on 37 samples, tolerance 0.0001: passed" in str(report)


def test_the_first_differing_layer_is_named_with_sample_and_values():
    with pytest.raises(VerificationError) as refused:
        keras_ste.convert(convnet(1e4), verify=images(), verify_layers=True)
    assert isinstance(refused.value, CheckError)
    first = refused.value.verification.first_differing
    assert (first.name, first.tensor) == ("net/second", "input codes") and 0 < first.differing <= 5 * 6 * 6
    assert first.index[2] == 3 and (first.expected, first.largest) == (3, 3 - first.found)
    message = str(refused.value)
    assert f"the first differing layer: net/second, input codes: {first.differing} of 5,940 differ" in message
    assert f"sample {first.sample} at {list(first.index)}: Keras 3, the file {first.found:g}" in message


def test_outputs_alone_say_how_to_find_the_layer():
    with pytest.raises(VerificationError, match=r"classes, output: .* differ.*\n.*verify_layers=True"):
        keras_ste.convert(convnet(1e4), verify=images())


def test_an_infinite_tolerance_only_reports():
    found = keras_ste.convert(convnet(1e4), verify=images(), verify_layers=True, tolerance=np.inf).report.verification
    assert found.passed and found.outputs[0].differing > 0 and found.outputs[0].largest > 0


def two_inputs():
    left, right = keras.Input((40,), name="left"), keras.Input((40,), name="right")
    shared = keras_ste.QuantDense(33, name="shared", **SIGNS)
    difference = keras.layers.Subtract()([shared(left), shared(right)])
    return keras.Model([right, left], {"low": keras.layers.Dense(2)(left), "sum": keras.ops.cast(difference, "int32")})


def rows(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 40)).astype(np.float32)


@pytest.mark.parametrize(
    "data",
    [
        [rows(5, 0), rows(5, 1)],
        {"left": rows(5, 1), "right": rows(5, 0)},
        tf.data.Dataset.from_tensor_slices(({"left": rows(5, 1), "right": rows(5, 0)}, np.zeros(5))).batch(2),
        (batch for batch in [[rows(5, 0), rows(5, 1)]]),
    ],
    ids=["list", "dictionary", "dataset with labels", "generator"],
)
def test_several_inputs_outputs_and_calls_of_a_layer(data):
    found = keras_ste.convert(two_inputs(), verify=data, verify_layers=True).report.verification
    assert found.samples == 5
    assert [(row.name, row.elements) for row in found.outputs] == [("low", 10), ("sum", 165)]
    assert [(row.name, row.tensor, row.differing) for row in found.layers] == [
        ("shared", tensor, 0) for _ in range(2) for tensor in ("input codes", "output")
    ]


def test_mixed_precision_is_compared_in_float32():
    layers = [keras.Input((40,)), keras_ste.QuantDense(33, dtype="mixed_float16", **SIGNS), keras.layers.Dense(2)]
    found = keras_ste.convert(keras.Sequential(layers), verify=rows(5, 0), verify_layers=True).report.verification
    assert found.passed and [row.differing for row in found.layers] == [0, 0]


def test_a_fixed_batch_takes_samples_in_batches_of_its_size():
    model = convnet()
    spec = tf.TensorSpec((2, 8, 8, 3), tf.uint8)
    assert keras_ste.convert(model, input_signature=spec, verify=images(4)).report.verification.samples == 4
    with pytest.raises(ValueError, match="batches of 2 samples, got 1"):
        keras_ste.convert(model, input_signature=spec, verify=images(5))


@pytest.mark.parametrize(
    "data, error, message",
    [
        (images()[..., :2], ValueError, r"'image' takes .*8, 8, 3.*, got an array of shape \(5, 8, 8, 2\)"),
        (images() + 0.5, ValueError, "'image' takes uint8, which does not hold all values given"),
        (np.array([["a"]]), TypeError, "takes arrays of numbers, got ndarray"),
        ([images(), images()], ValueError, "2 arrays, the model has 1 inputs: image"),
        (images(0), ValueError, "no samples"),
        (iter([]), ValueError, "no samples"),
        (np.uint8(3), ValueError, "got an array of shape"),
    ],
    ids=["shape", "values", "strings", "too many", "empty", "no batches", "number"],
)
def test_data_that_does_not_fit(data, error, message):
    with pytest.raises(error, match=message):
        keras_ste.convert(convnet(), verify=data)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("encoding", ["bipolar", "unsigned", "signed"])
def test_unpacking_undoes_packing(bits, encoding):
    codes = Codes(bits, encoding, zero_point=0 if encoding == "bipolar" else 3)
    values = np.random.default_rng(0).choice(codes.worths, (2, 3, 45))
    np.testing.assert_array_equal(unpack_codes(pack_codes(values, codes), 45, codes), values)


def test_differences_of_floats_and_integers():
    expected = np.array([[1000.0, np.nan, np.inf], [0, 1, 2]], np.float32)
    found = expected + np.float32([[0.05, 0, 0], [0, 0, 0.15]])
    row = difference("y", "output", expected, found, 1e-4, 10)
    assert (row.differing, row.exceeds, row.sample, row.index) == (2, True, 11, (2,))
    assert row.largest == pytest.approx(0.15)
    row = row.then(difference("y", "output", expected, expected, 1e-4, 12))
    assert (row.elements, row.differing, row.sample) == (12, 2, 11)
    lost = difference("y", "output", expected, np.full_like(expected, np.nan), 1e-4, 0)
    assert lost.exceeds and lost.differing == 5 and lost.largest == np.inf
    codes = difference("y", "output", np.array([[5000]]), np.array([[5001]]), 1e-4, 0)
    assert codes.exceeds and codes.largest == 1


def test_layers_in_loops_are_named_as_not_compared():
    cell = keras_ste.QuantDense(40, name="step", **SIGNS)
    inputs = keras.Input((40,))
    cell.build((None, 40))

    class Loop(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.cell = cell

        def call(self, x):
            return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, self.cell(y)), (0, x))[1]

    model = keras.Model(inputs, Loop(name="loop")(inputs))
    found = keras_ste.convert(model, verify=rows(4, 0), verify_layers=True).report.verification
    assert found.passed and not found.layers and [reason for _, reason in found.skipped] == ["it runs in a loop"]


def test_layers_with_the_channels_first_are_compared():
    layers = [keras_ste.QuantConv2D(4, 2, data_format="channels_first", **SIGNS) for _ in range(2)]
    model = keras.Sequential([keras.Input((3, 6, 5)), *layers])
    x = np.random.default_rng(0).normal(size=(4, 3, 6, 5)).astype(np.float32)
    verification = keras_ste.convert(model, strict=True, verify=x, verify_layers=True).report.verification
    assert verification.passed and {row.tensor for row in verification.layers} == {"input codes", "output"}


def test_a_layer_of_two_products_is_compared_at_its_ends():
    inputs = keras.Input((8, 8, 32))
    quantized = {"depthwise_quantizer": "ste_sign", "pointwise_quantizer": "ste_sign", "input_quantizer": "ste_sign"}
    # As many numbers between the two products as there are before and behind them.
    x = keras_ste.QuantSeparableConv2D(32, 3, padding="same", name="separable", **quantized)(inputs)
    x = keras_ste.QuantConv2D(40, 3, name="next", **SIGNS)(x)
    x = keras.layers.Flatten()(x)
    images = np.random.default_rng(0).integers(-8, 8, (3, 8, 8, 32)).astype(np.float32)
    found = keras_ste.convert(keras.Model(inputs, x), verify=images, verify_layers=True).report.verification
    assert found.passed and not found.skipped and all(row.differing == 0 for row in found.layers)
    assert ("next", "input codes") in [(row.name, row.tensor) for row in found.layers]
