"""The comparison as one HTML file: no network, no library. Its parts are the files page.* beside this."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from vbot.comparison.curves import Curve, curves
from vbot.comparison.differences import Differences, differences
from vbot.comparison.groups import SHORT, Comparison, Table
from vbot.comparison.metrics import COLUMNS, METRICS, Metric
from vbot.comparison.table import MARK, beats, iqm, notes, state
from vbot.errors import UserError
from vbot.outcomes import Outcome
from vbot.run import Run, write_atomically

_HERE = Path(__file__).parent


def write_page(content: str, file: Path) -> None:
    """Write the page; UserError where that cannot be."""
    if file.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--html writes a page: its name must end in .html; got {str(file)!r}")
    try:
        write_atomically(file, content.encode())
    except OSError as error:
        raise UserError(f"--html: cannot write {str(file)!r}: {error.strerror}") from None


def page(comparison: Comparison) -> str:
    """The page as text."""
    drawn = [curves(table.groups) for table in comparison.tables]
    colors = {c.group.fingerprint: i for of in drawn for i, c in enumerate(of)}
    body: list[str] = []
    for number, (table, of) in enumerate(zip(comparison.tables, drawn, strict=True)):
        body += [_curves(table, of, number)] if of else []
        body += [_runs(table, comparison, colors), _groups(table, colors)]
    body += [_broken(comparison), _differences(comparison), _findings(comparison)]
    runs = sum(len(t.runs) for t in comparison.tables) + len(comparison.broken)
    tasks = ", ".join(t.task for t in comparison.tables)
    lead = f"{_count(runs, 'run')} of {_count(len(comparison.groups), 'configuration')}" + (
        f" on {escape(tasks)}, by {comparison.metric.name}." if tasks else "."
    )
    return Template((_HERE / "page.html").read_text()).substitute(
        title="vbot: runs compared",
        heading="Runs compared",
        style=(_HERE / "page.css").read_text(),
        script=(_HERE / "page.js").read_text(),
        lead=lead,
        body="\n".join(part for part in body if part),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in notes(comparison)),
        # A script element ends at the first "</": within JSON that can be written otherwise.
        data=json.dumps([[_curve(c) for c in of] for of in drawn if of]).replace("<", "\\u003c"),
    )


def _curve(c: Curve) -> dict[str, Any]:
    return {
        "label": c.group.label,
        **{key: [round(value, 5) for value in getattr(c, key)] for key in ("steps", "mean", "low", "high")},
        "lines": [{"steps": line.steps, "success": line.success} for line in c.lines],
    }


def _curves(table: Table, of: Sequence[Curve], number: int) -> str:
    with_runs = sum(any(o.evaluation for o in g.members) for g in table.groups)
    buttons = "".join(
        f'<button type="button" aria-pressed="true"><span class="swatch" style="--color: var(--c{i})"></span>'
        f"{escape(c.group.label)}<b></b></button>"
        for i, c in enumerate(of)
    )
    bands = dict.fromkeys(c.band for c in of)
    more = f" The best {len(of)} of {with_runs} configurations." if with_runs > len(of) else ""
    return (
        f"<section><h2>{escape(table.task)}: success while training <small>on validation episodes</small></h2>"
        f'<figure class="curves"><div class="legend" role="group" aria-label="curves shown">{buttons}</div>'
        f'<svg tabindex="0" role="slider" aria-label="learning curves of {escape(table.task)}: arrow keys read values"'
        f' aria-valuenow="0" id="chart{number}"></svg>'
        f'<figcaption><span class="at"></span>Bands: {escape("; ".join(bands))}.{more}</figcaption></figure></section>'
    )


def _runs(table: Table, comparison: Comparison, colors: dict[str, int]) -> str:
    shown = [METRICS[name] for name in COLUMNS]
    if table.metric not in shown:
        shown.insert(0, table.metric)
    heads = [_head("run")]
    heads += [_head(m.head, m, table.metric) for m in shown]
    heads += [_head("configuration"), _head("seed", number=True), _head("state"), _head("detectors")]
    rows = []
    for o in table.runs:
        color = _color(colors, o.fingerprint)
        cells = [f'<th scope="row" data-v="{_a(comparison.names[o.path])}">{escape(comparison.names[o.path])}</th>']
        cells += [_metric(m, o, color) for m in shown]
        label = f"{escape(str(o.reward_set))} <code>{escape((o.fingerprint or '')[:SHORT])}</code>"
        cells.append(f'<td data-v="{_a(table.group(o).label)}"><span class="swatch"{color}></span>{label}</td>')
        cells.append(_cell(o.seed, number=True))
        cells.append(
            f'<td data-v="{_a(state(o))}"><span class="pill {o.state}" title="{_a(state(o))}">'
            f"{escape(o.state)}</span></td>"
        )
        cells.append(_cell(", ".join(o.findings), wrap=True))
        words = " ".join([table.task, comparison.names[o.path], str(o.reward_set), str(o.fingerprint), state(o)])
        words += f" seed {o.seed} {' '.join(o.findings)}"
        rows.append(f'<tr data-words="{_a(words)}">{"".join(cells)}</tr>')
    return (
        f"<section><h2>{escape(table.task)}: runs <small>{len(table.runs)}, click a heading to sort</small></h2>"
        + _scrolled(f"runs of {table.task}", "sortable runs", heads, rows)
        + "</section>"
    )


def _groups(table: Table, colors: dict[str, int]) -> str:
    shown = [g for g in table.groups if g.aggregate is not None]
    if not any(len(g.seeds) > 1 for g in shown):
        return ""
    metric = table.metric
    heads = [_head("configuration"), _head("seeds", number=True)]
    heads += [_head(f"mean {metric.head}", metric), _head("IQM [95 %]", metric, metric)]
    heads += [_head(f"beats {table.first.label}", number=True), _head("remarks")]
    rows = []
    for g in shown:
        a, p, color = g.aggregate, g.improvement(table.first), _color(colors, g.fingerprint)
        if a is None:
            continue
        bar = _bar(a.iqm, a.ci95, color) if metric.key.endswith("_rate") else ""
        rows.append(
            f'<tr><th scope="row" data-v="{_a(g.label)}"><span class="swatch"{color}></span>{escape(g.label)}</th>'
            f'<td class="number" data-v="{len(g.seeds)}">{len(g.seeds)}</td>'
            f'<td class="number" data-v="{a.mean!r}">{metric.text(a.mean)}</td>'
            f'<td data-v="{a.iqm!r}"><span class="rate">{bar}{escape(iqm(g))}</span></td>'
            f'<td class="number" data-v="{p.probability if p else ""}">{escape(beats(g, table.first))}</td>'
            f"{_cell('; '.join(g.notes), wrap=True)}</tr>"
        )
    return (
        f"<section><h2>{escape(table.task)}: seeds of each configuration <small>{escape(metric.head)}, finished runs "
        "only</small></h2>" + _scrolled(f"groups of {table.task}", "sortable groups", heads, rows) + "</section>"
    )


def _broken(comparison: Comparison) -> str:
    if not comparison.broken:
        return ""
    rows = [
        f'<tr data-words="{_a(f"{comparison.names[o.path]} broken {o.problem}")}"><th scope="row">'
        f'{escape(comparison.names[o.path])}</th><td><span class="pill broken">broken</span></td>'
        f'<td class="wrap">{escape(o.problem)}</td></tr>'
        for o in comparison.broken
    ]
    heads = [f'<th scope="col">{head}</th>' for head in ("run", "state", "problem")]
    return "<section><h2>Broken runs</h2>" + _scrolled("broken runs", "runs", heads, rows) + "</section>"


def _differences(comparison: Comparison) -> str:
    try:
        found: Differences = differences(comparison)
    except UserError:
        return ""  # one run differs from nothing
    remarks = "".join(f'<p class="hint">{escape(remark)}</p>' for remark in found.remarks())
    title = "<section><h2>What the configurations differ in</h2>"
    if not found.rows:
        return f"{title}{remarks}</section>"
    heads = ['<th scope="col">key</th>', *(f'<th scope="col">{escape(g.label)}</th>' for g in found.groups)]
    rows = []
    for row in found.rows:
        cells = [row.cell(i) for i in range(len(found.groups))]
        of = "".join(f"<td{' class=same' if cell == '-' else ''}>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row"><code>{escape(row.key)}</code></th>{of}</tr>')
    return f"{title}{_scrolled('differences', 'differences', heads, rows)}{remarks}</section>"


def _findings(comparison: Comparison) -> str:
    items = []
    for o in (o for t in comparison.tables for o in t.runs if o.findings and not o.path.is_file()):
        rows = Run(o.run_dir).findings()
        last = max(row["steps"] for row in rows)
        for row in (row for row in rows if row["steps"] == last):
            level = row.get("level", "note")
            replay = f'<p class="hint">Watch it: <code>{escape(row["replay"])}</code></p>' if row.get("replay") else ""
            items.append(
                f'<li><h3><span class="pill {_a(level)}">{escape(level)}</span> {escape(comparison.names[o.path])}: '
                f"{escape(row['name'])}</h3><p>At {last:,} steps: {escape(row.get('message', ''))}; try "
                f"{escape(row.get('suggestion', ''))}.</p>{replay}</li>"
            )
    if not items:
        return ""
    return f'<section><h2>What the detectors saw</h2><ul class="findings">{"".join(items)}</ul></section>'


def _scrolled(label: str, kind: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """A table that scrolls sideways where it is wider than the page, by keyboard too."""
    return (
        f'<div class="scroll {kind}" role="region" tabindex="0" aria-label="{_a(label)}"><table class="{kind}">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(text: str, metric: Metric | None = None, sorted_by: Metric | None = None, *, number: bool = False) -> str:
    """A heading that sorts: of a metric the better end first."""
    first = "descending" if metric is not None and metric.higher else "ascending"
    kind = "number" if number or metric is not None else "text"
    right = ' class="number"' if kind == "number" and (metric is None or metric.name != "success") else ""
    now = f' aria-sort="{first}"' if metric is not None and metric is sorted_by else ""
    return (
        f'<th scope="col" data-kind="{kind}" data-first="{first}"{right}{now}>'
        f'<button type="button">{escape(text)}</button></th>'
    )


def _metric(metric: Metric, outcome: Outcome, color: str) -> str:
    value = metric.value(outcome)
    if value is None:
        return f'<td class="{"" if metric.name == "success" else "number"}">-</td>'
    shown = escape(metric.text(value))
    if metric.name != "success":
        return f'<td class="number" data-v="{value!r}">{shown}</td>'
    interval = (outcome.evaluation or {}).get("success_ci95")
    ends = f"<small>[{', '.join(metric.text(end) for end in interval)}]</small>" if interval else ""
    mark = MARK if outcome.validated else ""
    return f'<td data-v="{value!r}"><span class="rate">{_bar(value, interval, color)}{shown}{mark} {ends}</span></td>'


def _bar(value: float, interval: Sequence[float] | None, color: str) -> str:
    """A rate as a bar, its interval the strong end of it."""
    low, high = interval or (value, value)
    return (
        f'<span class="bar" aria-hidden="true"{color}><i style="width: {100 * value:.2f}%"></i>'
        f'<b style="left: min({100 * low:.2f}%, 100% - 3px); width: {100 * (high - low):.2f}%"></b></span>'
    )


def _cell(value: Any, *, number: bool = False, wrap: bool = False) -> str:
    kind = ' class="number"' if number else ' class="wrap"' if wrap else ""
    if value is None or value == "":
        return f"<td{kind}>-</td>" if not wrap else f"<td{kind}></td>"
    return f'<td{kind} data-v="{_a(value)}">{escape(str(value))}</td>'


def _color(colors: dict[str, int], fingerprint: str | None) -> str:
    place = colors.get(fingerprint or "")
    return "" if place is None else f' style="--color: var(--c{place})"'


def _a(value: Any) -> str:
    return escape(str(value), quote=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
