"""`keras-ste inspect`."""

from __future__ import annotations

import click


@click.command()
@click.argument("model", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--check", is_flag=True, help="Exit with 1 where packed weights take more than 1.02 times what their bits take."
)
def inspect(model, as_json, check) -> None:
    """Show the ops of MODEL, a .tflite file: options, bytes, what is packed, metadata."""
    import keras_ste
    from keras_ste.converter.errors import CheckError

    found = keras_ste.inspect(model)
    click.echo(found.to_json(indent=1) if as_json else str(found))
    if check and found.missed_sizes:
        listed = "; ".join(f"{row.layer or row.op}: {row.size.reason}" for row in found.missed_sizes)
        raise CheckError(f"packed weights take more than their bits: {listed}")
