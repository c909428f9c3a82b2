"""A report as one page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from keras_ste.version import __version__

if TYPE_CHECKING:
    from keras_ste.converter.report import Report
    from keras_ste.converter.rows import Row
    from keras_ste.converter.verify import Verification

_COLORS = 8
_STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --text: #0b0b0b; --soft: #52514e; --line: #dddcd8;
  --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #c98500; --c4: #d55181; --c5: #008300; --c6: #4a3aa7; --c7: #e34948; }
@media (prefers-color-scheme: dark) { :root { --page: #1a1a19; --text: #ffffff; --soft: #c3c2b7; --line: #3a3a37;
  --c0: #3987e5; --c1: #d95926; --c2: #199e70; --c3: #c98500; --c4: #d55181; --c5: #0ca30c; --c6: #9085e9; --c7: #e66767; } }
body { background: var(--page); color: var(--text); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } p, .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.explained td { border-bottom: none; padding-bottom: 0; } td.why { white-space: normal; color: var(--soft); }
.chart { display: grid; grid-template-columns: fit-content(18rem) minmax(0, 1fr); gap: .2rem .8rem; font-size: 13px;
  align-items: center; }
.chart > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: right; }
.bars { display: flex; flex-direction: column; gap: 1px; } .bar { display: flex; align-items: center; gap: .5rem; }
.bar i { height: .8rem; min-width: 1px; border-radius: 0 3px 3px 0; } .bar b { font-weight: normal; color: var(--soft); }
.key { display: inline-flex; align-items: center; gap: .35rem; margin-right: 1rem; font-size: 13px; }
.key i { width: .8rem; height: .8rem; border-radius: 2px; }
""" + "".join(f".k{i} {{ background: var(--c{i}); }}\n" for i in range(_COLORS))  # fmt: skip
_LONGEST = 75  # percent of the chart's width; the rest is for the number behind the bar


def report_page(report: Report) -> str:
    """The page of a report."""
    constants = sum(row.constant_bytes for row in report.rows)
    parts = [
        f"<h1>Converted model</h1><p>{report.file_bytes:,} bytes, {constants:,} of them constants. Report of "
        f"keras_ste {escape(__version__)}.</p>",
        _section("Bytes of constants", _bytes(report.rows)),
        _section("Multiply-adds by width", _macs(report.rows)),
        _section("Time", _times(report)),
    ]
    if report.verification is not None:
        parts.append(_section("Compared with the Keras model", _verification(report.verification)))
    parts.append(_section("Ops and layers", _table(report.rows)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>keras_ste: converted model</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>\n{content}</section>"


def _name(row: Row) -> str:
    return row.layer or row.op


def _chart(lines: Sequence[tuple[str, Sequence[tuple[float, int, str]]]], keys: Sequence[str] = ()) -> str:
    """Bars.

    Args:
      lines: name, and for each of its bars the value, the color's number and the text behind it.
      keys: what the colors stand for, where there are several.
    """
    if not lines:
        return "<p>none</p>"
    most = max(value for _, bars in lines for value, _, _ in bars) or 1
    legend = "".join(
        f'<span class="key"><i class="k{i % _COLORS}"></i>{escape(key)}</span>' for i, key in enumerate(keys)
    )
    body = []
    for name, bars in lines:
        drawn = "".join(
            f'<span class="bar"><i class="k{color % _COLORS}" style="width:{_LONGEST * value / most:.2f}%"></i>'
            f"<b>{escape(text)}</b></span>"
            for value, color, text in bars
        )
        body.append(f'<span title="{escape(name)}">{escape(name)}</span><span class="bars">{drawn}</span>')
    return f'<p>{legend}</p><div class="chart">' + "\n".join(body) + "</div>"


def _bytes(rows: Iterable[Row]) -> str:
    return _chart(
        [(_name(row), [(row.constant_bytes, 0, f"{row.constant_bytes:,}")]) for row in rows if row.constant_bytes]
    )


def _macs(rows: Sequence[Row]) -> str:
    widths = list(dict.fromkeys(row.mac_width for row in rows if row.macs))
    totals = {width: sum(row.macs for row in rows if row.mac_width == width) for width in widths}
    lines = [(_name(row), [(row.macs, widths.index(row.mac_width), f"{row.macs:,}")]) for row in rows if row.macs]
    return _chart(lines, [f"{width} bits (weight x input): {total:,}" for width, total in totals.items()])


def _times(report: Report) -> str:
    timed = [row for row in report.rows if row.measured_us is not None or row.predicted_us is not None]
    if not timed:
        command = "<code>keras-ste benchmark model.tflite --report report.html</code>"
        return f"<p>Unknown: the ops were not timed, which {command} does.</p>"
    lines = []
    for row in timed:
        times = (row.predicted_us, row.measured_us)
        lines.append((_name(row), [(time or 0, color, _microseconds(time)) for color, time in enumerate(times)]))
    return f"<p>{escape(report.machine or '')}</p>" + _chart(lines, ["predicted", "measured"])


def _microseconds(time: float | None) -> str:
    return "unknown" if time is None else f"{time:,.1f} µs"


def _verification(found: Verification) -> str:
    verdict = "passed" if found.passed else "failed"
    lines = "".join(f"<li>{escape(str(row))}</li>" for row in (*found.outputs, *found.layers))
    lines += "".join(f"<li>{escape(layer)}: not compared, {escape(reason)}</li>" for layer, reason in found.skipped)
    return f"<p>{found.samples:,} samples, tolerance {found.tolerance:g}: {verdict}</p><ul>{lines}</ul>"


def _table(rows: Sequence[Row]) -> str:
    words = ["op", "layer", "input", "output", "packed"]
    numbers = ["weight bits", "bytes", "MACs", "width", "of its bits"]
    timed = any(row.measured_us is not None or row.predicted_us is not None for row in rows)
    numbers += ["predicted", "measured"] if timed else []
    head = "".join(f"<th>{word}</th>" for word in words) + "".join(f'<th class="n">{word}</th>' for word in numbers)
    lines = []
    for row in rows:
        texts = (row.op, row.layer or "", row.input, row.output, row.packed)
        figures = [
            f"{row.weight_bits or ''}",
            f"{row.constant_bytes:,}" if row.constant_bytes else "",
            f"{row.macs:,}" if row.macs else "",
            row.mac_width,
            "" if row.size is None else f"{row.size.ratio:.2f}",
        ]
        figures += [_microseconds(row.predicted_us), _microseconds(row.measured_us)] if timed else []
        cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
        cells += "".join(f'<td class="n">{escape(text)}</td>' for text in figures)
        why = "; ".join(filter(None, (row.reason, row.size and row.size.reason)))
        lines.append(f'<tr class="explained">{cells}</tr>' if why else f"<tr>{cells}</tr>")
        if why:
            lines.append(f'<tr><td></td><td class="why" colspan="{len(words + numbers) - 1}">{escape(why)}</td></tr>')
    return f'<div class="scroll"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"
