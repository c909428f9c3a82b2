"""`keras-ste benchmark`."""

from __future__ import annotations

import functools

import click

from keras_ste.cli.show import progress, working


@click.command()
@click.argument("model", type=click.Path())
@click.option("--peer", type=click.Path(), metavar="OTHER.tflite", help="A model to time alternately: an int8 twin.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Number of threads.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=11, show_default=True, help="Each time is the median of so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--report", type=click.Path(dir_okay=False), help="Write a report with the times: .html, .json or .txt.")
def benchmark(model, peer, threads, rounds, as_json, report) -> None:
    """Time MODEL, a .tflite file, and each of its ops by itself, XNNPACK's int8 op of the same shape beside it."""
    with working("loading"):
        import keras_ste

    found = keras_ste.benchmark(
        model,
        peer=peer,
        num_threads=threads,
        rounds=rounds,
        progress=functools.partial(progress, what="timing the ops"),
    )
    if report:
        found.report().save(report)
    click.echo(found.to_json(indent=1) if as_json else str(found))
