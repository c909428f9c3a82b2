"""The commands, each in a file of its own, and what becomes of their errors."""

from __future__ import annotations

import traceback

import click

from keras_ste.cli import FAILED_CHECK, USAGE
from keras_ste.cli.benchmark import benchmark
from keras_ste.cli.convert import convert
from keras_ste.cli.inspect import inspect
from keras_ste.cli.run import run as run_model
from keras_ste.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog="Exit codes: 0 all is well; 1 a check "
             "failed; 2 wrong usage, or a file that cannot be read, converted or run.")  # fmt: skip
@click.version_option(__version__, prog_name="keras-ste")
def group() -> None:
    """Converts, inspects, runs and times models of keras_ste."""


for command in (convert, inspect, run_model, benchmark):
    group.add_command(command)


def run() -> int:
    """Runs the command that the arguments name, and returns its exit code."""
    from keras_ste.converter.errors import CheckError

    try:
        return group(standalone_mode=False) or 0
    except CheckError as error:
        click.echo(f"keras-ste: {error}", err=True)
        return FAILED_CHECK
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        click.echo("keras-ste: stopped", err=True)
        return USAGE
    except (OSError, TypeError, ValueError, RuntimeError, ImportError) as error:
        click.echo(f"keras-ste: {error}", err=True)
        return USAGE
    except Exception:
        # A bug: Python would make exit code 1 of it, which is that of a check.
        traceback.print_exc()
        return USAGE
