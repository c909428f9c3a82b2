"""Every registered quantizer is exported, has an example, a row in the docs, and is among those that are checked."""

import pathlib
import re

import pytest
import quantizer_checks
import test_binary_quantizers
import test_quantizers
import test_ternary_quantizers

from keras_ste import quantizers

DOCS = pathlib.Path(__file__).parents[1] / "docs" / "quantizers.md"
every = pytest.mark.parametrize("name", quantizers.names())


def class_of(name):
    return type(quantizers.get(name))


def checked_classes():
    """The classes of the quantizers that the tests of the contract walk."""
    made = [case.make() for case in quantizer_checks.CASES.values()]
    for module in (test_binary_quantizers, test_ternary_quantizers):
        made += [make() for make in module.VARIANTS.values()]
    return {type(quantizer) for quantizer in [*made, *test_quantizers.VARIANTS.values()]}


def test_the_walk_finds_something():
    assert len(quantizers.names()) >= 30


@every
def test_it_is_exported(name):
    cls = class_of(name)
    assert getattr(quantizers, cls.__name__) is cls and cls.__name__ in quantizers.__all__


@every
def test_its_docstring_has_an_equation_a_source_arguments_and_an_example(name):
    doc = class_of(name).__doc__
    assert "\n    >>> " in doc and "Args:" in doc
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", doc) or "Larq" in doc


@every
def test_the_docs_have_a_row_for_it(name):
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    start = f"| `{class_of(name).__name__}`, `{name}` | "
    matching = [row for row in rows if row.startswith(start)]
    assert len(matching) == 1 and matching[0].count(" | ") >= 4


@every
def test_it_is_among_those_that_are_checked(name):
    assert class_of(name) in checked_classes()
