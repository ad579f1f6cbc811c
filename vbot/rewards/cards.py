"""Term cards: what a registered term is and does, from the registry and its code alone."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbot.ranges import Choice, LogUniform, Range, Uniform
from vbot.rewards.conformance import random_states
from vbot.rewards.probes import mirrored, raw, robots
from vbot.rewards.registry import TermSpec
from vbot.rewards.sets import built_in_sets, read_set
from vbot.state import CLOCK_PERIOD_S, State

SCALE_DT_S = 0.01
"""The time that a rate's scale is paid for in the built-in sets."""
DEAD_SHARE = 0.01
"""A slope below this share of the term's steepest one leads nowhere."""
_PHASES = ("far", "near", "first reach", "stopping", "left again")
"""Of ``random_states``, by row modulo 5."""
_SWEEP, _JUMP = 241, 4
_NOISE = 1e-5
"""Of float32 differences of distances."""


@dataclass(frozen=True)
class Axis:
    """A way to change a state that a person would think of, with every field that goes with it."""

    name: str
    unit: str
    low: float
    high: float
    move: Callable[[State, Tensor], Mapping[str, Any]]
    """(a batch of like robots, values (N,)) -> the fields that change."""


@dataclass(frozen=True)
class Curve:
    """A term's raw value along an axis."""

    axis: Axis
    context: str
    at: Tensor  # (M,)
    value: Tensor  # (M,)

    @property
    def slope(self) -> Tensor:
        """(M,) change of the raw value per unit of the axis."""
        return torch.gradient(self.value, spacing=(self.at,))[0]

    def dead(self) -> list[tuple[float, float]]:
        """Stretches of the axis along which the slope is below DEAD_SHARE of the steepest; a jump is no slope."""
        slope = self.slope.abs()
        alive = (slope > DEAD_SHARE * slope.max()).nonzero().squeeze(1).tolist()
        # Slopes that only a few samples in a row have are those of a jump.
        alive = [i for i in alive if sum(abs(i - j) <= _JUMP for j in alive) > _JUMP]
        edges = [-1, *alive, len(self.at)]
        flat = [(a + 1, b - 1) for a, b in pairwise(edges) if b - a > _SWEEP // 50]
        return [(float(self.at[low]), float(self.at[high])) for low, high in flat]


@dataclass(frozen=True)
class Card:
    """All that ``vbot.rewards list`` and ``show`` print of a term."""

    spec: TermSpec
    formula: str
    """First paragraph of the docstring."""
    unit: str
    gate: str
    sets: tuple[str, ...]
    reads: tuple[str, ...]
    """Fields of State that its code names."""
    symmetric: bool
    standing: Mapping[str, float]
    """Where a robot stands still -> raw value."""

    @property
    def kind(self) -> str:
        return self.spec.kind

    @property
    def sign(self) -> str:
        return "penalty" if self.spec.penalty else "reward"

    def pay(self, value: float) -> float:
        """Income at the registered scale: of a rate per second, of an event per occurrence."""
        return value * self.spec.scale * (1 / SCALE_DT_S if self.kind == "rate" else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for --json."""
        spec = self.spec
        return {
            "name": spec.name,
            "kind": spec.kind,
            "sign": self.sign,
            "scale": spec.scale,
            "search": range_text(spec.search),
            "params": dict(spec.params),
            "tune": {name: range_text(range_) for name, range_ in spec.tune.items()},
            "gate": self.gate,
            "unit": self.unit,
            "decay": spec.decay,
            "sets": list(self.sets),
            "defined": spec.place,
            "formula": self.formula,
            "reads": list(self.reads),
            "symmetric": self.symmetric,
            "standing": dict(self.standing),
        }


def card(spec: TermSpec) -> Card:
    """The card of a term."""
    formula = " ".join(spec.doc.split("\n\n")[0].split())
    body, semicolon, unit = formula.rpartition(";")
    fields = [f.name for f in dataclasses.fields(State)] + ["clock_phase", "planar_speed", "target_speed"]
    return Card(
        spec=spec,
        formula=formula,
        unit=unit.strip(" .") if semicolon and body and not unit.startswith(" an event") else "-",
        gate=_gate(spec),
        sets=tuple(name for name, terms in _built_in_terms().items() if spec.name in terms),
        reads=tuple(f for f in fields if re.search(rf"\.{f}\b", spec.source)),
        symmetric=_symmetric(spec),
        standing={place: float(raw(spec, s)[0]) for place, s in _standing_places().items()},
    )


def curves(spec: TermSpec, params: Mapping[str, Any] | None = None) -> list[Curve]:
    """Raw values along every axis that moves the term, each in the phase of an episode in which it moves most."""
    found = []
    for axis in AXES:
        at = torch.linspace(axis.low, axis.high, _SWEEP)
        best: Curve | None = None
        for context, s in _contexts().items():
            moved = dataclasses.replace(s, **axis.move(s, at))
            curve = Curve(axis, context, at, raw(spec, moved, params))
            if best is None or _span(curve) > _span(best) + _NOISE:
                best = curve
        if best is not None and _span(best) > _NOISE:
            found.append(best)
    return found


def pays_for_living(spec: TermSpec, params: Mapping[str, Any] | None = None) -> bool:
    """Whether a rate pays a robot before the reach the same wherever it is and whatever it does: alive-type."""
    if spec.penalty or spec.kind != "rate":
        return False
    s = random_states(250, seed=0)
    value = raw(spec, s, params)[~s.ever_reached]
    return bool(value[0] > 0) and bool((value == value[0]).all())


def range_text(range_: Range | None) -> str:
    """``0.5..5``, ``1e-06..0.001 log`` or ``{a, b}``."""
    match range_:
        case None:
            return "-"
        case Choice():
            return "{" + ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in range_.values) + "}"
        case Uniform() | LogUniform():
            return f"{range_.low:g}..{range_.high:g}" + (" log" if isinstance(range_, LogUniform) else "")


def place_text(spec: TermSpec) -> str:
    """File and line where a term is defined; built-in terms without the path to the package."""
    file = Path(spec.file)
    package = Path(__file__).parents[2]
    shown = file.relative_to(package) if file.is_relative_to(package) else file
    return f"{shown}:{spec.line}"


def _span(curve: Curve) -> float:
    return float(curve.value.max() - curve.value.min())


@cache
def _built_in_terms() -> dict[str, set[str]]:
    return {name: set(read_set(name)["terms"]) for name in built_in_sets()}


def _gate(spec: TermSpec) -> str:
    """In which phases of an episode the term is ever other than 0, told from states of all of them."""
    fires = [False] * len(_PHASES)
    for seed in range(4):
        value = raw(spec, random_states(320, seed)) != 0
        fires = [f or bool(value[k::5].any()) for k, f in enumerate(fires)]
    match fires:
        case [True, _, _, True, True]:
            return "always"
        case [True, _, _, False, False]:
            return "before reach"
        case [False, False, True, False, False]:
            return "first reach"
        case [False, False, _, True, False]:
            return "at the target"
        case [False, _, _, _, True] if not fires[0] and not fires[1]:
            return "after reach"
        case _:
            named = [phase for phase, f in zip(_PHASES, fires, strict=True) if f]
            return ", ".join(named) or "never seen"


def _symmetric(spec: TermSpec) -> bool:
    def same(s: State, image: State) -> bool:
        return torch.allclose(raw(spec, s), raw(spec, image), rtol=1e-4, atol=1e-5)

    s = random_states(256, seed=7)
    image = mirrored(s)
    # Only what keeps time with the clock sees its mirror image half a period later.
    return same(s, image) or same(s, dataclasses.replace(image, time_s=s.time_s))


def _standing_places() -> dict[str, State]:
    places = {f"{d:g} m": robots(d, initial_distance=max(d, 3.0), time_s=1.0) for d in (11.0, 6.0, 3.0, 1.0)}
    places["target"] = robots(
        0.2, ever_reached=True, time_since_reach=0.3, stopped_time=0.3, initial_distance=3.0, time_s=4.0
    )
    return places


def _contexts() -> dict[str, State]:
    n = torch.ones(_SWEEP)
    clock = CLOCK_PERIOD_S / 8
    return {
        "walking 3 m away, before the reach": robots(3.0 * n, 0.5, initial_distance=6.0, time_s=2 + clock),
        "standing 3 m away, before the reach": robots(3.0 * n, initial_distance=6.0, time_s=2 + clock),
        "standing 0.4 m away, 0.2 s after the reach": robots(
            0.4 * n, ever_reached=True, time_since_reach=0.2, stopped_time=0.2, initial_distance=6.0, time_s=6 + clock
        ),
        "walking 0.4 m away, after the reach": robots(
            0.4 * n, 0.5, ever_reached=True, time_since_reach=0.2, initial_distance=6.0, time_s=6 + clock
        ),
    }


def _place(s: State, d: Tensor) -> dict[str, Any]:
    position = s.base_pos_w.clone()
    position[:, 0] = -d
    return {
        "base_pos_w": position,
        "distance": d,
        "radius": d,
        "min_distance": d,
        "prev_distance": d + s.step_s * s.base_lin_vel_w[:, 0],
        "target_vec_b": torch.stack((d, torch.zeros_like(d)), 1),
        "initial_distance": torch.full_like(d, AXES[0].high),
        "reached": d < 0.5,
    }


def _walk(s: State, v: Tensor) -> dict[str, Any]:
    linear = s.base_lin_vel_w.clone()
    linear[:, 0] = v
    return {"base_lin_vel_w": linear, "base_lin_vel_b": linear, "prev_distance": s.distance + v * s.step_s}


def _column(name: str, column: int) -> Callable[[State, Tensor], Mapping[str, Any]]:
    def move(s: State, value: Tensor) -> Mapping[str, Any]:
        changed = getattr(s, name).clone()
        changed[:, column] = value
        twin = {"base_lin_vel_w": "base_lin_vel_b"}.get(name)
        return {name: changed, **({twin: changed.clone()} if twin else {})}

    return move


def _every(name: str, base: str | None = None) -> Callable[[State, Tensor], Mapping[str, Any]]:
    """Set every column of a field, or put it that far from the field ``base``."""

    def move(s: State, value: Tensor) -> Mapping[str, Any]:
        origin = getattr(s, base) if base else torch.zeros_like(getattr(s, name))
        return {name: origin + value.reshape(-1, *[1] * (origin.dim() - 1))}

    return move


def _turn(s: State, angle: Tensor) -> dict[str, Any]:
    toward = torch.stack((angle.cos(), angle.sin()), 1) * s.distance[:, None]
    return {"bearing_error": angle, "target_vec_b": toward}


def _tilt(s: State, degrees: Tensor) -> dict[str, Any]:
    angle = torch.deg2rad(degrees)
    zero = torch.zeros_like(angle)
    return {
        "projected_gravity_b": torch.stack((angle.sin(), zero, -angle.cos()), 1),
        "base_quat_w": torch.stack(((angle / 2).cos(), zero, (angle / 2).sin(), zero), 1),
    }


AXES = (
    Axis("distance", "m", 0.0, 12.0, _place),
    Axis("speed towards the target", "m/s", -1.0, 3.0, _walk),
    Axis("bearing error", "rad", -math.pi, math.pi, _turn),
    Axis("heading error", "rad", -math.pi, math.pi, _every("heading_error")),
    Axis("distance from the middle", "m", 0.0, 12.5, _every("radius")),
    Axis("time since the reach", "s", 0.0, 2.0, _every("time_since_reach")),
    Axis("time stopped", "s", 0.0, 1.0, _every("stopped_time")),
    Axis("vertical speed", "m/s", -1.0, 1.0, _column("base_lin_vel_w", 2)),
    Axis("yaw rate", "rad/s", -1.0, 1.0, _column("base_ang_vel_b", 2)),
    Axis("roll rate", "rad/s", -2.0, 2.0, _column("base_ang_vel_b", 0)),
    Axis("tilt", "degrees", 0.0, 75.0, _tilt),
    Axis("height of the base", "m", 0.1, 0.4, _column("base_pos_w", 2)),
    Axis("joint angle from the standing pose", "rad", -0.5, 0.5, _every("joint_pos", "default_joint_pos")),
    Axis("joint speed", "rad/s", 0.0, 20.0, _every("joint_vel")),
    Axis("joint torque", "N m", 0.0, 34.0, _every("joint_torque")),
    Axis("action", "-", -2.0, 2.0, _every("action")),
    Axis("height of the feet", "m", 0.0, 0.2, _every("foot_height")),
    Axis("force on the feet", "N", 0.0, 200.0, _every("foot_force")),
    Axis("speed of the feet", "m/s", 0.0, 3.0, _every("foot_vel_w")),
    Axis("time of the feet in the air", "s", 0.0, 0.5, _every("foot_air_time")),
    Axis("time in the episode", "s", 0.0, 1.0, _every("time_s")),
)
