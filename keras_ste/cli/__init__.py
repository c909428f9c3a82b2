"""The command `keras-ste`: converts, inspects, runs and times models.

Exit codes: 0 all is well; 1 a check failed (`--strict`, `--verify`, `--check`); 2 wrong usage, or a file that cannot
be read, converted or run, or a bug, which shows where it is.
"""

from __future__ import annotations

import sys

FAILED_CHECK = 1
USAGE = 2


def main() -> None:
    """The entry point."""
    try:
        from keras_ste.cli.commands import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(f"keras-ste needs the package {error.name}: pip install {error.name}\n")
        sys.exit(USAGE)
    sys.exit(run())
