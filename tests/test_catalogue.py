"""Whatever is public has its entry in the docs, an example, and a test of its config: found by itself, none is listed.

The configs of quantizers are tested by `quantizer_checks.check_config`, of surrogates in test_estimators.py, of layers in
test_every_layer.py, all of which go over what there is; the rest here.
"""

import importlib
import inspect
import pathlib
import pkgutil
import re

import keras
import layer_cases
import pytest
from PIL import Image

from keras_ste import estimators, layers, quantizers, training
from keras_ste.estimators import surrogates

DOCS = pathlib.Path(__file__).parents[1] / "docs"
KINDS = {"quantizer": (quantizers, quantizers.Quantizer), "surrogate": (surrogates, surrogates.Surrogate)}
of_each_kind = pytest.mark.parametrize("kind", KINDS)
every_quantizer = pytest.mark.parametrize("name", quantizers.names())


def rows(file):
    """The rows of the tables in a file of the docs, by what their first cell begins with."""
    lines = (DOCS / file).read_text(encoding="utf-8").splitlines()
    found = [re.match(r"\| `(\w+)", line) for line in lines]
    return [match[1] for match in found if match]


def final_classes(module, base):
    """The classes of a package that nothing in it derives from."""
    for info in pkgutil.walk_packages(module.__path__, module.__name__ + "."):
        importlib.import_module(info.name)
    found, classes = set(), [base]
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        own = [c for c in cls.__subclasses__() if c.__module__.startswith(module.__name__ + ".")]
        if cls.__module__.startswith(module.__name__ + ".") and not own:
            found.add(cls)
    return found


@of_each_kind
def test_what_is_defined_is_registered_and_what_is_registered_is_exported(kind):
    module, base = KINDS[kind]
    registered = {type(module.get(name)) for name in module.names()}
    assert len(registered) >= 30 and final_classes(module, base) <= registered
    assert {cls.__name__ for cls in registered} <= set(module.__all__)
    assert {getattr(module, cls.__name__) for cls in registered} == registered


@of_each_kind
def test_each_is_in_the_picture_that_the_docs_show(kind):
    module, _ = KINDS[kind]
    place = f"pictures/{kind}s.png"
    assert place in (DOCS / f"{kind}s.md").read_text(encoding="utf-8")
    with Image.open(DOCS / place) as picture:
        drawn = picture.text["Description"].split(", ")
    assert drawn == module.names(), "run python docs/pictures.py"


@of_each_kind
def test_names(kind):
    module, _ = KINDS[kind]
    for name in module.names():
        cls = type(module.get(name))
        assert cls is type(module.get(cls.__name__)) is type(module.get(cls))


def test_all_lists_what_there_is():
    for module in (estimators, layers, quantizers, surrogates, training):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)
    assert set(estimators.__all__) >= {cls.__name__ for cls in final_classes(surrogates, surrogates.Surrogate)}


@pytest.mark.parametrize("module", [estimators, layers, quantizers, training], ids=lambda module: module.__name__)
def test_everything_public_has_an_example(module):
    bases = (quantizers.Quantizer, quantizers.VariableQuantizer, estimators.Schedule)
    bases += (surrogates.Surrogate, surrogates.ParametricSurrogate, surrogates.UpstreamSurrogate)
    for name in module.__all__:
        value = getattr(module, name)
        if (inspect.isclass(value) or inspect.isfunction(value)) and value not in bases and value is not quantizers.register:
            assert ">>> " in (value.__doc__ or ""), name


@every_quantizer
def test_the_docstring_of_a_quantizer_has_an_equation_a_source_and_arguments(name):
    doc = type(quantizers.get(name)).__doc__
    assert "Args:" in doc and (re.search(r"arXiv:\d{4}\.\d{4,5}", doc) or "Larq" in doc)


@every_quantizer
def test_the_docs_have_a_row_for_every_quantizer(name):
    lines = (DOCS / "quantizers.md").read_text(encoding="utf-8").splitlines()
    start = f"| `{type(quantizers.get(name)).__name__}`, `{name}` | "
    matching = [line for line in lines if line.startswith(start)]
    assert len(matching) == 1 and matching[0].count(" | ") >= 4


def test_the_docs_have_a_row_for_every_surrogate_and_every_layer():
    assert [name for name in rows("surrogates.md") if name != "name"] == surrogates.names()
    assert {name for name in layers.__all__ if inspect.isclass(getattr(layers, name))} <= set(rows("layers.md"))


def test_the_docs_name_every_training_tool():
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    for name in training.__all__:
        assert re.search(rf"`{name}\b", text), name


LAYERS = {
    "LearnableBias": {"axis": 1},
    "QuantActivation": {"quantizer": "ste_sign"},
    "QuantGRUCell": {"units": 3, "kernel_quantizer": "ste_sign"},
    "QuantLSTMCell": {"units": 3, "kernel_quantizer": "ste_sign"},
    "RPReLU": {"axis": 1},
}


@pytest.mark.parametrize("name", layer_cases.TESTED_ELSEWHERE)
def test_configs_of_the_layers_outside_the_walk(name):
    layer = getattr(layers, name)(**LAYERS[name])
    config = layer.get_config()
    assert LAYERS[name].keys() <= config.keys()
    for again in (type(layer).from_config(config), keras.layers.deserialize(keras.layers.serialize(layer))):
        assert type(again) is type(layer) and again.get_config() == config


TRAINING = [
    training.Bop(0.5, 0.25),
    training.Bop2(0.5, 0.25, 0.125),
    training.CaseOptimizer((training.is_binary, training.Bop()), default_optimizer=keras.optimizers.SGD(0.1)),
    training.Bipolar(0.1, 2, 0.5),
    training.WeightClip(0.75),
    training.Gradual("xnor_sign", strength=0.25),
    training.Partial("ste_tern", strength=0.5, choice="random", seed=3),
]


def test_configs_of_training_tools():
    public = [getattr(training, name) for name in training.__all__]
    configured = {cls for cls in public if inspect.isclass(cls) and hasattr(cls, "get_config")}
    # A Distiller is a model of two others: tests/test_schedules.py saves one.
    assert configured - {training.Distiller} == {type(tool) for tool in TRAINING}
    for tool in TRAINING:
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tool))
        assert type(again) is type(tool) and again.get_config() == tool.get_config()
