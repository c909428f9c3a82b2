"""Trains small binary networks on Fashion-MNIST and compares what they learn.

    python benchmarks/accuracy.py [--quick] [--json PATH] [--part PART] [--seeds N] [--log PATH] [--data DIR]

Six parts, each printed as a table of means and spreads over the seeds:

surrogates  one binary convnet with each surrogate for the signs of its activations, on images held out of the training images;
peers       a larger one with two of them, with Larq's and with qkeras-v3's layers, on the test images: the same network,
            weights to start from, optimizer, steps and order of the images;
residual    a network of ReActNet's blocks and its float twin, on the test images;
post        a float network of depthwise convolutions, and what becomes of it by keras_ste.optimization without training;
training    a float network of convolutions and ReLUs; its copies quantized by schemes and fine-tuned from its weights, all with the
            same steps; the same network from the same weights in Larq, in qkeras-v3 and in tensorflow-model-optimization;
widths      the same float network with weights of one width, and of mixed widths that take no more bytes; without training,
            and both fine-tuned with the same steps.

One thread; the CPU seconds are those of one training, its compilation included. With --log, a training that the file already
has is not repeated.
"""

import functools
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time

import common

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "examples"))
import fashion_data  # noqa: E402
import keras  # noqa: E402
import networks  # noqa: E402
import one_network  # noqa: E402
from peers import worker  # noqa: E402

import keras_ste  # noqa: E402
from keras_ste import optimization  # noqa: E402
from keras_ste.blocks import reactnet_block  # noqa: E402
from keras_ste.estimators import surrogates  # noqa: E402
from keras_ste.quantizers import SteSign  # noqa: E402

MOST_CPU_SECONDS = 300
MOST_POINTS_BELOW_FLOAT = 2.0
FOR_ROUNDINGS = {"dsq_round"}
QUICK_SURROGATES = ["approx_sign", "clipped_identity", "identity", "swish_sign"]

BUDGETS = {
    "surrogates": {"filters": [16, 32, 32], "images": 20000, "epochs": 2, "rate": 5e-3, "test": False},
    "peers": {"filters": [16, 32, 64], "images": 60000, "epochs": 2, "rate": 5e-3, "test": True},
    "residual": {"images": 60000, "epochs": 3, "test": True},
    "post": {"images": 60000, "epochs": 3, "rate": 5e-3, "test": True},
    "training": {"images": 60000, "float_epochs": 3, "float_rate": 5e-3, "epochs": 1, "test": True},
    "widths": {"images": 60000, "float_epochs": 3, "float_rate": 5e-3, "epochs": 1, "rate": 2e-3, "test": True},
}
# How a trained network is quantized without training: the scheme, further arguments, and the most points it may lose.
POST_TRAINING = {
    "int8": ("int8", {}, 0.2),
    "W4A8": ("w4a8", {}, None),
    "W4A8, biases corrected": ("w4a8", {"bias_correction": True}, 1.0),
    "W4A8, AdaRound, biases corrected": ("w4a8", {"bias_correction": True, "adaround": 300}, 1.0),
}
CALIBRATION_IMAGES = 512
# Each the better of 5e-3 and 1e-2 in a network of half the width, after two epochs of 20,000 images, on others of the training images.
RESIDUAL_RATES = {"float twin": 5e-3, "ReActNet blocks": 1e-2}
# What the peers have, too, Larq under a name of its own for the second.
OURS = ["approx_sign", "clipped_identity"]
LARQS = ["approx_sign", "ste_sign"]
# What quantizes the inputs of Larq's layers in the network of `training`: of a few, the best on held-out images.
LARQ_INPUTS = "approx_sign"


def surrogate_names():
    """The surrogates of the table: all, but for those of roundings."""
    return [name for name in surrogates.names() if name not in FOR_ROUNDINGS]


class Log:
    """The trainings done, one a line of a file."""

    def __init__(self, path):
        self.path = path
        self.results = {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                for line in f:
                    entry = json.loads(line)
                    self.results[json.dumps(entry["training"], sort_keys=True)] = entry["result"]

    def result(self, training, run):
        """What is known of this training, or else what `run()` returns."""
        key = json.dumps(training, sort_keys=True)
        if key not in self.results:
            self.results[key] = run()
            if self.path:
                with open(self.path, "a", encoding="utf-8") as f:
                    f.write(json.dumps({"training": training, "result": self.results[key]}) + "\n")
        return self.results[key]


def binary_layers(surrogate, filters, **arguments):
    """Our binary convolution, the surrogate that of the activations."""
    return [
        keras_ste.QuantConv2D(
            filters, input_quantizer=SteSign(surrogate=surrogate), kernel_quantizer="ste_sign", **arguments
        )
    ]


def qkeras_layers(filters, **arguments):
    """The same of qkeras-v3, as its documentation writes it."""
    import qkeras

    return [
        qkeras.QActivation("binary(alpha=1)"),
        qkeras.QConv2D(filters, kernel_quantizer="binary(alpha=1)", **arguments),
    ]


def residual_network(binary):
    """A float convolution, two of ReActNet's blocks at 7x7 pixels, a float classifier; or its float twin."""
    quantizers = {} if binary else {"kernel_quantizer": None, "input_quantizer": None}
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(64, 5, strides=2, padding="same", use_bias=False)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = reactnet_block(x, 64, strides=2, **quantizers)
    x = reactnet_block(x, 128, **quantizers)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(networks.CLASSES)(x))


def depthwise_network():
    """A float convolution, three blocks of a depthwise one and one of size 1, a classifier."""
    layers = [keras.Input((28, 28, 1)), keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)]
    for filters, strides in ((32, 1), (64, 2), (64, 1)):
        layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU(6.0)]
        layers.append(keras.layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False))
        layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU(6.0)]
        layers.append(keras.layers.Conv2D(filters, 1, use_bias=False))
    layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU(6.0)]
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(networks.CLASSES)])


class Benchmark:
    """Runs the parts with the options of the command line, and collects their rows."""

    def __init__(self, options):
        self.options = options
        self.log = Log(options.log)
        self.rows = common.Rows()
        # The float networks are kept beside the log; without one they go with this process.
        self.temporary = None if options.log else tempfile.TemporaryDirectory()
        folder = f"{options.log}.weights" if options.log else self.temporary.name
        self.one_network = one_network.OneNetwork(options.data, folder)
        self.seeds = range(options.seeds or (1 if options.quick else 3))

    def budget(self, part):
        budget = dict(BUDGETS[part])
        if self.options.quick:
            budget.update({name: 1 for name in budget if name.endswith("epochs")})
        return budget

    def train(self, part, name, run, **budget):
        """The mean accuracy over the seeds, in percent; printed and collected with the spread."""
        budget = {**self.budget(part), **budget}
        results = []
        for seed in self.seeds:
            training = {"part": part, "name": name, "seed": seed, **budget}
            results.append(self.log.result(training, functools.partial(run, budget, seed)))
        values = [100 * result["accuracy"] for result in results]
        seconds = max(result["cpu_seconds"] for result in results)
        mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"| {name} | {mean:.2f} | {spread:.2f} | {min(values):.2f} | {max(values):.2f} | {seconds:.0f} |", flush=True)
        case = f"{part}: {name}"
        self.rows.add(case, "accuracy", mean)
        self.rows.add(case, "spread", spread)
        self.rows.add(case, "most CPU seconds of a training", seconds, at_most=MOST_CPU_SECONDS)
        return mean

    def header(self, part):
        budget = self.budget(part)
        print(f"\n{part}: {budget}, batches of {networks.BATCH}, seeds {list(self.seeds)}")
        print("\n| | mean % | standard deviation | least | most | CPU seconds |\n| --- | --- | --- | --- | --- | --- |")

    def in_process(self, network, budget, seed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        return networks.trained(keras, network(budget), self.options.data, budget, seed)

    def convnet(self, layers):
        return functools.partial(self.in_process, lambda budget: networks.convnet(keras, layers, budget["filters"]))

    def surrogates(self):
        self.header("surrogates")
        names = QUICK_SURROGATES if self.options.quick else surrogate_names()
        for name in names:
            self.train("surrogates", name, self.convnet(functools.partial(binary_layers, name)))

    def peers(self):
        self.header("peers")
        ours = {
            name: self.train("peers", f"keras_ste {name}", self.convnet(functools.partial(binary_layers, name)))
            for name in OURS
        }
        theirs = {}
        if importlib.util.find_spec("qkeras"):
            theirs["qkeras-v3 binary"] = self.train("peers", "qkeras-v3 binary", self.convnet(qkeras_layers))
        else:
            print("WITHOUT qkeras-v3, which is not installed: pip install qkeras-v3")
        larq = worker.find("larq")
        if larq:
            for name in LARQS:
                run = functools.partial(self.with_larq, larq, name)
                theirs[f"Larq {name}"] = self.train("peers", f"Larq {name}", run)
            larq.close()
        best = max(ours, key=ours.get)
        for name, mean in theirs.items():
            self.rows.add(f"peers: best of keras_ste ({best})", f"points above {name}", ours[best] - mean, at_least=0)

    def with_larq(self, larq, surrogate, budget, seed):
        return larq.ask(task="train", surrogate=surrogate, directory=self.options.data, options=budget, seed=seed)

    def residual(self):
        self.header("residual")
        means = []
        for name, rate in RESIDUAL_RATES.items():
            binary = name != "float twin"
            run = functools.partial(self.in_process, lambda _, b=binary: residual_network(b))
            means.append(self.train("residual", name, run, rate=rate))
        self.rows.add("residual", "points below its float twin", means[0] - means[1], at_most=MOST_POINTS_BELOW_FLOAT)


    def post(self):
        self.header("post")
        # Of each seed the network, trained once for all rows.
        models = {}

        def trained(budget, seed):
            def build(_):
                models[seed] = depthwise_network()
                return models[seed]

            return self.in_process(build, budget, seed)

        def quantized(name, budget, seed):
            if seed not in models:
                trained(budget, seed)
            scheme, arguments, _ = POST_TRAINING[name]
            images, _ = fashion_data.load_split(self.options.data, "train")
            inputs = networks.as_inputs(images[:CALIBRATION_IMAGES]).numpy()
            start = time.process_time()
            model = optimization.post_training_quantize(models[seed], inputs, scheme, verbose=0, **arguments)
            seconds = time.process_time() - start
            test = fashion_data.load_split(self.options.data, "t10k")
            return {"accuracy": networks.accuracy(model, *test), "cpu_seconds": seconds}

        plain = self.train("post", "float", trained)
        for name, (_, _, most) in POST_TRAINING.items():
            mean = self.train("post", name, functools.partial(quantized, name))
            self.rows.add(f"post: {name}", "points below float", plain - mean, at_most=most)

    def training(self):
        self.header("training")
        plain = self.train("training", "float", self.one_network.train_float)
        means = {}
        for name, form in one_network.FORMS.items():
            run = functools.partial(self.one_network.train_form, form.scheme)
            means[name] = self.train("training", name, run, rate=form.rate)
            self.rows.add(f"training: {name}", "points below float", plain - means[name], at_most=form.most)
        rate = one_network.FORMS["binary"].rate
        if importlib.util.find_spec("qkeras"):
            run = functools.partial(self.one_network.train_peer, qkeras_layers)
            self.at_least("binary", means, self.train("training", "qkeras-v3 binary", run, rate=rate), "qkeras-v3")
        else:
            print("WITHOUT qkeras-v3, which is not installed: pip install qkeras-v3")
        larq = worker.find("larq")
        if larq:
            run = functools.partial(self.fine_tuned_by, larq, {"form": LARQ_INPUTS})
            self.at_least("binary", means, self.train("training", f"Larq {LARQ_INPUTS}", run, rate=rate), "Larq")
            larq.close()
        tfmot = worker.find("tfmot")
        if tfmot:
            ours = "W4A4, first and last layer too"
            run = functools.partial(self.fine_tuned_by, tfmot, {"bits": 4})
            mean = self.train("training", "tfmot 4 bits", run, rate=one_network.FORMS[ours].rate)
            self.at_least(ours, means, mean, "tfmot's scheme of 4 bits")
            tfmot.close()

    def fine_tuned_by(self, peer, options, budget, seed):
        """The network fine-tuned in a peer's process."""
        files = {
            "weights": str(self.one_network.weights(budget, seed)),
            "teacher": str(self.one_network.teacher(budget, seed)),
        }
        seed += one_network.FINE_TUNING_SEED
        return peer.ask(task="fine_tune", directory=self.options.data, options=budget, seed=seed, **files, **options)

    def at_least(self, ours, means, theirs, peer):
        self.rows.add(f"training: {ours}", f"points above {peer}", means[ours] - theirs, at_least=0)

    def widths(self):
        self.header("widths")
        ways = {"": self.one_network.with_widths, ", trained": self.one_network.train_widths}
        for bits in one_network.UNIFORM_BITS:
            for way, run in ways.items():
                names = (f"{bits} bits{way}", f"mixed, the bytes of {bits} bits{way}")
                uniform, mixed = (
                    self.train("widths", name, functools.partial(run, bits, search))
                    for name, search in zip(names, (False, True), strict=True)
                )
                self.rows.add(f"widths: {names[1]}", f"points above {bits} bits", mixed - uniform, at_least=0)


def main():
    parts = ("surrogates", "peers", "residual", "post", "training", "widths")
    parser = common.argument_parser(__doc__.split("\n")[0])
    parser.add_argument("--part", action="append", choices=parts, help="only this part; may be given again")
    parser.add_argument("--seeds", type=int, help="how often each network is trained (default: 3, quick: 1)")
    parser.add_argument("--log", metavar="PATH", help="file of the trainings already done, which is continued")
    parser.add_argument("--data", default=fashion_data.DEBIAN_DATA, help="folder of the images (default: %(default)s)")
    options = parser.parse_args()
    networks.use_one_thread()
    common.print_header(("keras_ste", "tensorflow", "keras", "qkeras-v3", "numpy"))
    benchmark = Benchmark(options)
    for part in options.part or parts:
        getattr(benchmark, part)()
    benchmark.rows.finish(options.json)


if __name__ == "__main__":
    main()
