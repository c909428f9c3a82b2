"""A binary convnet on Fashion-MNIST: trained with Keras, converted, run everywhere, and compared.

    python examples/fashion_mnist.py [--fast] [--data DIR] [--output DIR]

Trains a small binary network and its float twin on the real images, converts both (the twin also to int8), runs the test
images through Keras, stock TFLite, LiteRT and TFLite Micro, and prints accuracy, agreement, file sizes and times.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter
from fashion_data import DEBIAN_DATA, load_split
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_ste

MICRO_IMAGES = 200
BATCH = 500
console = Console()


def binary_model():
    """One-bit weights everywhere, one-bit activations from the second layer on; the first layer reads the pixels."""
    binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8", name="image"),
            keras_ste.layers.QuantConv2D(32, 3, padding="same", kernel_quantizer="ste_sign", use_bias=False),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(momentum=0.9),
            keras_ste.layers.QuantConv2D(64, 3, padding="same", **binary),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(momentum=0.9),
            keras_ste.layers.QuantConv2D(128, 3, padding="same", **binary),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Flatten(),
            keras_ste.layers.QuantDense(256, **binary),
            keras.layers.BatchNormalization(momentum=0.9),
            keras_ste.layers.QuantDense(10, **binary),
            keras.layers.BatchNormalization(momentum=0.9, name="logits"),
        ],
        name="binary",
    )


def float_twin():
    """The same layers in float, with ReLU where the binary network takes signs."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8", name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, padding="same", use_bias=False),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(64, 3, padding="same", use_bias=False),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(128, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(256, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Dense(10),
        ],
        name="float_twin",
    )


def train(model, images, labels, epochs):
    """Trains with Keras's own progress bar; the learning rate falls to zero along a cosine."""
    steps = epochs * -(-len(images) // 128)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    console.print(f"[bold]training {model.name}[/]: {len(images)} images, {epochs} epochs")
    model.fit(images, labels, batch_size=128, epochs=epochs)


def convert_twin(model, calibration):
    """Returns the float and the int8 file of a Keras model, from TensorFlow's own converter."""
    float_file = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in calibration)
    return float_file, converter.convert()


def run_batches(interpreter, images, name):
    """Returns the logits of all images, in batches."""
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], [BATCH, *images.shape[1:]])
    interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]
    logits = []
    for start in track(range(0, len(images), BATCH), description=f"{name:<28}", console=console):
        interpreter.set_tensor(detail["index"], images[start : start + BATCH])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(output))
    return np.concatenate(logits)


def run_micro(model_content, images):
    """Returns the logits of the images from TFLite Micro, one by one."""
    interpreter = keras_ste.MicroInterpreter(model_content=model_content)
    logits = []
    for image in track(images, description=f"{'TFLite Micro':<28}", console=console):
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        logits.append(interpreter.get_output(0)[0].copy())
    return np.array(logits)


def microseconds_per_image(interpreters, images, rounds=15, repeats=20):
    """Median time of one image, one thread, for each interpreter in turn."""
    runs = []
    for interpreter in interpreters:
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images[:1])
        interpreter.invoke()
        runs.append(interpreter.invoke)
    times = [[] for _ in runs]
    for _ in range(rounds):
        for run, values in zip(runs, times, strict=True):
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            values.append((time.perf_counter() - start) / repeats * 1e6)
    return [statistics.median(values) for values in times]


def compare(name, logits, reference, labels):
    """Prints how a runtime's logits agree with Keras's; returns whether the classes are all equal."""
    same = int(np.sum(logits.argmax(1) == reference.argmax(1)))
    difference = float(np.abs(logits - reference).max())
    accuracy = np.mean(logits.argmax(1) == labels)
    console.print(
        f"{name:<28} accuracy {accuracy:.2%}, {same} of {len(logits)} classes equal to Keras, "
        f"largest difference of a logit {difference:.1e}"
    )
    return same == len(logits) and difference <= 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fast", action="store_true", help="train on fewer images: under three minutes on two cores")
    parser.add_argument("--data", default=DEBIAN_DATA, help="folder with the four .gz files (default: %(default)s)")
    parser.add_argument("--output", default=".", help="folder for the three .tflite files (default: here)")
    options = parser.parse_args()

    images, labels = load_split(options.data, "train")
    test_images, test_labels = load_split(options.data, "t10k")
    epochs = 2 if options.fast else 10
    if options.fast:
        images, labels = images[:20000], labels[:20000]
    keras.utils.set_random_seed(1)
    twin, binary = float_twin(), binary_model()
    train(twin, images, labels, epochs)
    train(binary, images, labels, epochs)

    converted = keras_ste.convert(binary, strict=True)
    console.print(str(converted.report), highlight=False)
    float_file, int8_file = convert_twin(twin, images[:200])
    output = pathlib.Path(options.output)
    converted.save(output / "fashion_binary.tflite")
    (output / "fashion_float.tflite").write_bytes(float_file)
    (output / "fashion_int8.tflite").write_bytes(int8_file)

    reference = binary.predict(test_images, batch_size=BATCH, verbose=0)
    twin_logits = twin.predict(test_images, batch_size=BATCH, verbose=0)
    delegate = keras_ste.runtime.load_delegate("tflite")
    tflite = tf.lite.Interpreter(model_content=converted.model_content, experimental_delegates=[delegate])
    litert = keras_ste.Interpreter(model_content=converted.model_content, num_threads=2)
    int8 = LiteRtInterpreter(model_content=int8_file, num_threads=2)
    runs = [
        ("stock TFLite with delegate", run_batches(tflite, test_images, "stock TFLite with delegate")),
        ("LiteRT", run_batches(litert, test_images, "LiteRT")),
        ("TFLite Micro", run_micro(converted.model_content, test_images[:MICRO_IMAGES])),
    ]
    int8_logits = run_batches(int8, test_images, "LiteRT, int8 twin")

    console.rule("accuracy and agreement on the test images")
    console.print(f"{'Keras, float twin':<28} accuracy {np.mean(twin_logits.argmax(1) == test_labels):.2%}")
    console.print(f"{'LiteRT, int8 twin':<28} accuracy {np.mean(int8_logits.argmax(1) == test_labels):.2%}")
    console.print(f"{'Keras, binary':<28} accuracy {np.mean(reference.argmax(1) == test_labels):.2%}")
    agree = True
    for name, logits in runs:
        n = len(logits)
        agree &= compare(name, logits, reference[:n], test_labels[:n])

    files = [("binary", converted.model_content), ("int8 twin", int8_file), ("float twin", float_file)]
    interpreters = [keras_ste.Interpreter(model_content=converted.model_content, num_threads=1)]
    interpreters += [LiteRtInterpreter(model_content=content, num_threads=1) for _, content in files[1:]]
    times = microseconds_per_image(interpreters, test_images)
    table = Table("file", "bytes", "of binary's", "µs per image", "of binary's", title="LiteRT, one thread")
    for (name, content), microseconds in zip(files, times, strict=True):
        table.add_row(
            name,
            f"{len(content):,}",
            f"{len(content) / len(files[0][1]):.2f}",
            f"{microseconds:.1f}",
            f"{microseconds / times[0]:.2f}",
        )
    console.print(table)
    if not agree:
        sys.exit("the converted file does not agree with Keras")


if __name__ == "__main__":
    main()
