"""Sensitivity and allocation: what they say is what quantizing single layers does, and what can be chosen."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_ste
from keras_ste.optimization import (
    Scheme,
    Sensitivity,
    allocate,
    calibrate,
    measured_times,
    pareto_front,
    plot_pareto,
    quantize_model,
    schemes,
    sensitivity,
)

WIDTHS = (2, 4, 8)


def network():
    """Three layers of equal size, the middle one of which hardly matters."""
    x = keras.Input((16,))
    a = keras.layers.Dense(16, name="a")(x)
    b = keras.layers.Dense(16, name="b")(a)
    c = keras.layers.Dense(16, name="c")(keras.layers.Add()([a, 0.01 * b]))
    return keras.Model(x, c)


def data():
    return np.random.default_rng(0).normal(size=(64, 16)).astype("float32")


def distance(model, reference):
    expected = np.asarray(reference(data()))
    return np.mean(np.square(np.asarray(model(data())) - expected)) / np.var(expected)


def test_what_is_measured_is_what_one_quantized_layer_does():
    model = network()
    found = sensitivity(model, data(), WIDTHS)
    assert set(found.errors) == {"a", "b", "c"}
    for errors in found.errors.values():
        assert errors[2] > errors[4] > errors[8]
    assert found.errors["b"][2] < 0.01 * min(found.errors["a"][2], found.errors["c"][2])
    one = Scheme("one", None, first=None, last=None).where("c", schemes.lsq(4, 8).default)
    quantized = quantize_model(model, one)
    calibrate(quantized, data(), verbose=0)
    np.testing.assert_allclose(found.errors["c"][4], distance(quantized, model), rtol=1e-3)
    assert found.bytes["a"] == {2: 64.0, 4: 128.0, 8: 256.0}
    assert found.macs["a"] == {2: 256 * 16, 4: 256 * 32, 8: 256 * 64}


def test_mixed_widths_beat_the_uniform_width_of_equal_bytes():
    model = network()
    found = sensitivity(model, data(), (2, 3, 4, 5))
    mixed = allocate(found, budget=3 * 128)
    assert mixed.cost <= 3 * 128 and mixed.widths["b"] == 2
    results = {}
    for name, scheme in (("mixed", mixed.scheme()), ("uniform", None)):
        if scheme is None:
            front = Sensitivity({k: {4: 0.0} for k in "abc"}, {k: {4: 128.0} for k in "abc"}, {}, 8)
            scheme = allocate(front, 400).scheme()
        quantized = quantize_model(model, scheme)
        calibrate(quantized, data(), verbose=0)
        results[name] = distance(quantized, model)
        assert {row.status for row in quantized.quantization_report.rows} == {"quantized"}
    assert results["mixed"] < results["uniform"]


tables = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1)


@given(tables, st.floats(1, 4))
def test_allocations_keep_to_the_budget_and_are_on_the_front(table, slack):
    errors = {name: dict(zip(WIDTHS, sorted(values, reverse=True), strict=True)) for name, values in table.items()}
    costs = {name: {width: float(width) for width in WIDTHS} for name in table}
    found = Sensitivity(errors, costs, costs, 8)
    front = pareto_front(found)
    assert all(a.cost < b.cost and a.error > b.error for a, b in itertools.pairwise(front))
    budget = 2 * len(table) * slack
    chosen = allocate(found, budget)
    assert chosen.cost <= budget
    assert chosen.error <= min(each.error for each in front if each.cost <= budget) + 1e-9
    best = min(
        sum(errors[name][width] for name, width in zip(table, widths, strict=True))
        for widths in itertools.product(WIDTHS, repeat=len(table))
        if sum(widths) <= budget
    )
    # Greedy: not always the best, but never worse than the least widths.
    assert best - 1e-9 <= chosen.error <= front[0].error


any_costs = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.sampled_from([1.0, 2.0, 3.5])] * 3), min_size=1)


@given(any_costs, st.integers(0, 2**16))
def test_a_wider_one_may_be_cheaper(table, seed):
    rng = np.random.default_rng(seed)
    errors = {name: dict(zip(WIDTHS, np.sort(rng.uniform(size=3))[::-1].tolist(), strict=True)) for name in table}
    costs = {name: dict(zip(WIDTHS, row, strict=True)) for name, row in table.items()}
    front = pareto_front(Sensitivity(errors, {}, {}, 8), costs)
    assert front[0].cost == sum(min(row) for row in table.values())
    assert all(a.cost <= b.cost and a.error > b.error for a, b in itertools.pairwise(front))
    assert front[-1].error == pytest.approx(sum(min(row.values()) for row in errors.values()))


def test_widths_are_chosen_by_what_a_target_takes():
    """The target is one where 4 bits are slower than 8; it looks at the file alone."""
    model = network()

    def measure(content):
        rows = [row for row in keras_ste.inspect(content).rows if row.op == "SteFullyConnected"]
        return {row.layer: {2: 1.0, 4: 5.0, 8: 2.0}[row.weight_bits] * row.macs for row in rows}

    times = measured_times(model, WIDTHS, measure=measure)
    assert times == {name: {2: 256.0, 4: 1280.0, 8: 512.0} for name in "abc"}
    found = sensitivity(model, data(), WIDTHS)
    chosen = allocate(found, 1300.0, times)
    assert chosen.widths == {"a": 8, "b": 2, "c": 8} and chosen.cost == 1280.0
    quantized = quantize_model(model, chosen.scheme(), strict=True)
    calibrate(quantized, data(), verbose=0)
    packed = {row.layer: row.weight_bits for row in keras_ste.convert(quantized, strict=True).report.rows if row.macs}
    assert {name.rpartition("/")[2]: bits for name, bits in packed.items()} == {"a": 8, "b": 2, "c": 8}


def test_times_on_this_machine_are_a_budget():
    model = network()
    times = measured_times(model, WIDTHS)
    assert list(times) == list("abc") and all(list(row) == list(WIDTHS) for row in times.values())
    assert all(time > 0 for row in times.values() for time in row.values())
    found = sensitivity(model, data(), WIDTHS)
    least, most = (sum(pick(row.values()) for row in times.values()) for pick in (min, max))
    for budget in (least, (least + most) / 2, most):
        assert allocate(found, budget * 1.0001, times).cost <= budget * 1.0001
    with pytest.raises(ValueError, match="cheapest widths cost"):
        allocate(found, 0.9 * least, times)
    with pytest.raises(ValueError, match="were not timed: "):
        measured_times(model, WIDTHS, measure=lambda content: {})
    with pytest.raises(ValueError, match="a width at least"):
        measured_times(model, ())


def test_costs_may_be_measured_and_bad_ones_are_refused():
    found = Sensitivity({"a": {2: 1.0, 8: 0.0}}, {"a": {2: 1.0, 8: 4.0}}, {"a": {2: 1.0, 8: 4.0}}, 8)
    assert allocate(found, 0.3, {"a": {2: 0.1, 8: 0.2}}).widths == {"a": 8}
    with pytest.raises(ValueError, match="cheapest widths cost 1 already"):
        allocate(found, 0.5)
    with pytest.raises(ValueError, match="must be one of"):
        pareto_front(found, "seconds")
    with pytest.raises(ValueError, match="leaves out"):
        pareto_front(found, {"a": {2: 0.1}})
    pytest.importorskip("matplotlib")
    (axes,) = plot_pareto(pareto_front(found)).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[1.0, 4.0]]
