"""An audit as a person reads it, and the short one that work begins with."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from vbot.audit import Report, brief
from vbot.audit.behaviours import Outcome
from vbot.findings import Finding
from vbot.run import AUDIT, CONFIG, write_atomically
from vbot.settings import Settings

_TERMS_SHOWN = 3


def begin(settings: Settings, directory: Path, *, quiet: bool) -> None:
    """What the reward pays for, in short, before the work: said, recorded in ``directory``, and the work goes on."""
    report = brief(settings)
    write_atomically(directory / AUDIT, json.dumps(report.to_dict(), indent=2).encode() + b"\n")
    if not quiet:
        print(f"audit ({report.seconds:.1f} s; more: python -m vbot.audit --config {directory / CONFIG})")
        print(textwrap.indent(findings_text(report.findings), "  "), flush=True)


def text(report: Report) -> str:
    """The whole report."""
    parts = [
        f"reward set {report.reward_set} on {report.task}, discount {report.discount['discount_factor']:g} per "
        f"{report.discount['step_s']:g} s (horizon {report.discount['horizon_s']:.3g} s)",
        _behaviours(report),
        _plans(report),
        _landscape(report),
        _budget(report),
        findings_text(report.findings),
        f"{report.seconds:.1f} s",
    ]
    return "\n\n".join(parts)


def findings_text(findings: Sequence[Finding]) -> str:
    """Findings, two lines each."""
    if not findings:
        return "no findings: a clean bill"
    return "\n".join(f"{f.level:7}  {f.name}: {f.message}\n{'':7}  -> {f.suggestion}" for f in findings)


def _behaviours(report: Report) -> str:
    lines = ["what behaviours earn: discounted with what a cut-off episode goes on to pay, the plain sum, main terms"]
    for d in sorted({o.distance_m for o in report.outcomes}):
        lines.append(f"from {d:g} m")
        rows = sorted((o for o in report.outcomes if o.distance_m == d), key=lambda o: -o.value)
        best = next((o for o in rows if o.wanted and o.cheat is None), None)
        for o in rows:
            mark = "*" if o is best else "!" if best and o.cheat and o.value >= best.value else " "
            lines.append(
                f" {mark} {o.behaviour:26} {o.ended:7} {o.duration_s:5.1f} s {o.value:10.4g} "
                f"{float(o.sums.sum()):10.4g}  {_main_terms(o, report.names)}"
            )
    return "\n".join(lines)


def _main_terms(o: Outcome, names: Sequence[str]) -> str:
    order = o.discounted.abs().argsort(descending=True)[:_TERMS_SHOWN].tolist()
    return ", ".join(f"{names[k]} {float(o.discounted[k]):.3g}" for k in order if abs(float(o.discounted[k])) > 0)


def _plans(report: Report) -> str:
    lines = ["what a perfect optimiser would do, were the robot a point that falls more often the faster it is"]
    for p in report.plans:
        when = f" after {p.arrival_s:.1f} s" if p.arrival_s is not None else f", ending at {p.stops_at_m:.1f} m"
        lines.append(
            f"  from {p.distance_m:g} m: {p.kind}{when}, at up to {p.top_speed_mps:g} m/s, "
            f"without a fall with {100 * p.survival:.0f} %"
        )
    return "\n".join(lines)


def _landscape(report: Report) -> str:
    land = report.landscape
    keep = [i for i, d in enumerate(land.distance_m) if d <= 3 or (d == int(d) and int(d) % 2 == 0) or d == 11]
    rows = [
        ("distance, m", [f"{land.distance_m[i]:g}" for i in keep]),
        ("pull towards the target", [f"{land.pull[i]:.3g}" for i in keep]),
        ("moving over standing", [f"{land.advantage[i]:.3g}" for i in keep]),
    ]
    body = "\n".join(f"  {name:24}" + "".join(f"{cell:>8}" for cell in cells) for name, cells in rows)
    return f"before the reach, income per second\n{body}"


def _budget(report: Report) -> str:
    money, worth = report.budget, report.discount
    alive = ", ".join(f"{k} {v:.4g}" for k, v in money["alive"].items()) or "none"
    events = ", ".join(f"{k} {v:.4g}" for k, v in money["arrival_events"].items()) or "none"
    left = ", ".join(f"{v:.3g} from {d} m" for d, v in worth["arrival_worth_by_distance_m"].items())
    return (
        f"being alive pays at most {money['alive_total']:.4g} ({alive}), arriving {money['arrival_total']:.4g} "
        f"({events})\nat the start of an episode that arrival is worth {left}"
    )
