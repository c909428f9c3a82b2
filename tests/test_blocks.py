"""Blocks: their shapes, what is quantized in them, and that they are saved and trained like any layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste import QuantDense, blocks
from keras_ste.blocks import bitnet_block


def model(**quantizers):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((None, 32))
    for _ in range(2):
        x = bitnet_block(x, heads=4, hidden=48, **quantizers)
    return keras.Model(inputs, x)


def tokens(batch=2, count=7):
    return np.random.default_rng(0).normal(size=(batch, count, 32)).astype(np.float32)


def test_every_block_has_an_example():
    for name in blocks.__all__:
        assert ">>> " in getattr(blocks, name).__doc__, name


def test_every_product_of_a_bitnet_block_is_of_integers():
    layers = [layer for layer in model().layers if isinstance(layer, QuantDense)]
    assert len(layers) == 2 * (4 + 3)
    for layer in layers:
        kernel = layer.quantized_kernel.numpy()
        scale = np.abs(layer.kernel.numpy()).mean(dtype=np.float64)
        np.testing.assert_allclose(np.unique(kernel), [-scale, 0, scale], rtol=1e-5)
        assert layer.input_quantizer.spec.bits == 8 and layer.bias is None


def test_the_float_twin_has_the_same_weights_and_no_quantizers():
    ternary, twin = model(), model(kernel_quantizer=None, input_quantizer=None)
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


def test_gradients_reach_every_weight_and_a_step_lowers_the_loss():
    network = model()
    x = tokens(8)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(network(x, training=True)))
    for variable, gradient in zip(network.trainable_variables, tape.gradient(loss, network.trainable_variables)):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
    network.compile(keras.optimizers.Adam(1e-3), "mse")
    history = network.fit(x, np.zeros_like(x), epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_saved_and_loaded(tmp_path):
    network = model()
    network.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for count in (1, 7):
        np.testing.assert_array_equal(again(tokens(count=count)), network(tokens(count=count)))


def test_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match="32 channels cannot be divided among 5 heads"):
        bitnet_block(keras.Input((4, 32)), heads=5, hidden=48)
