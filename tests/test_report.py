"""The report: text, JSON and a page that needs nothing from elsewhere; times only where they were measured."""

import html.parser
import json

import keras
import pytest

import keras_ste
from keras_ste import quantizers

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
VOID = {"meta", "br", "link", "img", "input"}


@pytest.fixture(scope="module")
def converted():
    layers = [
        keras.Input((40,), name="x"),
        keras_ste.QuantDense(32, name="a>b", **SIGNS),
        keras_ste.QuantDense(64, name="wide", kernel_quantizer=quantizers.UniformQuantizer(bits=4)),
        keras.layers.Dense(3, name="float"),
        keras_ste.QuantDense(3, name="unpacked", input_quantizer="ste_sign"),
    ]
    model = keras.Sequential(layers, name="net")
    return keras_ste.convert(model, verify=keras.random.normal((3, 40)), verify_layers=True)


class Page(html.parser.HTMLParser):
    """Checks that tags are closed, and keeps text, tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(converted):
    page = Page(converted.report.to_html())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not any(name in ("src", "href", "srcset") for name, _ in page.attributes)
    assert "url(" not in page.text and "@import" not in page.text and "http" not in page.text
    assert "prefers-color-scheme: dark" in page.text
    assert "net/a>b" in page.text and "net/a>b" not in converted.report.to_html()
    for row in converted.report.rows:
        assert f"{row.macs:,}" in page.text and f"{row.constant_bytes:,}" in page.text
        assert not row.reason or row.reason in page.text
    assert "1x1 bits (weight x input): 1,280" in page.text
    assert "3 samples, tolerance 0.0001: passed" in page.text


def test_the_longest_bar_is_that_of_the_largest_layer(converted):
    page = converted.report.to_html()
    chart = page.partition("Bytes of constants")[2].partition("</section>")[0]
    widths = [float(part.partition("%")[0]) for part in chart.split("width:")[1:]]
    sizes = [row.constant_bytes for row in converted.report.rows if row.constant_bytes]
    assert len(widths) == len(sizes) and max(widths) == 75
    for width, size in zip(widths, sizes, strict=True):
        assert width == pytest.approx(75 * size / max(sizes), abs=0.01)


def test_times_are_unknown_until_they_are_measured(converted):
    assert "Unknown: the ops were not timed" in converted.report.to_html()
    assert "µs" not in str(converted.report)
    rows = json.loads(converted.report.to_json())["rows"]
    assert all(row["measured_us"] is None and row["predicted_us"] is None for row in rows)


def test_measured_times_are_in_the_report(converted):
    found = keras_ste.benchmark(converted.model_content, rounds=1)
    report = found.report()
    assert [row.op for row in report.rows] == [row.op for row in keras_ste.inspect(converted.model_content).rows]
    assert all(row.measured_us > 0 and row.predicted_us > 0 for row in report.rows)
    page = Page(report.to_html()).text
    assert "predicted" in page and f"{report.rows[0].measured_us:,.1f} µs" in page and report.machine in page
    assert f"{report.rows[0].measured_us:,.1f}" in str(report) and "rates of reference ops" in str(report)


def test_a_conversion_s_report_takes_times_of_its_file_only(converted):
    timed = converted.report.with_times(keras_ste.benchmark(converted.model_content, rounds=1))
    assert [row.measured_us is None for row in timed.rows] == [not row.input for row in timed.rows]
    assert timed.verification == converted.report.verification and timed.rows[-1].reason
    other = keras_ste.convert(keras.Sequential([keras.Input((4,)), keras.layers.ReLU()])).model_content
    with pytest.raises(ValueError, match="a file with other ops"):
        converted.report.with_times(keras_ste.benchmark(other, rounds=1))


def test_it_is_saved_as_its_ending_says(converted, tmp_path):
    for name, start in (("r.html", "<!doctype html>"), ("r.json", "{"), ("r.txt", "op ")):
        converted.report.save(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    with pytest.raises(FileNotFoundError, match="the folder '.*none' does not exist"):
        converted.report.save(tmp_path / "none" / "r.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.txt"]


def test_products_of_two_inputs_and_transposed_convolutions_have_multiply_adds():
    a, b = keras.Input((5, 7), name="a"), keras.Input((7, 3), name="b")
    image = keras.layers.Conv2DTranspose(4, 3, strides=2)(keras.layers.Reshape((5, 7, 1))(a))
    report = keras_ste.convert(keras.Model([a, b], [keras.ops.matmul(a, b), image])).report
    macs = {row.op: (row.macs, row.mac_width) for row in report.rows if row.macs}
    assert macs == {"BATCH_MATMUL": (5 * 7 * 3, "32x32"), "TRANSPOSE_CONV": (5 * 7 * 9 * 4, "32x32")}
