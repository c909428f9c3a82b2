"""`keras-ste convert`."""

from __future__ import annotations

import functools
import os
import zipfile

import click

from keras_ste.cli.arrays import as_data, read_arrays
from keras_ste.cli.show import progress, working
from keras_ste.converter.files import checked_target

MODEL = click.Path(exists=True, dir_okay=True)


@click.command()
@click.argument("model", type=MODEL)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The .tflite file to write.")
@click.option("--strict", is_flag=True, help="Fail where a quantized layer would stay in float.")
@click.option("--int8-io", is_flag=True, help="Make the whole model integer, its inputs and outputs int8.")
@click.option("--representative", metavar="DATA.npz", help="Arrays that show the ranges of what becomes int8.")
@click.option(
    "--verify", metavar="DATA.npz", help="Run file and model on these arrays, named as the inputs, and compare."
)
@click.option("--verify-layers", is_flag=True, help="Compare layer by layer too.")
@click.option("--tolerance", type=float, default=1e-4, show_default=True, help="What floats may differ by.")
@click.option("--labels", type=click.Path(exists=True, dir_okay=False), help="A text file, one class a line.")
@click.option("--report", type=click.Path(dir_okay=False), help="Write the report: .html, .json or .txt.")
@click.option("--time", "timed", is_flag=True, help="Time the ops for the report.")
@click.option("--quiet", is_flag=True, help="Do not print the report.")
def convert(
    model, output, strict, int8_io, representative, verify, verify_layers, tolerance, labels, report, timed, quiet
) -> None:
    """Convert MODEL, a .keras file or the folder of a SavedModel, to a .tflite file.

    The file is written when all checks that were asked for have passed.
    """
    if verify_layers and not verify:
        raise click.UsageError("--verify-layers needs --verify DATA.npz")
    for path in (output, report):
        if path:
            checked_target(path)
    data, samples = (as_data(read_arrays(path)) if path else None for path in (verify, representative))
    if model.endswith(".keras") and os.path.isfile(model) and not zipfile.is_zipfile(model):
        raise click.UsageError(f"{model} is not a whole .keras file")  # Keras would say that it is not found
    ends = "int8" if int8_io else None
    with working(f"loading {model}"):
        import keras

        import keras_ste

        loaded = model if os.path.isdir(model) else keras.saving.load_model(model, compile=False)
    with working("converting"):
        converted = keras_ste.convert(
            loaded,
            strict=strict,
            representative_dataset=samples,
            inference_input_type=ends,
            inference_output_type=ends,
            verify=data,
            verify_layers=verify_layers,
            tolerance=tolerance,
            labels=labels,
        )
    found = converted.report
    if timed:
        show = functools.partial(progress, what="timing the ops")
        found = found.with_times(keras_ste.benchmark(converted.model_content, progress=show))
    converted.save(output)
    if report:
        found.save(report)
    if not quiet:
        click.echo(str(found))
