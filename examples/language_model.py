"""A ternary transformer that writes by characters, and its float twin, trained alike on the King James Bible.

    python examples/language_model.py [--fast] [--text PATH] [--steps N]

Every weight matrix of the ternary network but the embedding and the last layer is -1, 0 or +1 (BitNet b1.58), every input of
one has 8 bits. Prints the bits per character of both on text that was held out, and what the ternary network writes.
"""

import argparse
import math
import os
import pathlib
import shutil
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_ste.models import bitnet_transformer

CONTEXT = 128
CHANNELS, HEADS, HIDDEN, BLOCKS = 160, 5, 432, 4
HELD_OUT = 0.05
BATCH = 32
console = Console()


def load_text(path):
    """The text of a file, or of the Debian package bible-kjv, without the numbers of verses."""
    if path is not None:
        return pathlib.Path(path).read_text(encoding="utf-8")
    program = shutil.which("bible")
    if program is None:
        sys.exit("there is no program `bible`. Install the Debian package bible-kjv, or name a text file: --text PATH")
    verses = subprocess.run([program, "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line.partition(" ")[2] for line in verses.splitlines())


def windows(codes, steps, seed):
    """Random windows of the text, and the same one character later: a dataset of `steps` batches."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(codes) - CONTEXT - 1, (steps, BATCH))

    def batches():
        for row in starts:
            chunk = np.stack([codes[start : start + CONTEXT + 1] for start in row])
            yield chunk[:, :-1], chunk[:, 1:]

    spec = tf.TensorSpec((BATCH, CONTEXT), tf.int32)
    return tf.data.Dataset.from_generator(batches, output_signature=(spec, spec)).prefetch(4)


def train(model, codes, steps):
    """Adam with a warm-up and a cosine; the same budget, seed and text for both networks."""
    warmup = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=3e-3, warmup_steps=warmup)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.05, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    console.print(f"[bold]training {model.name}[/]: {model.count_params():,} parameters, {steps} steps")
    model.fit(windows(codes, steps, seed=1), steps_per_epoch=steps, shuffle=False)


def bits_per_character(model, codes):
    """The mean over the held-out text, of the second half of each window, where the context is long enough."""
    count = (len(codes) - 1) // CONTEXT
    x = codes[: count * CONTEXT].reshape(-1, CONTEXT)
    y = codes[1 : count * CONTEXT + 1].reshape(-1, CONTEXT)
    x, y = x[:: max(1, count // 512)], y[:: max(1, count // 512)]
    logits = model.predict(x, batch_size=BATCH, verbose=0)
    loss = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True).numpy()
    return float(loss[:, CONTEXT // 2 :].mean()) / math.log(2)


def write(model, alphabet, prompt, length, temperature=0.8):
    """Continues the prompt, one character after the other."""
    rng = np.random.default_rng(0)
    place = {character: code for code, character in enumerate(alphabet)}
    written = [place[character] for character in prompt]
    step = tf.function(lambda codes: model(codes, training=False))
    for _ in range(length):
        recent = written[-CONTEXT:]
        codes = np.zeros((1, CONTEXT), np.int32)
        codes[0, : len(recent)] = recent
        logits = step(codes)[0, len(recent) - 1].numpy() / temperature
        chances = np.exp(logits - logits.max())
        written.append(int(rng.choice(len(alphabet), p=chances / chances.sum())))
    return "".join(alphabet[code] for code in written)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fast", action="store_true", help="train little: under three minutes on two cores")
    parser.add_argument("--text", help="a text file (default: the King James Bible of the Debian package bible-kjv)")
    parser.add_argument("--steps", type=int, help="training steps (default: 3000, with --fast 100)")
    options = parser.parse_args()

    text = load_text(options.text)
    alphabet = sorted(set(text))
    codes = np.searchsorted(alphabet, list(text)).astype(np.int32)
    held_out = int(len(codes) * HELD_OUT)
    steps = options.steps or (100 if options.fast else 3000)
    console.print(f"{len(text):,} characters, {len(alphabet)} of them different; {held_out:,} held out")

    sizes = {"channels": CHANNELS, "heads": HEADS, "hidden": HIDDEN, "blocks": BLOCKS}
    bits, models = {}, {}
    for name, quantizers in (("float_twin", {"kernel_quantizer": None, "input_quantizer": None}), ("ternary", {})):
        keras.utils.set_random_seed(1)
        model = bitnet_transformer(len(alphabet), CONTEXT, **sizes, **quantizers, name=name)
        train(model, codes[:-held_out], steps)
        bits[model.name], models[model.name] = bits_per_character(model, codes[-held_out:]), model
    console.rule("held-out text")
    for name, value in bits.items():
        console.print(f"{name:<12} {value:.3f} bits per character")
    console.print(f"ternary / float: {bits['ternary'] / bits['float_twin']:.3f}")
    console.rule("the ternary network writes")
    console.print(write(models["ternary"], alphabet, "And God said", 300), highlight=False, markup=False)


if __name__ == "__main__":
    main()
