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
        self._fall_gravity_z = -math.cos(math.radians(task.tilt_limit_deg))
        self._stop_steps = round(task.stop_duration_s / step_s)
        self._limit_steps = round(task.episode_limit_s / step_s)
        n, j, f = num_envs, len(robot.joints), len(robot.feet)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, device=device)

        def flags(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, dtype=torch.bool, device=device)

        self._age = torch.zeros(n, dtype=torch.long, device=device)  # control steps since the episode began
        self._stopped = torch.zeros(n, dtype=torch.long, device=device)  # control steps in a row
        self._since_reach = torch.zeros(n, dtype=torch.long, device=device)  # control steps
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
        self._fenced.index_copy_(0, ids, distance < self.task.fence_radius_m)
        s.ever_reached.index_copy_(0, ids, derived["reached"])
        self._set_times()

    def advance(self, action: Tensor, r: Readings) -> None:
        """Bring the State to the end of a control step.

        Args:
            action: (N, J) as applied.
        """
        s, task = self.state, self.task
        s.prev_action, s.action = s.action, action
        s.prev_joint_vel.copy_(s.joint_vel)
        s.prev_distance = s.distance
        self._age += 1
        self._look(r)
        s.joint_vel.copy_(r.joint_vel)  # a copy: the next step overwrites the readings, and still needs these
        for name, values in self._derive().items():
            setattr(s, name, values)
        torch.minimum(s.min_distance, s.distance, out=s.min_distance)
        s.foot_air_time = (s.foot_air_time + self.step_s).masked_fill_(s.foot_contact, 0.0)
        fenced = s.distance < task.fence_radius_m
        s.first_fence = fenced & ~self._fenced
        self._fenced |= fenced
        self._since_reach += s.ever_reached
        s.first_reach = s.reached & ~s.ever_reached
        s.ever_reached = s.ever_reached | s.reached
        stopped = s.reached & (s.planar_speed < task.stop_speed_mps)
        self._stopped = (self._stopped + 1) * stopped
        s.fallen = (
            r.base_contact
            | r.failed
            | (s.projected_gravity_b[:, 2] > self._fall_gravity_z)
            | (s.joint_vel.abs() > task.joint_speed_limit).any(1)
            | (s.radius > task.course.disc_radius_m)
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
        self.state.time_s = self._age * self.step_s
        self.state.stopped_time = self._stopped * self.step_s
        self.state.time_since_reach = self._since_reach * self.step_s

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
        w, x, y, z = quat.T.contiguous()  # columns side by side would make every product of them stride
        # Rows of the rotation body -> world (unit quaternion), of which the yaw needs the first column.
        up_b = torch.stack((2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)), dim=1)
        yaw = torch.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
        offset = target - position[:, :2]
        distance = torch.hypot(offset[:, 0], offset[:, 1])
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        ahead, left = cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]
        return {
            "projected_gravity_b": -up_b,
            "base_lin_vel_b": rotate_inverse(quat, velocity),
            "distance": distance,
            "radius": torch.hypot(position[:, 0], position[:, 1]),
            "target_vec_b": torch.stack((ahead, left), dim=1),
            "bearing_error": torch.atan2(left, ahead),
            "heading_error": torch.remainder(target_yaw - yaw + math.pi, 2 * math.pi) - math.pi,
            "reached": distance < self.task.reach_radius_m,
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
        self._age, self._stopped, self._since_reach, self._fenced = (
            saved[key].clone() for key in ("age", "stopped", "since_reach", "fenced")
        )


def rotate_inverse(quat: Tensor, vector: Tensor) -> Tensor:
    """World vectors (N, 3) in the frame of unit quaternions (N, 4) w x y z: v - 2w(q x v) + 2 q x (q x v)."""
    q = quat[:, 1:]
    t = 2 * torch.linalg.cross(q, vector)
    return vector - quat[:, :1] * t + torch.linalg.cross(q, t)
