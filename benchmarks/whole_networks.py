"""Times whole binary networks in our interpreter against their int8 twins in LiteRT with XNNPACK.

    python benchmarks/whole_networks.py [--quick] [--json PATH]

Networks of the sizes of ResNet-18 and QuickNet on images of 224x224x3, weights and normalizations drawn at random, converted by
`keras_ste.convert(strict=True)`. What is not binary in them multiplies 8 bits by 8: the first convolution, the projections between
stages and the classifier; QuickNet's depthwise and pointwise convolutions behind the first are in float. The twin has the same
layers with float kernels, and is fully quantized to int8 by TFLite's converter; its ReLU stands where TFLite fuses it into the
convolution. Medians of alternating rounds, milliseconds. What a second thread gains is taken from the fastest rounds: on a machine
that others share the second core is away in some rounds. Below each network is what its ops take one by one, each as a model of its
own: what they take together in the network is a little more.
"""

import collections
import statistics

import common
import conv
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

import keras_ste
from keras_ste import blocks
from keras_ste.benchmarking.models import alone
from keras_ste.benchmarking.running import invoker
from keras_ste.blocks.common import batch_norm, projected
from keras_ste.converter.graph import read_model

RATIO_TO_INT8 = 3.0
RATIO_OF_THREADS = 1.7
STAGES = 4
BLOCKS = 4  # of each stage
FILTERS = 64  # of the first stage, doubled from each to the next
CLASSES = 1000
IMAGE = (224, 224, 3)


def normalized_conv(x, filters, size, strides, relu, **quantizers):
    layer = keras_ste.QuantConv2D if quantizers else keras.layers.Conv2D
    x = layer(filters, size, strides=strides, padding="same", use_bias=False, **quantizers)(x)
    x = batch_norm(x, None)
    return keras.layers.ReLU()(x) if relu else x


def weights_of_8_bits():
    return keras_ste.quantizers.UniformQuantizer(bits=8)


def inputs_of_8_bits():
    return keras_ste.quantizers.UniformQuantizer(bits=8, scale=0.05)


def first_convolution(filters, size, binary):
    """The input, and the first convolution: the binary network has weights of 8 bits there, and the pixels' bytes."""
    inputs = keras.Input(IMAGE, dtype="uint8" if binary else "float32")
    quantizers = {"kernel_quantizer": weights_of_8_bits()} if binary else {}
    return inputs, normalized_conv(inputs, filters, size, 2, relu=True, **quantizers)


def classified(x, binary):
    x = keras.layers.GlobalAveragePooling2D()(x)
    if not binary:
        return keras.layers.Dense(CLASSES)(x)
    return keras_ste.QuantDense(CLASSES, kernel_quantizer=weights_of_8_bits(), input_quantizer=inputs_of_8_bits())(x)


def residual_block(x, filters, strides, binary):
    """Bi-Real Net's block, its batch normalization folded into the convolution, or the twin's."""
    if binary:
        return blocks.bireal_block(
            x, filters, strides, kernel_quantizer="ste_sign", input_quantizer="ste_sign",
            projection_kernel_quantizer=weights_of_8_bits(), projection_input_quantizer=inputs_of_8_bits(),
        )  # fmt: skip
    y = normalized_conv(x, filters, 3, strides, relu=True)
    return keras.layers.Add()([y, projected(x, filters, strides, None)])


def resnet(binary):
    """Bi-Real Net of 18 layers: ResNet-18 with a shortcut round each convolution."""
    inputs, x = first_convolution(FILTERS, 7, binary)
    x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage in range(STAGES):
        for block in range(BLOCKS):
            x = residual_block(x, FILTERS << stage, 2 if stage and not block else 1, binary)
    return keras.Model(inputs, classified(x, binary))


def quicknet(binary):
    """QuickNet: its stem, and a binary convolution between ReLU and batch normalization in each block."""
    quantizer = "ste_sign" if binary else None
    transition = {"kernel_quantizer": weights_of_8_bits(), "input_quantizer": inputs_of_8_bits()} if binary else {}
    inputs, x = first_convolution(FILTERS // 4, 3, binary)
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = normalized_conv(batch_norm(x, None), FILTERS, 1, 1, relu=False)
    for stage in range(STAGES):
        if stage:
            x = blocks.quicknet_transition(x, FILTERS << stage, **transition)
        for _ in range(BLOCKS):
            x = blocks.quicknet_block(x, kernel_quantizer=quantizer, input_quantizer=quantizer)
    return keras.Model(inputs, classified(keras.layers.ReLU()(x), binary))


def randomize_normalizations(model, seed=0):
    """As training would leave them: at their initial values the converter would drop some of them."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights([rng.uniform(0.5, 1.5, shape), rng.normal(0, 0.5, shape), rng.normal(0, 0.5, shape),
                               rng.uniform(0.5, 1.5, shape)])
    return model


def int8_twin(model):
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=(1, *IMAGE)).astype(np.float32)] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def print_ops(title, content, rounds):
    """Where the time goes, by the ops' names."""
    seconds, count = collections.Counter(), collections.Counter()
    for op in read_model(content).graphs[0].ops:
        model = alone(op)
        if model is not None:
            seconds[op.name] += common.time_in_turn([invoker(model)], rounds, seconds_per_round=0.004)[0]
            count[op.name] += 1
    print(f"  {title}, ops alone: {1e3 * seconds.total():.2f} ms: "
          + ", ".join(f"{count[name]} {name} {1e3 * time:.2f}" for name, time in seconds.most_common()))


def compare(case, network, rounds, rows):
    """One network against its twin."""
    binary = keras_ste.convert(randomize_normalizations(network(True)), strict=True).model_content
    int8 = int8_twin(randomize_normalizations(network(False)))
    interpreters = {
        "binary": keras_ste.Interpreter(model_content=binary, num_threads=1),
        "binary, 2 threads": keras_ste.Interpreter(model_content=binary, num_threads=2),
        "int8": LiteRtInterpreter(model_content=int8, num_threads=1),
        "int8, 2 threads": LiteRtInterpreter(model_content=int8, num_threads=2),
    }
    seconds = common.rounds_in_turn([conv.invoker(i) for i in interpreters.values()], rounds)
    times = {name: 1e3 * statistics.median(values) for name, values in zip(interpreters, seconds)}
    fastest = {name: min(values) for name, values in zip(interpreters, seconds)}
    ratio, threads = times["int8"] / times["binary"], fastest["binary"] / fastest["binary, 2 threads"]
    print(f"{case:<12}" + "".join(f"{time:>20.2f}" for time in times.values()) + f"{ratio:>16.2f}{threads:>12.2f}"
          + f"{len(binary):>14,}{len(int8):>14,}")
    for name, time in times.items():
        rows.add(case, f"{name} ms", time)
    rows.add(case, "int8 / binary", ratio, at_least=RATIO_TO_INT8)
    rows.add(case, "one thread / two", threads, at_least=RATIO_OF_THREADS)
    print_ops("binary", binary, rounds)
    print_ops("int8", int8, rounds)


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    heads = ["binary", "binary, 2 threads", "int8", "int8, 2 threads"]
    print(f"{'ms':<12}" + "".join(f"{head:>20}" for head in heads) + f"{'int8 / binary':>16}{'1 / 2':>12}"
          + f"{'bytes':>14}{'of int8':>14}")
    for case, network in (("ResNet-18", resnet), ("QuickNet", quicknet)):
        compare(case, network, 5 if options.quick else 21, rows)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
