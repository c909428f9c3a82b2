"""The float network that accuracy.py quantizes in many ways, and how each of them is fine-tuned.

All start from the same weights, have the same images in the same order, batch by batch, and learn from the labels and from what the
float network says.
"""

import dataclasses
import pathlib
import time

import fashion_data
import keras
import networks
import numpy as np

from keras_ste import optimization
from keras_ste.optimization import schemes

CALIBRATION_IMAGES = 512
# Another order of the images than the one that the float network was trained with.
FINE_TUNING_SEED = 100


@dataclasses.dataclass(frozen=True)
class Form:
    """What becomes of the float network.

    Attributes:
        scheme: of `quantize_model`; `None` is the float network itself.
        rate: the first learning rate.
        most: how many points it may be below the float network.
    """

    scheme: object
    rate: float
    most: float | None = None


FOUR_BITS = schemes.lsq(4, 4).default
FORMS = {
    "float, trained on": Form(None, 1e-3),
    "int8": Form("int8", 1e-3, 0.1),
    "W4A4": Form("lsq(4, 4)", 2e-3, 0.5),
    "W4A4, first and last layer too": Form(schemes.lsq(4, 4, first=FOUR_BITS, last=FOUR_BITS), 2e-3),
    "W2A2": Form("lsq(2, 2)", 2e-3, 1.0),
    "binary": Form("binary", 5e-3, 3.0),
}
# The uniform widths whose bytes mixed widths may take, and the widths these are chosen from.
UNIFORM_BITS = (3,)
WIDTHS = (2, 3, 4, 5, 6, 8)


class OneNetwork:
    """The float network of each seed, trained when it is first asked for.

    Args:
        directory: of Fashion-MNIST's files.
        folder: where the weights are kept.
    """

    def __init__(self, directory, folder):
        self.directory = directory
        self.folder = pathlib.Path(folder)
        # By the file of the weights, as it is measured once for all that is made of it.
        self.sensitivities = {}

    def path(self, budget, seed):
        return self.folder / f"float_{budget['images']}_{budget['float_epochs']}_{budget['float_rate']}_{seed}.npz"

    def train_float(self, budget, seed):
        """Trains it, and keeps its weights and what it says of the training images."""
        budget = {**budget, "epochs": budget["float_epochs"], "rate": budget["float_rate"]}
        keras.backend.clear_session()
        model = networks.relu_convnet(keras)
        result = networks.trained(keras, model, self.directory, budget, seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        images, _ = fashion_data.load_split(self.directory, "train")
        networks.save_weights(model, self.path(budget, seed))
        np.save(self.path(budget, seed).with_suffix(".npy"), networks.logits_of(model, images))
        return result

    def weights(self, budget, seed):
        """The file of its weights."""
        path = self.path(budget, seed)
        if not path.with_suffix(".npy").exists():
            self.train_float(budget, seed)
        return path

    def teacher(self, budget, seed):
        """The file of what it says of the training images."""
        return self.weights(budget, seed).with_suffix(".npy")

    def loaded(self, budget, seed, inner=None):
        """The network with its weights; with `inner`, another library's layers in it."""
        path = self.weights(budget, seed)
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = networks.relu_convnet(keras, inner)
        networks.load_weights(model, path)
        return model

    def fine_tune(self, model, budget, seed):
        """Trains a model that was made of the network."""
        taught = self.teacher(budget, seed)
        return networks.fine_tuned(keras, model, self.directory, budget, FINE_TUNING_SEED + seed, taught)

    def calibration_images(self):
        images, _ = fashion_data.load_split(self.directory, "train")
        return networks.as_inputs(images[:CALIBRATION_IMAGES]).numpy()

    def train_form(self, scheme, budget, seed):
        """Quantized by a scheme and calibrated, then fine-tuned."""
        model = self.loaded(budget, seed)
        if scheme is not None:
            model = optimization.quantize_model(model, scheme, strict=True)
            check_quantized(model)
            optimization.calibrate(model, self.calibration_images(), verbose=0)
        return self.fine_tune(model, budget, seed)

    def train_peer(self, inner, budget, seed):
        """With another library's layers between the first convolution and the classifier."""
        return self.fine_tune(self.loaded(budget, seed, inner), budget, seed)

    def widths(self, bits, mixed, budget, seed):
        """The float network, and the widths of its weights: so many bits everywhere, or mixed ones that take no more bytes."""
        model, path = self.loaded(budget, seed), self.path(budget, seed)
        if path not in self.sensitivities:
            self.sensitivities[path] = optimization.sensitivity(model, self.calibration_images(), WIDTHS)
        found = self.sensitivities[path]
        allowed = sum(sizes[bits] for sizes in found.bytes.values())
        if mixed:
            return model, optimization.allocate(found, allowed)
        uniform = dict.fromkeys(found.errors, bits)
        return model, optimization.Allocation(uniform, allowed, sum(errors[bits] for errors in found.errors.values()))

    def with_widths(self, bits, mixed, budget, seed):
        """Quantized to these widths without training; inputs have 8 bits."""
        # Trained before the time counts.
        self.weights(budget, seed)
        start = time.process_time()
        model, chosen = self.widths(bits, mixed, budget, seed)
        images = self.calibration_images()
        quantized = optimization.post_training_quantize(
            model, images, chosen.scheme(), bias_correction=True, strict=True, verbose=0
        )
        check_quantized(quantized)
        seconds = time.process_time() - start
        test = fashion_data.load_split(self.directory, "t10k")
        result = {"accuracy": networks.accuracy(quantized, *test), "cpu_seconds": seconds}
        return {**result, "bytes": chosen.cost, "widths": list(chosen.widths.values())}

    def train_widths(self, bits, mixed, budget, seed):
        """The same widths, fine-tuned."""
        _, chosen = self.widths(bits, mixed, budget, seed)
        return {**self.train_form(chosen.scheme(), budget, seed), "bytes": chosen.cost}


def check_quantized(model):
    """That the scheme left no layer with a kernel in float."""
    rows = model.quantization_report.rows
    kept = [row.layer for row in rows if row.status != "quantized" and row.class_name != "BatchNormalization"]
    if kept:
        raise RuntimeError(f"these layers are left in float: {kept}")
