"""`keras-ste run`."""

from __future__ import annotations

import click
import numpy as np

from keras_ste.cli.arrays import read_arrays, write_arrays
from keras_ste.cli.show import working


@click.command()
@click.argument("model", type=click.Path())
@click.option("--inputs", required=True, metavar="X.npz", help="Arrays named as the inputs, one batch.")
@click.option(
    "-o", "--output", required=True, metavar="Y.npz", type=click.Path(dir_okay=False), help="The outputs by name."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Number of threads.")
def run(model, inputs, output, threads) -> None:
    """Run MODEL, a .tflite file, on the arrays of a file, and write its outputs."""
    given = read_arrays(inputs)
    with working(f"running {model}"):
        import keras_ste
        from keras_ste.inspection import model_bytes, read_checked

        content = model_bytes(model)
        read_checked(content)
        interpreter = keras_ste.Interpreter(model_content=content, num_threads=threads)
        (key,) = interpreter.get_signature_list()
        runner = interpreter.get_signature_runner(key)
        details = runner.get_input_details()
        if list(given) == [""] and len(details) == 1:
            given = {next(iter(details)): given[""]}
        if set(given) != set(details):
            raise click.UsageError(f"{inputs} has {_names(given)}; the model's inputs are {_names(details)}")
        outputs = runner(**{name: _fitting(name, given[name], detail) for name, detail in details.items()})
    write_arrays(output, outputs)
    for name, array in outputs.items():
        click.echo(f"{name}: {array.dtype} {list(array.shape)}")


def _names(names) -> str:
    return ", ".join(sorted(name or "an array without a name" for name in names)) or "nothing"


def _fitting(name: str, array: np.ndarray, detail: dict) -> np.ndarray:
    """The array in the input's type, where that holds its values."""
    shape = [int(size) for size in detail["shape_signature"]]
    fits = array.ndim == len(shape) and all(want in (-1, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        raise click.UsageError(f"the input '{name}' takes {shape} (-1: any size), got {list(array.shape)}")
    from keras_ste.inspection import stands_for

    converted = array.astype(detail["dtype"])
    if converted.dtype.kind != "f" and not np.array_equal(converted, array):
        scale, zero_point = detail["quantization"]
        worth = f"; {stands_for(scale, zero_point)}" if scale else ""
        raise click.UsageError(
            f"the input '{name}' takes {converted.dtype}, which does not hold all values given{worth}"
        )
    return converted
