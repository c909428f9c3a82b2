"""docs/surrogates.md against the registry: the table is the printed one, the code in it runs."""

import pathlib
import re
import runpy

import pytest

import keras_ste.estimators.__main__ as printed
from keras_ste.estimators import surrogates

DOCS = (pathlib.Path(__file__).parents[1] / "docs" / "surrogates.md").read_text()


def test_the_table_is_the_printed_one(capsys):
    runpy.run_path(printed.__file__, run_name="__main__")
    output = capsys.readouterr().out
    assert output == printed.table()
    table = "".join(line + "\n" for line in DOCS.splitlines() if line.startswith("|"))
    assert table == output, "docs/surrogates.md: put in what `python -m keras_ste.estimators` prints"


def test_the_code_in_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    exec(compile(code, "docs/surrogates.md", "exec"), {})
    assert (tmp_path / "surrogates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", surrogates.names())
def test_every_docstring_has_an_equation_a_reference_and_an_example(name):
    cls = type(surrogates.get(name))
    assert re.match(r"d\(x\) = \S|dL/dx = \S", printed.equation(cls)[0])
    assert printed.references(cls)
    assert ">>> " in cls.__doc__


def test_a_surrogate_without_an_equation_is_an_error():
    class Silent(surrogates.Surrogate):
        """Says nothing."""

    with pytest.raises(ValueError, match="Silent has no equation"):
        printed.equation(Silent)
