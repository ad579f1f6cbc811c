"""Behaviours written down: robots that move along paths we draw, behind the same interface as physics.

A script says where a robot is at every control step and when it falls. Its joints and feet follow the drawn gait of
``vbot.rewards.probes``. The tracker and the reward see it as they see a simulated robot.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vbot.courses import Task
from vbot.rewards.probes import Gait, draw_gait
from vbot.robot import Robot
from vbot.sim import Readings

WALKING_SPEEDS_MPS = (0.3, 0.6, 1.0, 1.5)
SPRINT_MPS = 3.0
_ACCELERATION = 3.0
"""m/s^2, of speeding up and of braking."""
_STOP_AT_M = 0.2


class Path:
    """A robot's way in polar coordinates around the target, drawn step by step.

    Args:
        distance: m from the target at the beginning.
        step_s: control period.
    """

    def __init__(self, distance: float, step_s: float, steps: int) -> None:
        self.radius, self.angle = [distance], [0.0]
        self.fall: int | None = None
        self._step_s, self._steps, self._speed = step_s, steps, 0.0

    @property
    def full(self) -> bool:
        return len(self.radius) > self._steps or self.fall is not None

    def go(self, radius: float, speed: float, *, stop: bool = True) -> "Path":
        """Straight in or out to ``radius`` m at up to ``speed`` m/s; ``stop`` brakes to stand there."""
        dt = self._step_s
        while not self.full:
            left = radius - self.radius[-1]
            top = min(speed, math.sqrt(2 * _ACCELERATION * abs(left))) if stop else speed
            self._speed = min(abs(self._speed) + _ACCELERATION * dt, top)
            if abs(left) <= self._speed * dt + 1e-9 or abs(left) < 1e-3:
                self._add(radius, self.angle[-1])
                if stop:
                    self._speed = 0.0
                return self
            self._add(self.radius[-1] + math.copysign(self._speed * dt, left), self.angle[-1])
        return self

    def circle(self, speed: float) -> "Path":
        """Around the target at this radius, to the end."""
        while not self.full:
            self._add(self.radius[-1], self.angle[-1] + speed * self._step_s / self.radius[-1])
        return self

    def stand(self) -> "Path":
        """Still, to the end."""
        while not self.full:
            self._add(self.radius[-1], self.angle[-1])
        return self

    def crash(self) -> "Path":
        """A fall in the next step."""
        if not self.full:
            self._add(self.radius[-1], self.angle[-1])
            self.fall = len(self.radius) - 1
        return self

    def _add(self, radius: float, angle: float) -> None:
        self.radius.append(radius)
        self.angle.append(angle)


@dataclass(frozen=True)
class Behaviour:
    """Something a robot may do; ``draw`` extends a path that begins at its spawn."""

    name: str
    draw: Callable[[Path, Task], Path]
    cheat: str | None = None
    """What it would be called if it were the best thing to do; None for what is wanted."""


def _hover(at: float) -> Callable[[Path, Task], Path]:
    return lambda p, task: p.go(at, 1.0).stand()


def _walk(speed: float) -> Callable[[Path, Task], Path]:
    return lambda p, task: p.go(_STOP_AT_M, speed).stand()


def _farm(p: Path, task: Task) -> Path:
    while not p.full:
        p.go(0.6 * task.reach_radius_m, 1.0).go(2 * task.reach_radius_m, 1.0)
    return p


def _through(p: Path, task: Task) -> Path:
    """In at speed, over the target, and on to 3 m beyond it."""
    p.go(0.0, 1.5, stop=False)
    p.angle[-1] = math.pi
    return p.go(3.0, 1.5).stand()


BEHAVIOURS: tuple[Behaviour, ...] = (
    *(Behaviour(f"walk at {speed:g} m/s and stop", _walk(speed)) for speed in WALKING_SPEEDS_MPS),
    Behaviour("stand still", lambda p, task: p.stand(), "standing dominance"),
    Behaviour("fall at once", lambda p, task: p.crash(), "die early"),
    Behaviour("sprint and crash", lambda p, task: p.go(1.0, SPRINT_MPS, stop=False).crash(), "sprint-crash"),
    Behaviour("hover at 0.55 m", _hover(0.55), "conservative hovering"),
    Behaviour("hover at 0.75 m", _hover(0.75), "conservative hovering"),
    Behaviour("hover at 1 m", _hover(1.0), "deceleration moat"),
    Behaviour("hover at 2 m", _hover(2.0), "deceleration moat"),
    Behaviour("touch and fall", lambda p, task: p.go(0.45, 1.5, stop=False).crash(), "touch-and-die"),
    Behaviour("fly through", _through, "fly-through"),
    Behaviour(
        "circle at the boundary",
        lambda p, task: p.go(task.course.platform_radius_m - 1.1, 1.0).circle(1.0),
        "hover near boundary",
    ),
    Behaviour("leave and re-enter", _farm, "reach-and-farm"),
)


class ScriptedSimulation:
    """N scripts played; follows ``vbot.sim.Simulation`` as far as an audit needs it. ``step`` takes no heed of targets.

    Args:
        behaviours, distances: one robot for each pair, in this order.
        steps: T, control steps that are drawn.
    """

    def __init__(
        self,
        robot: Robot,
        task: Task,
        behaviours: Sequence[Behaviour],
        distances: Sequence[float],
        *,
        steps: int,
        step_s: float,
        standing_height: float,
        action_scale: float,
    ) -> None:
        self.device = torch.device("cpu")
        self.standing_height = standing_height
        self.failures = 0
        self._step_s = step_s
        if len(behaviours) != len(distances):
            raise ValueError(f"every behaviour needs its distance; got {len(behaviours)} and {len(distances)}")
        paths = [b.draw(Path(d, step_s, steps), task) for b, d in zip(behaviours, distances, strict=True)]
        self.num_envs = n = len(paths)
        radius, angle = (_table([getattr(p, name) for p in paths], steps) for name in ("radius", "angle"))
        self._fall = torch.tensor([steps + 1 if p.fall is None else p.fall for p in paths])
        position = torch.stack((-radius * torch.cos(angle), -radius * torch.sin(angle)), 2)  # (T + 1, N, 2)
        velocity = torch.zeros_like(position)
        velocity[1:] = (position[1:] - position[:-1]) / step_s
        speed = velocity.norm(dim=2)
        yaw = torch.where(
            speed > 1e-6,
            torch.atan2(velocity[..., 1], velocity[..., 0]),
            torch.atan2(-position[..., 1], -position[..., 0]),
        )
        time_s = torch.arange(steps + 1)[:, None].expand(-1, n) * step_s
        pose = torch.tensor(robot.standing_pose)
        gait = draw_gait(
            speed.flatten(), time_s.flatten(), pose,
            feet=len(robot.feet), height_m=standing_height, action_scale=action_scale,
        )  # fmt: skip
        shape = (steps + 1, n)
        self.actions = gait.action.unflatten(0, shape)
        """(T + 1, N, J) what the scripts are seen to command."""
        self._frames = self._readings(gait, position, velocity, yaw, shape)
        self._now = 0
        self.readings = self._frame(0)

    def step(self, targets: Tensor, live: Tensor | None = None) -> None:
        self._now += 1
        self.readings = self._frame(self._now)

    def _frame(self, t: int) -> Readings:
        fields = {name: value[t] for name, value in self._frames.items()}
        return Readings(
            **fields,
            base_contact=self._fall == t,
            failed=torch.zeros(self.num_envs, dtype=torch.bool),
        )

    def _readings(
        self, gait: Gait, position: Tensor, velocity: Tensor, yaw: Tensor, shape: tuple[int, int]
    ) -> dict[str, Tensor]:
        def frames(value: Tensor) -> Tensor:
            return value.unflatten(0, shape)

        half_roll, half_yaw = frames(gait.roll_rad) / 2, yaw / 2
        rates = frames(gait.roll_rate)
        linear = torch.cat((velocity, frames(gait.rise_mps)[..., None]), 2)
        contact = frames(gait.foot_contact)
        turn = torch.zeros_like(yaw)
        turned = torch.remainder(yaw[1:] - yaw[:-1] + math.pi, 2 * math.pi) - math.pi
        # Turning on the spot has no time here: only what is slow enough to be walked shows as a rate.
        turn[1:] = torch.where(turned.abs() < 0.2, turned, 0.0) / self._step_s
        return {
            "base_pos_w": torch.cat((position, frames(gait.height_m)[..., None]), 2),
            # Yaw, then roll: the product of the two quaternions.
            "base_quat_w": torch.stack(
                (
                    half_yaw.cos() * half_roll.cos(),
                    half_yaw.cos() * half_roll.sin(),
                    half_yaw.sin() * half_roll.sin(),
                    half_yaw.sin() * half_roll.cos(),
                ),
                2,
            ),
            "base_lin_vel_w": linear,
            "base_ang_vel_b": torch.stack((rates, torch.zeros_like(rates), turn), 2),
            "joint_pos": frames(gait.joint_pos),
            "joint_vel": frames(gait.joint_vel),
            "joint_torque": frames(gait.joint_torque),
            "foot_height": frames(gait.foot_height),
            "foot_vel_w": linear[:, :, None, :] * (~contact)[..., None],
            "foot_force": frames(gait.foot_force),
            "foot_contact": contact,
        }


def _table(rows: Sequence[Sequence[float]], steps: int) -> Tensor:
    """(T + 1, N) of paths that may be shorter: their last place goes on."""
    return torch.tensor([[*row[: steps + 1], *[row[-1]] * (steps + 1 - len(row))] for row in rows]).T
