"""Keeps the State up to date: geometry from the readings of physics, and the memory of each episode.

Memory is cleared with the episode (``begin``), every field of it: leftovers of the episode before were one of the
silent faults of the published environment.
"""

import math
from typing import Any

import torch
from torch import Tensor

from vbot.courses import Task
from vbot.robot import Robot
from vbot.sim import Readings
from vbot.state import State


class StateTracker:
    """Owns the ``State`` of N environments on one task.

    Args:
        step_s: control period in s.
    """

    def __init__(self, task: Task, robot: Robot, num_envs: int, step_s: float, device: torch.device) -> None:
        self.task = task
        self.step_s = step_s
        self._stop_steps = round(task.stop_duration_s / step_s)
        self._limit_steps = round(task.episode_limit_s / step_s)
        self._rotation = rotation_of_products().to(device)

        # Constants of the hot path are tensors: converting a Python number costs an operation more than the operation.
        def constant(value: float) -> Tensor:
            return torch.tensor(value, device=device)

        self._step = constant(step_s)
        self._reach_radius = constant(task.reach_radius_m)
        self._fence_radius = constant(task.fence_radius_m)
        self._disc_radius = constant(task.course.disc_radius_m)
        self._stop_speed = constant(task.stop_speed_mps)
        self._joint_speed_limit = constant(task.joint_speed_limit)
        self._fall_gravity_z = constant(-math.cos(math.radians(task.tilt_limit_deg)))
        n, j, f = num_envs, len(robot.joints), len(robot.feet)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, device=device)

        def flags(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, dtype=torch.bool, device=device)

        # In control steps: since the episode began, that the robot has stood in a row, since the first reach.
        self._counts = torch.zeros(3, n, dtype=torch.long, device=device)
        self._age, self._stopped, self._since_reach = self._counts
        self._fenced = flags()
        self.state = State(
            base_pos_w=zeros(3),
            base_quat_w=zeros(4),
            base_lin_vel_w=zeros(3),
            base_lin_vel_b=zeros(3),
            base_ang_vel_b=zeros(3),
            projected_gravity_b=zeros(3),
            joint_pos=zeros(j),
            joint_vel=zeros(j),
            prev_joint_vel=zeros(j),
            joint_torque=zeros(j),
            default_joint_pos=torch.tensor(robot.standing_pose, device=device).expand(n, j),
            action=zeros(j),
            prev_action=zeros(j),
            target_pos_w=zeros(2),
            target_yaw_w=zeros(),
            target_vec_b=zeros(2),
            distance=zeros(),
            prev_distance=zeros(),
            initial_distance=zeros(),
            min_distance=zeros(),
            bearing_error=zeros(),
            heading_error=zeros(),
            foot_contact=flags(f),
            foot_force=zeros(f),
            foot_height=zeros(f),
            foot_vel_w=zeros(f, 3),
            foot_air_time=zeros(f),
            reached=flags(),
            ever_reached=flags(),
            first_reach=flags(),
            first_fence=flags(),
            stopped_time=zeros(),
            time_since_reach=zeros(),
            fallen=flags(),
            time_s=zeros(),
            episode_limit_s=torch.full((n,), task.episode_limit_s, device=device),
            radius=zeros(),
            platform_radius=torch.full((n,), task.course.platform_radius_m, device=device),
            step_s=step_s,
        )

    def begin(self, ids: Tensor, target_pos_w: Tensor, target_yaw_w: Tensor, age_steps: Tensor, r: Readings) -> None:
        """Start episodes in environments ``ids`` (n,), from the readings after their reset.

        Args:
            target_pos_w: (n, 2) m. target_yaw_w: (n,) rad.
            age_steps: (n,) control steps that count as already past, 0 for an episode from its start.
        """
        s = self.state
        # Not field[ids] = value: with it all of this takes a quarter longer, and some robot falls in most steps.
        s.target_pos_w.index_copy_(0, ids, target_pos_w)
        s.target_yaw_w.index_copy_(0, ids, target_yaw_w)
        self._age.index_copy_(0, ids, age_steps)
        events = (s.first_reach, s.first_fence, s.fallen)
        for memory in (self._stopped, self._since_reach, s.action, s.prev_action, s.foot_air_time, *events):
            memory.index_fill_(0, ids, 0)
        self._look(r)
        derived = self._derive(ids)
        for name, values in derived.items():
            getattr(s, name).index_copy_(0, ids, values)
        joint_vel, distance = r.joint_vel.index_select(0, ids), derived["distance"]
        for memory in (s.joint_vel, s.prev_joint_vel):
            memory.index_copy_(0, ids, joint_vel)
        for memory in (s.prev_distance, s.initial_distance, s.min_distance):
            memory.index_copy_(0, ids, distance)
        # A robot that spawns inside a radius has not earned its bonus: entering is what is paid.
        self._fenced.index_copy_(0, ids, distance < self._fence_radius)
        s.ever_reached.index_copy_(0, ids, derived["reached"])
        self._set_times()

    def advance(self, action: Tensor, r: Readings) -> None:
        """Bring the State to the end of a control step.

        Args:
            action: (N, J) as applied.
        """
        s = self.state
        s.prev_action, s.action = s.action, action
        s.prev_joint_vel, s.prev_distance = s.joint_vel, s.distance
        self._age += 1
        self._look(r)
        s.joint_vel = r.joint_vel.clone()  # the next step overwrites the readings, and still needs these
        for name, values in self._derive().items():
            setattr(s, name, values)
        torch.minimum(s.min_distance, s.distance, out=s.min_distance)
        s.foot_air_time = (s.foot_air_time + self._step).masked_fill_(s.foot_contact, 0.0)
        fenced = s.distance < self._fence_radius
        s.first_fence = fenced & ~self._fenced
        self._fenced |= fenced
        self._since_reach += s.ever_reached
        s.first_reach = s.reached & ~s.ever_reached
        s.ever_reached = s.ever_reached | s.reached
        stopped = s.reached & (s.planar_speed < self._stop_speed)
        self._stopped.add_(1).mul_(stopped)
        s.fallen = (
            r.base_contact
            | r.failed
            | (s.projected_gravity_b[:, 2] > self._fall_gravity_z)
            | (s.joint_vel.abs() > self._joint_speed_limit).any(1)
            | (s.radius > self._disc_radius)
        )
        self._set_times()

    @property
    def succeeded(self) -> Tensor:
        """(N,) bool: reached and stopped for long enough, and not fallen."""
        return (self._stopped >= self._stop_steps) & ~self.state.fallen

    @property
    def timed_out(self) -> Tensor:
        """(N,) bool: the episode's time is over."""
        return self._age >= self._limit_steps

    @property
    def limit_steps(self) -> int:
        """Control steps of the longest episode."""
        return self._limit_steps

    def _set_times(self) -> None:
        # From step counts: a sum of 1,000 rounded control periods would end an episode a step early or late.
        s = self.state
        s.time_s, s.stopped_time, s.time_since_reach = self._counts * self._step

    def _look(self, r: Readings) -> None:
        """Let the State see the readings, which physics overwrites in place."""
        s = self.state
        s.base_pos_w, s.base_quat_w = r.base_pos_w, r.base_quat_w
        s.base_lin_vel_w, s.base_ang_vel_b = r.base_lin_vel_w, r.base_ang_vel_b
        s.joint_pos, s.joint_torque = r.joint_pos, r.joint_torque
        s.foot_contact, s.foot_force = r.foot_contact, r.foot_force
        s.foot_height, s.foot_vel_w = r.foot_height, r.foot_vel_w

    def _derive(self, ids: Tensor | None = None) -> dict[str, Tensor]:
        """Fields of the State that follow from the poses and velocities of this moment, of ``ids`` (n,) or of all."""
        s = self.state
        inputs = [s.base_pos_w, s.base_quat_w, s.base_lin_vel_w, s.target_pos_w, s.target_yaw_w]
        if ids is not None:
            inputs = [field.index_select(0, ids) for field in inputs]
        position, quat, velocity, target, target_yaw = inputs
        # Columns side by side would make every operation on one of them stride: here they lie one after another.
        q = quat.T.contiguous()
        rotation = self._rotation @ (q.unsqueeze(1) * q).flatten(0, 1)  # (9, n) row by row, body -> world
        yaw = torch.atan2(rotation[3], rotation[0])
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        x, y = (target - position[:, :2]).T.contiguous()
        distance = torch.hypot(x, y)
        ahead, left = torch.addcmul(cos * x, sin, y), torch.addcmul(cos * y, sin, x, value=-1)
        turn = target_yaw - yaw
        return {
            "projected_gravity_b": -rotation[6:].T,
            "base_lin_vel_b": (rotation.view(3, 3, -1) * velocity.T.unsqueeze(1)).sum(0).T,
            "distance": distance,
            "radius": torch.hypot(position[:, 0], position[:, 1]),
            "target_vec_b": torch.stack((ahead, left)).T,
            "bearing_error": torch.atan2(left, ahead),
            "heading_error": torch.atan2(torch.sin(turn), torch.cos(turn)),
            "reached": distance < self._reach_radius,
        }

    def state_dict(self) -> dict[str, Any]:
        """State and memory, as copies."""
        fields = {name: getattr(self.state, name) for name in self.state.__slots__}
        return {
            "state": {name: value.clone() for name, value in fields.items() if isinstance(value, Tensor)},
            "age": self._age.clone(),
            "stopped": self._stopped.clone(),
            "since_reach": self._since_reach.clone(),
            "fenced": self._fenced.clone(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for name, value in saved["state"].items():
            setattr(self.state, name, value.clone())
        self._counts.copy_(torch.stack([saved[name] for name in ("age", "stopped", "since_reach")]))
        self._fenced = saved["fenced"].clone()


def rotation_of_products() -> Tensor:
    """(9, 16): times the products q_i q_j of a unit quaternion w x y z it is the rotation matrix from body to world;
    both are read row by row."""

    def rotation(q: Tensor) -> Tensor:
        w, x, y, z = q.tolist()
        return torch.tensor(
            [
                *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
                *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
                *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
            ]
        )

    # Of a quadratic form f the part that is bilinear in a and b is (f(a + b) - f(a - b)) / 4.
    units = torch.eye(4)
    return torch.stack([(rotation(a + b) - rotation(a - b)) / 4 for a in units for b in units], dim=1)
