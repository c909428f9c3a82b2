"""Draws the pictures of the documentation: every surrogate and every quantizer, as `keras_ste.plot` shows them.

    python docs/pictures.py
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from matplotlib.figure import Figure

import keras_ste
from keras_ste import quantizers
from keras_ste.estimators import surrogates

FOLDER = pathlib.Path(__file__).parent / "pictures"
COLUMNS = 6
ALL = {"surrogates": surrogates, "quantizers": quantizers}


def picture(module):
    """A small plot for each name of the module: the values, and the gradient over them."""
    names = module.names()
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 1.7 * rows), layout="constrained")
    for i, name in enumerate(names):
        keras.utils.set_random_seed(0)
        axes = figure.add_subplot(rows, COLUMNS, i + 1)
        keras_ste.plot(module.get(name), axes=(axes, axes), labels=["forward"])
        axes.lines[1].set_label("gradient")
        axes.set_title(name, fontsize=8)
        axes.set_xlabel("")
        axes.tick_params(labelsize=6)
        axes.get_legend().remove()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
    return figure


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, module in ALL.items():
        path = FOLDER / f"{name}.png"
        # By this a test knows whether one is missing.
        picture(module).savefig(path, dpi=90, metadata={"Description": ", ".join(module.names())})
        print(path)


if __name__ == "__main__":
    main()
