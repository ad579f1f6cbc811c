"""The comparison as text: fits a terminal, and has everything in a pipe."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from vbot.comparison.groups import SHORT, Comparison, Group, Table
from vbot.comparison.metrics import COLUMNS, METRICS, Metric
from vbot.outcomes import Outcome

_GAP = "  "
_LEAST_NAME = 14
_DROPPED = ("steps/s", "wall", "contest", "reward", "configuration", "falls %", "state")
"""Columns that a narrow terminal does without, the first to go first."""

MARK = "*"
VALIDATION = (
    f"{MARK} the best on the run's own validation episodes, by which policies are chosen: that flatters. Finished runs "
    "are judged on fresh episodes."
)
SUCCESSES_ONLY = "Time counts successes only: of a policy that seldom succeeds it says little."


@dataclass(frozen=True)
class Column:
    head: str
    cells: list[str]
    right: bool = False

    @property
    def width(self) -> int:
        return max(map(len, [self.head, *self.cells]))

    def lines(self) -> list[str]:
        return [cell.rjust(self.width) if self.right else cell.ljust(self.width) for cell in [self.head, *self.cells]]


def text(comparison: Comparison, width: int | None = None) -> str:
    """Tables of runs and groups, what is broken, and what the marks mean.

    Args:
        width: characters of the terminal; None shows everything.
    """
    parts, dropped = [], set()
    for table in comparison.tables:
        body, gone = fit(_run_columns(table, comparison), width)
        dropped |= gone
        parts.append(f"{table.task}, {len(table.runs)} run{'s' * (len(table.runs) > 1)} by {table.metric.name}\n{body}")
        if any(len(g.seeds) > 1 for g in table.groups):
            parts.append(_groups(table, width))
    if comparison.broken:
        rows = [f"  {comparison.names[o.path]}: {o.problem}" for o in comparison.broken]
        parts.append("\n".join(["broken", *rows]))
    if said := notes(comparison, dropped):
        parts.append("\n".join(said))
    return "\n\n".join(parts)


def success(outcome: Outcome) -> str:
    """``97.9 [96.9, 98.6]`` in percent, with its mark."""
    rate, interval = METRICS["success"].cell(outcome), (outcome.evaluation or {}).get("success_ci95")
    if rate == "-":
        return rate
    told = f" [{', '.join(f'{100 * end:.1f}' for end in interval)}]" if interval else ""
    return f"{rate}{told}{MARK if outcome.validated else ''}"


def state(outcome: Outcome) -> str:
    steps = f" at {outcome.steps / 1e6:.1f} M" if outcome.state == "unfinished" and outcome.steps else ""
    return outcome.state + steps


def fit(columns: Sequence[Column], width: int | None) -> tuple[str, set[str]]:
    """The columns beside each other, in at most ``width`` characters; and the heads of those left out for it.

    Long names lose their middle first, then columns go, then the last column is cut.
    """
    kept, gone = list(columns), set()

    def total() -> int:
        return sum(c.width for c in kept) + len(_GAP) * (len(kept) - 1)

    if width is not None:
        for head in _DROPPED:
            spare = width - total() + kept[-1].width - len(kept[-1].head)
            if spare < 0:
                kept = [_shortened(c, max(_LEAST_NAME, c.width + spare)) if c.head == "run" else c for c in kept]
            if total() - kept[-1].width + len(kept[-1].head) > width and any(c.head == head for c in kept):
                kept = [c for c in kept if c.head != head]
                gone.add(head)
    lines = [_GAP.join(row).rstrip() for row in zip(*(c.lines() for c in kept), strict=True)]
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    return "\n".join(lines), gone


def _shortened(column: Column, width: int) -> Column:
    def cut(cell: str) -> str:
        if len(cell) <= width:
            return cell
        end = (width - 1) * 2 // 3  # the end of a path tells more than its beginning
        return f"{cell[: width - 1 - end]}…{cell[-end:]}"

    return Column(column.head, [cut(c) for c in column.cells], column.right)


def _run_columns(table: Table, comparison: Comparison) -> list[Column]:
    runs, metric = table.runs, table.metric

    def column(head: str, cell: Callable[[Outcome], str], right: bool = False) -> Column:
        return Column(head, [cell(o) for o in runs], right)

    ranks = [f"{place}" if metric.value(o) is not None else "" for place, o in enumerate(runs, 1)]
    shown = [METRICS[name] for name in COLUMNS]
    if metric not in shown:
        shown.insert(0, metric)
    columns = [Column("", ranks, True), column("run", lambda o: comparison.names[o.path])]
    columns += [_metric_column(m, runs) for m in shown]
    columns += [
        column("reward", lambda o: o.reward_set or "-"),
        column("configuration", lambda o: (o.fingerprint or "-")[:SHORT]),
        column("seed", lambda o: "-" if o.seed is None else str(o.seed), True),
    ]
    if any(o.state != "finished" for o in runs):
        columns.append(column("state", state))
    return [*columns, column("detectors", lambda o: ", ".join(o.findings) or "-")]


def _metric_column(metric: Metric, runs: Sequence[Outcome]) -> Column:
    if metric.name == "success":
        return Column(f"{metric.head} [95 %]", [success(o) for o in runs])
    return Column(metric.head, [metric.cell(o) for o in runs], True)


def _groups(table: Table, width: int | None) -> str:
    shown = [g for g in table.groups if g.aggregate is not None]
    left_out = len(table.groups) - len(shown)
    columns = [
        Column("", [str(place) for place, _ in enumerate(shown, 1)], True),
        Column("configuration", [g.label for g in shown]),
        Column("seeds", [str(len(g.seeds)) for g in shown], True),
        Column("mean", [table.metric.text(g.aggregate.mean) for g in shown if g.aggregate], True),
        Column("IQM [95 %]", [iqm(g) for g in shown]),
        Column(f"beats {table.first.label}", [beats(g, table.first) for g in shown]),
        Column("", ["; ".join(g.notes) for g in shown]),
    ]
    body, _ = fit(columns, width)
    more = f"\n{left_out} configuration{'s' * (left_out > 1)} without a finished run left out" if left_out else ""
    return f"{table.task}, seeds of each configuration: {table.metric.head}\n{body}{more}"


def iqm(group: Group) -> str:
    """Interquartile mean and its interval in the unit of the metric."""
    a, show = group.aggregate, group.metric.text
    if a is None:
        return "-"
    return show(a.iqm) + (f" [{show(a.ci95[0])}, {show(a.ci95[1])}]" if a.ci95 else "")


def beats(group: Group, first: Group) -> str:
    """Probability of improvement and its interval."""
    p = group.improvement(first)
    if p is None:
        return "-"
    return f"{p.probability:.2f}" + (f" [{p.ci95[0]:.2f}, {p.ci95[1]:.2f}]" if p.ci95 else "")


def notes(comparison: Comparison, dropped: Collection[str] = ()) -> list[str]:
    """What the marks and columns mean, as far as they are there; ``dropped`` columns are named."""
    said = []
    runs = [o for t in comparison.tables for o in t.runs]
    if any(o.validated for o in runs):
        said.append(VALIDATION)
    if comparison.metric.name == "time":
        said.append(SUCCESSES_ONLY)
    if any(len(g.seeds) > 1 for g in comparison.groups):
        said.append(
            "IQM: mean of the middle half of the seeds, of three or fewer the mean; intervals by bootstrap over seeds "
            "(of three: their range). beats: how probably a seed has the better value, ties counting half."
        )
    if len(comparison.tables) > 1:
        said.append("Tasks differ in difficulty: each has its own table.")
    if dropped:
        left = ", ".join(head for head in _DROPPED if head in dropped)
        said.append(f"Left out for want of width: {left} (in a pipe, --json and --html are all).")
    if comparison.skipped:
        said.append(f"Skipped, no run or study: {', '.join(map(str, comparison.skipped))}")
    return said
