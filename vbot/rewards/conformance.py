"""What every reward term must obey, as a check that a plugin's own tests can call.

    from vbot.rewards import REGISTRY
    from vbot.rewards.conformance import check_term

    check_term(REGISTRY["my_term"])  # raises ConformanceError, naming the term and the law it breaks

The built-in terms pass the same check.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vbot.ranges import ends
from vbot.rewards.registry import TermSpec
from vbot.state import State

_NUM_ENVS = 64
_STEPS = 6


class ConformanceError(ValueError):
    """A reward term breaks a law; the message names the term, its place, the law and what was seen."""


def check_term(spec: TermSpec) -> None:
    """Run one registered term on random states and check the laws of reward terms.

    The laws: defaults lie inside their ranges and scales have their sign; the value has shape ``(num_envs,)``, is
    float32 and finite, at both ends of every ``tune`` range; a penalty is >= 0; the State is only read; a row depends
    on its own environment alone; one environment is enough; nothing forces the tensors onto the host. For a term with
    memory: ``reset(mask)`` clears the memory of exactly those rows, memory is a copy, never a view of the State, and
    lives in tensor attributes, which is what a checkpoint keeps.

    Raises:
        ConformanceError: the first law that the term breaks.
    """
    _check_ranges(spec)
    states = [random_states(_NUM_ENVS, seed) for seed in range(_STEPS)]
    values = _values(spec, states)
    for params in _range_ends(spec):
        _values(spec, states, params)
    _check_repeatable(spec, states, values)
    _check_rows(spec, states, values)
    _check_device(spec, states)
    if spec.stateful:
        _check_reset(spec, states)
        _check_memory_is_copied(spec, states, values)
        _check_memory_is_saved(spec, states, values)


def _require(spec: TermSpec, law_holds: bool, broken: str) -> None:
    if not law_holds:
        raise ConformanceError(f"reward term {spec.name!r} ({spec.place}): {broken}")


def _check_ranges(spec: TermSpec) -> None:
    kind, law = ("penalty", "<= 0") if spec.penalty else ("reward", ">= 0")
    for scale in (spec.scale, *(ends(spec.search) if spec.search else ())):
        sign_holds = scale <= 0 if spec.penalty else scale >= 0
        _require(
            spec,
            sign_holds and math.isfinite(scale),
            f"every scale of a {kind}, the ends of its search range too, must be {law}; got {scale}",
        )
    inside = spec.search is None or spec.scale in spec.search
    _require(spec, inside, f"its default scale {spec.scale} lies outside its search range {spec.search}")
    for name, range_ in spec.tune.items():
        _require(spec, name in spec.params, f"tune names {name!r}, which is none of its parameters")
        default = spec.params[name]
        _require(spec, default in range_, f"its default {name}={default!r} lies outside its range {range_}")


def _range_ends(spec: TermSpec) -> Iterator[dict[str, Any]]:
    for name, range_ in spec.tune.items():
        yield from ({name: value} for value in ends(range_))


def _make(spec: TermSpec, num_envs: int, device: str, params: Mapping[str, Any]) -> Callable[[State], Tensor]:
    """A fresh term: an instance with empty memory, or the function with its parameters bound."""
    if not spec.stateful:
        return lambda s: spec.function(s, **params)
    try:
        instance: Callable[[State], Tensor] = spec.function(num_envs, torch.device(device), **params)
    except Exception as error:
        message = f"could not be made for {num_envs} environments on {device!r}{_shown(params)}: {error}"
        raise ConformanceError(f"reward term {spec.name!r} ({spec.place}): {message}") from error
    return instance


def _step(spec: TermSpec, term: Callable[[State], Tensor], s: State, params: Mapping[str, Any]) -> Tensor:
    """The term's value of one step, checked for everything that one value can show."""
    n, shown = s.num_envs, _shown(params)
    before = _copy(s)
    try:
        value = term(s)
    except Exception as error:
        message = f"raised {type(error).__name__} on {n} environment(s){shown}: {error}"
        raise ConformanceError(f"reward term {spec.name!r} ({spec.place}): {message}") from error
    _require(spec, isinstance(value, Tensor), f"must return a tensor; got {type(value).__name__}{shown}")
    shape = tuple(value.shape)
    _require(spec, shape == (n,), f"must return shape (num_envs,) = ({n},); got {shape}{shown}")
    _require(spec, value.dtype == torch.float32, f"must return float32; got {value.dtype}{shown}")
    bad = int((~value.isfinite()).sum())
    _require(spec, bad == 0, f"must be finite; {bad} of {n} rows are NaN or infinite{shown}")
    if spec.penalty:
        lowest = value.min().item()
        _require(spec, lowest >= 0, f"a penalty returns a magnitude >= 0; its lowest value is {lowest:.6g}{shown}")
    for name, old in _fields(before).items():
        same = torch.equal(old, new) if isinstance(new := getattr(s, name), Tensor) else new == old
        _require(spec, same, f"must only read the State; it changed {name!r}{shown}")
    return value.clone()


def _values(spec: TermSpec, states: Sequence[State], params: Mapping[str, Any] | None = None) -> list[Tensor]:
    """Values of a fresh term over consecutive states."""
    params = params or {}
    term = _make(spec, states[0].num_envs, "cpu", params)
    return [_step(spec, term, s, params) for s in states]


def _check_repeatable(spec: TermSpec, states: Sequence[State], values: Sequence[Tensor]) -> None:
    again = _values(spec, states)
    _require(
        spec,
        all(map(_close, again, values)),
        "must give the same values for the same states; it is random or shares memory between its instances",
    )


def _check_rows(spec: TermSpec, states: Sequence[State], values: Sequence[Tensor]) -> None:
    order = torch.randperm(_NUM_ENVS, generator=torch.Generator().manual_seed(0))
    middle = _NUM_ENVS // 3
    every = torch.arange(_NUM_ENVS)
    batches = {
        "the batch in another order": [order],
        "the batch split in two": [every[:middle], every[middle:]],
        "a batch of one": [every[i : i + 1] for i in (0, middle, _NUM_ENVS - 1)],
    }
    for what, parts in batches.items():
        for rows in parts:
            got = _values(spec, [_take(s, rows) for s in states])
            same = all(_close(g, v[rows]) for g, v in zip(got, values, strict=True))
            _require(spec, same, f"a row must depend on its own environment alone; {what} gave other values")


def _check_device(spec: TermSpec, states: Sequence[State]) -> None:
    """Run on torch's meta device, whose tensors have no values: what reads a value, or mixes devices, fails there."""
    term = _make(spec, _NUM_ENVS, "meta", {})
    for s in states[:2]:
        try:
            device = term(_to(s, "meta")).device.type
        except Exception as error:
            raise ConformanceError(
                f"reward term {spec.name!r} ({spec.place}): must run on any device without reading values back to the"
                " host (no .item(), no 'if' on a tensor, no indexing by a mask: use torch.where; new tensors on the"
                f" device of the State): {error}"
            ) from error
        _require(spec, device == "meta", f"must return a tensor on the device of the State; got one on {device!r}")


def _check_reset(spec: TermSpec, states: Sequence[State]) -> None:
    history, future = states[: _STEPS // 2], states[_STEPS // 2 :]
    mask = torch.arange(_NUM_ENVS) % 3 == 0
    reset, kept, fresh = (_make(spec, _NUM_ENVS, "cpu", {}) for _ in range(3))
    _reset(spec, fresh, torch.ones_like(mask))
    for s in history:
        _step(spec, reset, s, {})
        _step(spec, kept, s, {})
    _reset(spec, reset, mask)
    for s in future:
        got, old, new = (_step(spec, term, s, {}) for term in (reset, kept, fresh))
        _require(
            spec,
            _close(got[mask], new[mask]),
            "reset(mask) must clear the memory of the rows in the mask; they differ from a fresh term's",
        )
        _require(
            spec,
            _close(got[~mask], old[~mask]),
            "reset(mask) must leave the rows outside the mask alone; they differ from those of a term not reset",
        )


def _reset(spec: TermSpec, term: Any, mask: Tensor) -> None:
    given = mask.clone()
    try:
        term.reset(given)
    except Exception as error:
        message = f"reset(mask) raised {type(error).__name__}: {error}"
        raise ConformanceError(f"reward term {spec.name!r} ({spec.place}): {message}") from error
    _require(spec, torch.equal(given, mask), "reset(mask) must not write into the mask")


def _check_memory_is_copied(spec: TermSpec, states: Sequence[State], values: Sequence[Tensor]) -> None:
    """The simulator may write the next step into the same tensors: play that, and the values must not change."""
    term = _make(spec, _NUM_ENVS, "cpu", {})
    buffer = _copy(states[0])
    for s, expected in zip(states, values, strict=True):
        for name, new in _fields(s).items():
            if isinstance(new, Tensor):
                getattr(buffer, name).copy_(new)
        same = _close(_step(spec, term, buffer, {}), expected)
        _require(spec, same, "its memory must be a copy (.clone()), not a view of the State's tensors")


def _check_memory_is_saved(spec: TermSpec, states: Sequence[State], values: Sequence[Tensor]) -> None:
    """Continue in a fresh term that was given the tensor attributes of the old one, as a resumed run does."""
    half = _STEPS // 2
    old, resumed = (_make(spec, _NUM_ENVS, "cpu", {}) for _ in range(2))
    for s in states[:half]:
        _step(spec, old, s, {})
    for name, value in vars(old).items():
        if isinstance(value, Tensor):
            setattr(resumed, name, value.clone())
    for s, expected in zip(states[half:], values[half:], strict=True):
        same = _close(_step(spec, resumed, s, {}), expected)
        _require(spec, same, "its memory must be tensor attributes of the instance, or a resumed run would lose it")


def _shown(params: Mapping[str, Any]) -> str:
    return " with " + ", ".join(f"{k}={v!r}" for k, v in params.items()) if params else ""


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def _fields(s: State) -> dict[str, Any]:
    return {f.name: getattr(s, f.name) for f in dataclasses.fields(s)}


def _map(s: State, change: Callable[[Tensor], Tensor]) -> State:
    fields: dict[str, Any] = {k: change(v) if isinstance(v, Tensor) else v for k, v in _fields(s).items()}
    return State(**fields)


def _copy(s: State) -> State:
    return _map(s, torch.clone)


def _take(s: State, rows: Tensor) -> State:
    return _map(s, lambda tensor: tensor[rows])


def _to(s: State, device: str) -> State:
    return _map(s, lambda tensor: tensor.to(device))


def random_states(n: int, seed: int) -> State:
    """A batch of n VBot environments that covers the phases of an episode, the same for the same seed.

    Fields agree with one another (velocities in both frames, gravity with the quaternion, distance with the
    positions). Row i is in phase i % 5: far from the target, near it, on the step of the first reach, stopping on
    it, gone away again. Some have fallen, feet are on and off the ground, and every 16th stands perfectly still, one
    of those exactly on its target.
    """
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    def normal(std: float, *shape: int) -> Tensor:
        return std * torch.randn(n, *shape, generator=g)

    step_s, pi = 0.02, math.pi
    row = torch.arange(n)
    phase, still = row % 5, row % 16 == 3
    ever_reached, first_reach = phase >= 2, phase == 2
    moves = (~still).float()[:, None]
    pace = torch.where(uniform(0.0, 1.0, 1) < 0.5, 0.1, 1.0) * moves

    low = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.5])[phase]
    high = torch.tensor([12.0, 1.0, 0.5, 0.5, 3.0])[phase]
    distance = (low + (high - low) * uniform(0.0, 0.999)) * ~(still & (phase == 3))
    reached = distance < 0.5
    first_fence = (distance < 0.75) & ((phase == 1) | (phase == 2)) & (uniform(0.0, 1.0) < 0.5)
    closest = torch.where(ever_reached, uniform(0.0, 0.5), 0.5 + (distance - 0.5) * uniform(0.0, 1.0))
    min_distance = torch.where(first_reach | first_fence, distance, closest.minimum(distance))

    fallen = uniform(0.0, 1.0) < 0.15
    yaw = uniform(-pi, pi)
    roll, pitch = (normal(0.1) + fallen * uniform(-pi / 2, pi / 2) for _ in range(2))
    rotation, quat = _orientation(roll, pitch, yaw)

    lin_vel_w = normal(1.0, 3) * torch.tensor([1.0, 1.0, 0.2]) * pace
    direction = uniform(-pi, pi)
    to_target = torch.stack([direction.cos(), direction.sin()], 1)
    base_pos_w = torch.cat([uniform(-8.0, 8.0, 2), uniform(0.2, 0.35, 1)], 1)
    bearing_error = _wrap(direction - yaw)
    target_yaw = uniform(-pi, pi)
    target_vec_b = torch.stack([bearing_error.cos(), bearing_error.sin()], 1) * distance[:, None]
    target_speed = (lin_vel_w[:, :2] * to_target).sum(1)

    standing = torch.tensor([0.0, 0.9, -1.8]).repeat(4).expand(n, 12).clone()
    joint_vel, action = normal(5.0, 12) * pace, normal(0.5, 12) * moves
    contact = (uniform(0.0, 1.0, 4) < 0.6) | still[:, None]
    time_since_reach = torch.where(phase >= 3, uniform(step_s, 1.0), 0.0)
    stopped = reached & (phase >= 3) & (lin_vel_w[:, :2].norm(dim=1) < 0.15)
    return State(
        base_pos_w=base_pos_w,
        base_quat_w=quat,
        base_lin_vel_w=lin_vel_w,
        base_lin_vel_b=torch.einsum("nij,ni->nj", rotation, lin_vel_w),
        base_ang_vel_b=normal(1.0, 3) * pace,
        projected_gravity_b=-rotation[:, 2],
        joint_pos=standing + normal(0.3, 12) * moves,
        joint_vel=joint_vel,
        prev_joint_vel=joint_vel + normal(1.0, 12) * pace,
        joint_torque=normal(8.0, 12).clamp(-17.0, 17.0),
        default_joint_pos=standing,
        action=action,
        prev_action=action + normal(0.2, 12) * moves,
        target_pos_w=base_pos_w[:, :2] + distance[:, None] * to_target,
        target_yaw_w=target_yaw,
        target_vec_b=target_vec_b,
        distance=distance,
        prev_distance=(distance + step_s * target_speed).clamp(min=0.0),
        initial_distance=uniform(2.0, 12.0),
        min_distance=min_distance,
        bearing_error=bearing_error,
        heading_error=_wrap(target_yaw - yaw),
        foot_contact=contact,
        foot_force=uniform(10.0, 120.0, 4) * contact,
        foot_height=uniform(0.0, 0.15, 4) * ~contact,
        foot_vel_w=normal(1.0, 4, 3) * moves[:, None],
        foot_air_time=uniform(step_s, 0.4, 4) * ~contact,
        reached=reached,
        ever_reached=ever_reached,
        first_reach=first_reach,
        first_fence=first_fence,
        stopped_time=uniform(0.0, 1.0) * time_since_reach * stopped,
        time_since_reach=time_since_reach,
        fallen=fallen,
        time_s=uniform(step_s, 20.0) + time_since_reach,
        episode_limit_s=torch.full((n,), 40.0),
        radius=base_pos_w[:, :2].norm(dim=1),
        platform_radius=torch.full((n,), 11.0),
        step_s=step_s,
    )


def _wrap(angle: Tensor) -> Tensor:
    return torch.atan2(angle.sin(), angle.cos())


def _orientation(roll: Tensor, pitch: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation matrix (n, 3, 3) from base to world and its quaternion (n, 4) w x y z: yaw, then pitch, then roll."""
    quat = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(yaw), 4)
    for axis, angle in ((3, yaw), (2, pitch), (1, roll)):
        turn = torch.zeros_like(quat)
        turn[:, 0], turn[:, axis] = (angle / 2).cos(), (angle / 2).sin()
        quat = _product(quat, turn)
    w, x, y, z = quat.unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(r, 1) for r in rows], 1), quat


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Quaternion product, (n, 4) w x y z."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        1,
    )
