"""`python -m keras_ste.estimators`: the table of all surrogates, as it stands in docs/surrogates.md."""

from __future__ import annotations

import inspect
import re

from keras_ste.estimators import surrogates

HEADER = ("name", "also", "arguments", "gradient", "jump", "area", "peak", "published in")


def table() -> str:
    """The table, in Markdown: a row for each surrogate, by its name, with its default arguments.

    The equations and references are those of the docstrings, area and peak what the objects say.

    >>> table().splitlines()[0]
    '| name | also | arguments | gradient | jump | area | peak | published in |'
    """
    rows = [HEADER, ("---",) * len(HEADER), *(row(name) for name in surrogates.names())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(name: str) -> tuple[str, ...]:
    """The cells of one surrogate.

    >>> row("fast_sigmoid")[4:]
    ('1', '0.08', '1', 'snnTorch, arXiv:1705.11146')
    """
    surrogate = surrogates.get(name)
    aliases = surrogates.names_of(type(surrogate))[1:]
    # Only the published form is tabled, for which there is nothing to normalize.
    arguments = {key: value for key, value in surrogate.get_config().items() if key != "normalize"}
    jump = getattr(surrogate, "jump", None)
    return (
        _code(name),
        ", ".join(_code(alias) for alias in aliases),
        _code(", ".join(f"{key}={getattr(surrogate, key, value)}" for key, value in arguments.items())),
        "<br>".join(_code(line) for line in equation(type(surrogate))),
        "" if jump is None else f"{jump:g}",
        f"{surrogate.area:.4g}",
        f"{surrogate.peak:.4g}",
        ", ".join(references(type(surrogate))),
    )


def equation(surrogate: type) -> list[str]:
    """The lines of the equation in a surrogate's docstring: its first indented block.

    >>> equation(surrogates.Sigmoid)
    ['d(x) = alpha σ(alpha x) (1 - σ(alpha x))']

    Raises:
        ValueError: there is none.
    """
    block = re.search(r"(?:^    \S.*\n|^     .*\n)+", inspect.getdoc(surrogate) + "\n", re.MULTILINE)
    if block is None or "=" not in block[0]:
        raise ValueError(f"{surrogate.__name__} has no equation in its docstring.")
    # Area and peak, where they stand beside the equation, have columns of their own.
    lines = [re.sub(r" {8,}(no )?(area|peak)\b.*", "", line) for line in block[0].splitlines()]
    return [re.sub(r" +", " ", line.strip()) for line in lines]


def references(surrogate: type) -> list[str]:
    """Papers and libraries that a surrogate's docstring names, each once.

    >>> references(surrogates.ApproxSign)
    ['Larq', 'arXiv:1808.00278']
    """
    found = re.findall(r"arXiv:\d{4}\.\d{4,5}|SpikingJelly|snnTorch|Larq|Brevitas", inspect.getdoc(surrogate))
    # Libraries first, whose form it is; then the papers.
    return sorted(dict.fromkeys(found), key=lambda reference: reference.startswith("arXiv"))


def _code(text):
    # Inside a table, the bar of an absolute value would end the cell.
    return "`" + text.replace("|", r"\|") + "`" if text else ""


if __name__ == "__main__":
    print(table(), end="")
