"""Reward terms on the command line: ``python -m vbot.rewards list | show TERM | new TERM``."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from vbot.cli import Parser, run_command
from vbot.rewards import REGISTRY
from vbot.rewards.cards import DEAD_SHARE, SCALE_DT_S, Card, card, curves, place_text, range_text
from vbot.rewards.charts import picture, text_chart
from vbot.rewards.plugins import load_plugins
from vbot.rewards.scaffold import write_term


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    parser = Parser(prog="python -m vbot.rewards", description="What reward terms there are, and a new one.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | show TERM | new TERM")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=what, description=what)

    listing = add("list", "a table of all terms")
    show = add("show", "one term: formula, curves, what it pays")
    new = add("new", "write TERM.py, a plugin, and its test")
    for action in (show, new):
        action.add_argument("term", metavar="TERM")
    for action in (listing, show, new):
        action.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a file with reward terms")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument("--plot", type=Path, metavar="FILE", help="the curves as a picture, as in term.png")
    new.add_argument("--penalty", action="store_true", help="a term that costs")
    new.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where to write; default: here")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    load_plugins(given.plugin)
    if given.action == "list":
        cards = [card(REGISTRY[name]) for name in sorted(REGISTRY)]
        print(json.dumps([c.to_dict() for c in cards], indent=2) if given.json else _table(cards))
    elif given.action == "show":
        _show(given)
    else:
        file, test = write_term(given.term, given.dir, REGISTRY, penalty=given.penalty)
        print(f"wrote {file} and {test}, which work as they are. Next:")
        print(f"  python -m vbot.rewards show {given.term} --plugin {file}")
        print(f"  python -m pytest {test}")
        print(f"  python -m vbot.audit --reward-set swift --plugin {file} --set reward.terms.{given.term}=SCALE")


def _table(cards: list[Card]) -> str:
    head = ("name", "kind", "sign", "scale", "range", "parameters", "gate", "units", "sets", "defined")
    rows = [
        (
            c.spec.name,
            c.kind,
            c.sign,
            f"{c.spec.scale:g}",
            range_text(c.spec.search),
            " ".join(f"{k}={_value(v)}" for k, v in c.spec.params.items()) or "-",
            c.gate,
            c.unit,
            " ".join(c.sets) or "-",
            place_text(c.spec),
        )
        for c in cards
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )


def _show(given: argparse.Namespace) -> None:
    spec = REGISTRY[given.term]
    this, found = card(spec), curves(spec)
    if given.plot is not None:
        picture(spec.name, found, given.plot)
    if given.json:
        content = this.to_dict()
        content["curves"] = [
            {
                "axis": c.axis.name,
                "unit": c.axis.unit,
                "context": c.context,
                "at": c.at.tolist(),
                "value": c.value.tolist(),
                "dead": c.dead(),
            }
            for c in found
        ]
        print(json.dumps(content))
        return
    per = "per s" if this.kind == "rate" else "per occurrence"
    rows = [
        ("term", f"{spec.name}, a {this.sign} paid {'at a rate' if this.kind == 'rate' else 'per event'}"),
        ("formula", this.formula),
        ("scale", f"{spec.scale:g}{_per(this)}; search {range_text(spec.search)}"),
        *((k, f"{_value(v)}; search {range_text(spec.tune.get(k))}") for k, v in spec.params.items()),
        ("gate", this.gate + (", multiplied by a set's time decay" if spec.decay else "")),
        ("reads", ", ".join(this.reads)),
        ("used by", ", ".join(this.sets) or "no built-in set"),
        ("defined", place_text(spec)),
        ("mirror", "left and right pay the same" if this.symmetric else "left and right do NOT pay the same"),
        (
            "standing",
            "  ".join(f"{place}: {this.pay(v) + 0.0:.4g}" for place, v in this.standing.items()) + f"  ({per})",
        ),
    ]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows))
    for c in found:
        steepest = int(c.slope.abs().argmax())
        print(f"\nraw value over the {c.axis.name}, {c.context}\n{text_chart(c)}")
        line = f"steepest {float(c.slope[steepest]):.3g} per {c.axis.unit} at {float(c.at[steepest]):.3g}"
        dead = ", ".join(f"{low:.3g} to {high:.3g}" for low, high in c.dead())
        print(line + (f"; dead (below {100 * DEAD_SHARE:g} % of that): {dead} {c.axis.unit}" if dead else ""))
    if not found:
        print("\nnothing here moves it but events: it pays when one happens")
    if given.plot is not None:
        print(f"\nwrote {given.plot}")


def _per(c: Card) -> str:
    return f" per {1000 * SCALE_DT_S:g} ms" if c.kind == "rate" else ""


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run_command(main)
