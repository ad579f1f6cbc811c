"""One robot in a plain MuJoCo simulation: vbot's task as a careful user of a library for single environments writes it.

The same model, control, observation, reward and ends as ``vbot.env.Env`` with one environment (a test compares them
step by step), but light: plain floats and small numpy arrays, for one robot is far too little work for torch.
"""

import functools
import math

import mujoco
import numpy as np
from single_reward import SingleReward

from vbot.config import EnvConfig
from vbot.courses import load_task
from vbot.env import ACTION_LIMIT
from vbot.observation import AFTER_REACH_S, FAR_M, NEAR_M, TIME_S
from vbot.rewards.sets import RewardSet
from vbot.robot import Robot, load_robot
from vbot.sim import DIVERGED_SPEED, build_model
from vbot.state import CLOCK_PERIOD_S


@functools.lru_cache
def _model(robot: str, task: str, physics_step_s: float) -> tuple[Robot, mujoco.MjModel, float]:
    """Compiled once per process: a model is read-only, so environments share it."""
    loaded = load_robot(robot)
    model = build_model(loaded, load_task(task).course, physics_step_s)
    return loaded, model, loaded.standing_height(model)


class SingleRobot:
    """Its public attributes are what reward terms read: ``vbot.state.State`` of one robot, as far as they need it.

    Args:
        reward_set: what is paid.
        seed: of the spawns.
    """

    def __init__(self, config: EnvConfig, reward_set: RewardSet, seed: int) -> None:
        self.task = load_task(config.task)
        robot, self._model, self._standing_height = _model(config.robot, config.task, config.physics_step_s)
        self._data = mujoco.MjData(self._model)
        self._config = config
        self._random = np.random.default_rng(seed)
        self._limit_steps = round(self.task.episode_limit_s / config.step_s)
        self._stop_steps = round(self.task.stop_duration_s / config.step_s)
        self._fall_gravity_z = -math.cos(math.radians(self.task.tilt_limit_deg))
        self._standing = np.array(robot.standing_pose)
        self._standing_float32 = self._standing.astype(np.float32)
        self._action_scale = np.float32(config.action_scale)
        base = self._model.joint(int(self._model.body(robot.base).jntadr[0]))
        first = self._model.joint(robot.joints[0])
        q, v, jq, jv = (int(a[0]) for a in (base.qposadr, base.dofadr, first.qposadr, first.dofadr))
        if [int(self._model.joint(j).qposadr[0]) for j in robot.joints] != list(range(jq, jq + len(robot.joints))):
            raise ValueError(
                "SingleRobot reads joints as slices: they must lie in the model in the order of the robot's"
            )
        # Views of MuJoCo's own memory, made once.
        data = self._data
        self._qpos, self._qvel, self._ctrl = data.qpos, data.qvel, data.ctrl
        self._base_pose, self._base_vel = data.qpos[q : q + 7], data.qvel[v : v + 6]
        self._joint_pos, self._joint_vel = (
            data.qpos[jq : jq + len(robot.joints)],
            data.qvel[jv : jv + len(robot.joints)],
        )
        self._base_touches = data.sensordata[int(self._model.sensor("base_contact").adr[0]) :][:1]
        self._feet_found = [int(self._model.sensor(f"{foot}_contact").adr[0]) for foot in robot.feet]
        self.num_actions = len(robot.joints)
        self.step_s = config.step_s
        self._reward = SingleReward(reward_set, config.step_s)
        self.num_obs = len(self.reset())

    def reset(self, *, age_steps: int = 0) -> np.ndarray:
        """Start an episode at a random place; the observation (num_obs,) float32.

        Args:
            age_steps: control steps that count as already past.
        """
        task = self.task
        u = self._random.random(4)
        low, high = task.spawn_min_m**2, task.spawn_max_m**2
        radius = math.sqrt(u[0] * (high - low) + low)
        around, yaw = 2 * math.pi * u[1], 2 * math.pi * u[2]
        pose = np.empty(7 + self.num_actions)
        pose[:3] = radius * math.cos(around), radius * math.sin(around), self._standing_height
        pose[3:7] = math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)
        pose[7:] = self._standing
        return self.place(pose, age_steps=age_steps)

    def place(self, pose: np.ndarray, *, age_steps: int = 0) -> np.ndarray:
        """Start an episode in a ``pose``: base position (3) in m and quaternion (4), joint angles (J) in rad."""
        self._put(pose)
        self._age, self._stopped, self._since_reach = age_steps, 0, 0
        self.action = self.prev_action = np.zeros(self.num_actions, np.float32)
        self._observe()
        self.prev_distance = self.distance
        self.ever_reached = self.reached
        self.first_reach = self.fallen = False
        return self._observation()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """One control step under ``action`` (J,) float32: observation, reward, terminated, truncated."""
        smoothing = self._config.action_smoothing
        applied = np.minimum(np.maximum(action, -ACTION_LIMIT), ACTION_LIMIT)
        if smoothing:
            applied = (1 - smoothing) * applied + smoothing * self.action
        self.prev_action, self.action = self.action, applied
        self._ctrl[:] = self._standing_float32 + self._action_scale * applied
        mujoco.mj_step(self._model, self._data, self._config.decimation)
        # One product finds what is too fast, infinite or NaN (a comparison with NaN is false); then look closer.
        failed = too_fast = False
        if not self._qvel.dot(self._qvel) < self.task.joint_speed_limit**2:
            failed = not (np.abs(self._qvel) < DIVERGED_SPEED).all() or not np.isfinite(self._qpos).all()
            if failed:
                self._put(np.concatenate(([0, 0, self._standing_height, 1, 0, 0, 0], self._standing)))
            too_fast = bool((np.abs(self._joint_vel) > self.task.joint_speed_limit).any())
        return self._advance(failed, too_fast)

    def _put(self, pose: np.ndarray) -> None:
        mujoco.mj_resetData(self._model, self._data)
        self._base_pose[:], self._joint_pos[:], self._ctrl[:] = pose[:7], pose[7:], pose[7:]
        mujoco.mj_forward(self._model, self._data)

    def _advance(self, failed: bool, too_fast: bool) -> tuple[np.ndarray, float, bool, bool]:
        task = self.task
        self.prev_distance = self.distance
        self._age += 1
        self._observe()
        self._since_reach += self.ever_reached
        self.first_reach = self.reached and not self.ever_reached
        self.ever_reached = self.ever_reached or self.reached
        self._stopped = self._stopped + 1 if self.reached and self.planar_speed < task.stop_speed_mps else 0
        self.fallen = (
            failed
            or too_fast
            or self._base_touches[0] > 0
            or self.gravity_b[2] > self._fall_gravity_z
            or self.radius > task.course.disc_radius_m
        )
        observation = self._observation()
        ends = self._stopped >= self._stop_steps or self._age >= self._limit_steps
        return observation, self._reward(self), self.fallen, ends and not self.fallen

    def _observe(self) -> None:
        """Everything that follows from the simulation of this moment."""
        self.joint_vel = self._joint_vel.copy()
        px, py, _, w, x, y, z = self._base_pose.tolist()
        vx, vy, vz, *self.ang_vel_b = self._base_vel.tolist()
        # Rows of the rotation body -> world; a vector in the base frame is its columns' products.
        xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
        r00, r01, r02 = 1 - 2 * (yy + zz), 2 * (xy - wz), 2 * (xz + wy)
        r10, r11, r12 = 2 * (xy + wz), 1 - 2 * (xx + zz), 2 * (yz - wx)
        r20, r21, r22 = 2 * (xz - wy), 2 * (yz + wx), 1 - 2 * (xx + yy)
        self.gravity_b = (-r20, -r21, -r22)
        self.lin_vel_b = (
            r00 * vx + r10 * vy + r20 * vz,
            r01 * vx + r11 * vy + r21 * vz,
            r02 * vx + r12 * vy + r22 * vz,
        )
        self.planar_speed = math.hypot(vx, vy)
        # The target is at the origin.
        self.radius = self.distance = math.hypot(px, py)
        heading = math.hypot(r00, r10)
        cos, sin = r00 / heading, r10 / heading
        ahead, left = -(cos * px + sin * py), sin * px - cos * py
        self.target_direction_b = (ahead / max(self.distance, 1e-3), left / max(self.distance, 1e-3))
        self.reached = self.distance < self.task.reach_radius_m

    @property
    def time_s(self) -> float:
        return self._age * self.step_s

    @property
    def time_since_reach(self) -> float:
        return self._since_reach * self.step_s

    @property
    def clock_phase(self) -> float:
        # In float32 as vbot's, which decides on which side of a whole period its rounding falls.
        return float(np.float32(self._age) * np.float32(self.step_s) * np.float32(2 * math.pi / CLOCK_PERIOD_S))

    @property
    def foot_contact(self) -> list[bool]:
        return [found > 0 for found in self._data.sensordata[self._feet_found].tolist()]

    def _observation(self) -> np.ndarray:
        """As vbot.observation lays it out. A new array: whoever gets it may keep it over the next reset."""
        j = self.num_actions
        obs = np.empty(9 + 3 * j + 10, np.float32)
        obs[:9] = (*self.lin_vel_b, *self.ang_vel_b, *self.gravity_b)
        np.subtract(self._joint_pos, self._standing, out=obs[9 : 9 + j], casting="same_kind")
        obs[9 + j : 9 + 2 * j] = self.joint_vel
        obs[9 + 2 * j : 9 + 3 * j] = self.action
        phase = self.clock_phase
        obs[9 + 3 * j :] = (
            *self.target_direction_b,
            min(self.distance, FAR_M) / FAR_M,
            min(self.distance, NEAR_M) / NEAR_M,
            self.reached,
            self.ever_reached,
            min(self.time_since_reach, AFTER_REACH_S) / AFTER_REACH_S,
            1 - self.time_s / TIME_S,
            0 if self.reached else math.sin(phase),
            0 if self.reached else math.cos(phase),
        )
        return obs
