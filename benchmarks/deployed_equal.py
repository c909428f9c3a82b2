"""Whether trained networks decide on the device what they decide in Keras, for every image and every character.

    python benchmarks/deployed_equal.py [--quick] [--json PATH] [--part NAME] [--keep FOLDER]

Three networks are trained on Fashion-MNIST for a minute or two each: a binary one of ReActNet's blocks, a ResNet of
weights and activations of 2 bits, and one of depthwise layers of 8 bits and ternary pointwise layers. Of all 10,000
test images the class is compared, and the last feature map, as integers. The ternary transformer of
examples/language_model.py is trained for 100 steps; of 1,000 contexts that were held out the next character is
compared. `--keep` stores what was trained, and takes it from there the next time.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import common  # noqa: I001: it sets the log level of TensorFlow

import fashion_data
import keras
import language_model
import numpy as np

import keras_ste
from keras_ste.blocks import reactnet_block
from keras_ste.models import bitnet_transformer
from keras_ste.quantizers import TWN, Lsq, UniformQuantizer

BATCH = 100
L = keras.layers


def stem(filters, strides=1):
    """The images, bytes as they are, through a convolution of 8-bit weights."""
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    x = keras_ste.QuantConv2D(
        filters,
        3,
        strides,
        padding="same",
        use_bias=False,
        kernel_quantizer=UniformQuantizer(8, scale_axis=-1),
    )(image)
    return image, L.BatchNormalization()(x)


def network(image, x, quantizer, name):
    """The model with two outputs: the classes, and the last feature map quantized."""
    codes = keras_ste.QuantActivation(quantizer, name="codes")(x)
    logits = L.Dense(10, name="logits")(L.GlobalAveragePooling2D()(codes))
    return keras.Model(image, {"logits": logits, "codes": codes}, name=name)


def binary():
    """ReActNet's blocks: signs times signs, shortcuts and learned shifts in float."""
    image, x = stem(16, 2)
    for filters, strides in ((32, 1), (64, 2), (64, 1)):
        x = reactnet_block(x, filters, strides)
    return network(image, x, UniformQuantizer(4, 0.25), "binary")


def two_bits():
    """A ResNet whose convolutions multiply 2 bits by 2 bits, those of the shortcuts too."""

    def conv(x, filters, size, strides=1):
        x = keras_ste.QuantConv2D(
            filters,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_quantizer=Lsq(2, narrow_range=True, scale_axis=-1),
            input_quantizer=Lsq(2, signed=False),
        )(x)
        return L.BatchNormalization()(x)

    image, x = stem(16, 2)
    x = L.ReLU()(x)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = conv(L.ReLU()(conv(x, filters, 3, strides)), filters, 3)
        shortcut = x if (strides, filters) == (1, x.shape[-1]) else conv(x, filters, 1, strides)
        x = L.ReLU()(L.Add()([y, shortcut]))
    return network(image, x, UniformQuantizer(4, 0.25, signed=False), "two_bits")


def mobile():
    """MobileNet's layers: depthwise ones of 8 bits, ternary ones of size 1, 8-bit activations."""
    image, x = stem(32, 2)
    for filters, strides in ((64, 1), (96, 2), (128, 1)):
        x = keras_ste.QuantDepthwiseConv2D(
            3,
            strides,
            padding="same",
            use_bias=False,
            depthwise_quantizer=UniformQuantizer(8, scale_axis=-2, narrow_range=True),
            input_quantizer=UniformQuantizer(8, 1 / 32, signed=False),
        )(x)
        x = L.ReLU()(L.BatchNormalization()(x))
        x = keras_ste.QuantConv2D(
            filters,
            1,
            use_bias=False,
            kernel_quantizer=TWN(scale_axis=-1),
            input_quantizer=UniformQuantizer(8, 1 / 32, signed=False),
        )(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    return network(image, x, UniformQuantizer(4, 0.25, signed=False), "mobile")


NETWORKS = {"binary": binary, "two_bits": two_bits, "mobile": mobile}


def trained(model, train, folder):
    """The model with the weights of an earlier run, or trained."""
    path = folder and pathlib.Path(folder, f"{model.name}.weights.h5")
    if path and path.exists():
        model.load_weights(path)
        return model
    start = time.perf_counter()
    train(model)
    print(f"{model.name}: {model.count_params():,} parameters, trained for {time.perf_counter() - start:.0f} s")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(path)
    return model


def fit(model, images, labels):
    """One pass over the images, on the logits alone."""
    learner = keras.Model(model.inputs, model.output["logits"])
    steps = len(images) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    learner.fit(images, labels, batch_size=BATCH, verbose=2)


class Device:
    """The converted model in the interpreter, at a fixed batch."""

    def __init__(self, model, batch):
        converted = keras_ste.convert(model, strict=True)
        self.report = converted.report
        interpreter = keras_ste.Interpreter(model_content=converted.model_content)
        (self._input,) = interpreter.get_signature_list()["serving_default"]["inputs"]
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, (batch, *model.input_shape[1:]))
        self._run = interpreter.get_signature_runner()

    def __call__(self, x):
        return self._run(**{self._input: x})


def compare_images(rows, model, images, labels):
    """Classes and integers of all images."""
    device = Device(model, BATCH)
    equal = right = codes = logits = 0
    for first in range(0, len(images), BATCH):
        x, y = images[first : first + BATCH], labels[first : first + BATCH]
        expected = {name: value.numpy() for name, value in model(x, training=False).items()}
        found = device(x)
        classes = found["logits"].argmax(-1)
        equal += int((classes == expected["logits"].argmax(-1)).sum())
        right += int((classes == y).sum())
        codes += int((found["codes"] != expected["codes"]).sum())
        logits = max(logits, float(np.abs(found["logits"] - expected["logits"]).max()))
    count = len(images)
    print(
        f"{model.name}: {equal:,} of {count:,} classes equal, {codes:,} integers differ, logits by up to {logits:.2g}; "
        f"{100 * right / count:.2f} % right"
    )
    rows.add(model.name, "classes equal", equal, at_least=count)
    rows.add(model.name, "integers that differ", codes, at_most=0)
    rows.add(model.name, "percent right", 100 * right / count)


def compare_characters(rows, options):
    """The next characters of held-out contexts."""
    text = language_model.load_text(None)
    alphabet = sorted(set(text))
    codes = np.searchsorted(alphabet, list(text)).astype(np.int32)
    held_out = int(len(codes) * language_model.HELD_OUT)
    keras.utils.set_random_seed(1)
    sizes = {
        "channels": language_model.CHANNELS,
        "heads": language_model.HEADS,
        "hidden": language_model.HIDDEN,
        "blocks": language_model.BLOCKS,
    }
    model = bitnet_transformer(len(alphabet), language_model.CONTEXT, **sizes, name="ternary")
    steps = 10 if options.quick else 100
    trained(model, lambda model: language_model.train(model, codes[:-held_out], steps), options.keep)
    count, batch = (50, 10) if options.quick else (1000, 20)
    starts = np.random.default_rng(0).integers(0, held_out - language_model.CONTEXT, count) + len(codes) - held_out
    contexts = np.stack([codes[start : start + language_model.CONTEXT] for start in starts])
    device = Device(model, batch)
    equal, logits = 0, 0.0
    for first in range(0, count, batch):
        x = contexts[first : first + batch]
        expected = model(x, training=False).numpy()[:, -1]
        (found,) = device(x).values()
        equal += int((found[:, -1].argmax(-1) == expected.argmax(-1)).sum())
        logits = max(logits, float(np.abs(found[:, -1] - expected).max()))
    print(f"ternary transformer: {equal:,} of {count:,} next characters equal, logits by up to {logits:.2g}")
    rows.add("transformer", "next characters equal", equal, at_least=count)


def main():
    parser = common.argument_parser(__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=[*NETWORKS, "transformer"], help="only this network")
    parser.add_argument("--keep", metavar="FOLDER", help="where trained weights are kept")
    parser.add_argument("--data", default=fashion_data.DEBIAN_DATA, help="folder of Fashion-MNIST")
    options = parser.parse_args()
    common.print_header()
    rows = common.Rows()
    images, labels = fashion_data.load_split(options.data, "train")
    tests = fashion_data.load_split(options.data, "t10k")
    few = 1000 if options.quick else len(images)
    for name, make in NETWORKS.items():
        if options.part in (None, name):
            keras.utils.set_random_seed(1)
            model = trained(make(), lambda model: fit(model, images[:few], labels[:few]), options.keep)
            compare_images(rows, model, *(part[: 500 if options.quick else None] for part in tests))
    if options.part in (None, "transformer"):
        compare_characters(rows, options)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
