"""Batched physics behind one small interface. It knows robots and ground; it knows no rewards and no tasks."""

import ctypes
import math
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import mujoco.batch
import numpy as np
import torch
from torch import Tensor

from vbot.courses import GROUND, Course
from vbot.robot import Robot

# Nothing physical moves at this speed (m/s or rad/s): the simulation has diverged, though its numbers are finite.
DIVERGED_SPEED = 1e3


@dataclass(slots=True)
class Readings:
    """What physics tells after a step: N simulations, J joints, F feet. Allocated once and overwritten.

    Base and joints are those at the end of the step. Torques, contacts and feet belong to the start of its last
    physics step (10 ms before), as everything that MuJoCo derives does; recomputing them would cost a fifth more.
    """

    base_pos_w: Tensor  # (N, 3) m
    base_quat_w: Tensor  # (N, 4) w x y z
    base_lin_vel_w: Tensor  # (N, 3) m/s
    base_ang_vel_b: Tensor  # (N, 3) rad/s
    joint_pos: Tensor  # (N, J) rad
    joint_vel: Tensor  # (N, J) rad/s
    joint_torque: Tensor  # (N, J) N m
    foot_height: Tensor  # (N, F) m, lowest point over the ground
    foot_vel_w: Tensor  # (N, F, 3) m/s
    foot_force: Tensor  # (N, F) N
    foot_contact: Tensor  # (N, F) bool
    base_contact: Tensor  # (N,) bool
    failed: Tensor  # (N,) bool, the simulation broke in this step and was put back on its feet


class Simulation(Protocol):
    """What the environment needs of a physics engine; a GPU engine can implement it."""

    num_envs: int
    device: torch.device
    readings: Readings
    standing_height: float
    """m, of the base in the standing pose with the feet on the ground."""
    failures: int
    """Simulations that broke and were put back, so far."""

    def step(self, targets: Tensor, live: Tensor | None = None) -> None:
        """Advance by one control step under joint position targets (N, J) in rad; only ``live`` (n,) ids if given."""

    def reset(self, ids: Tensor, base_pos_w: Tensor, base_quat_w: Tensor, joint_pos: Tensor) -> None:
        """Put simulations ``ids`` (n,) at rest in these poses: (n, 3) m, (n, 4), (n, J) rad.

        Of their readings base and joints say so at once; torques, contacts and feet are 0 until a step makes them.
        """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def build_model(robot: Robot, course: Course, physics_step_s: float) -> mujoco.MjModel:
    """What is simulated: robot and ground, no visual shapes, and the solver that docs/environment.md chose."""
    spec = robot.spec()
    course.add_to(spec)
    return compile_model(spec, physics_step_s)


def compile_model(spec: mujoco.MjSpec, physics_step_s: float) -> mujoco.MjModel:
    """``spec`` of robot and ground as it is simulated."""
    spec.compiler.discardvisual = True
    spec.option.timestep = physics_step_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.impratio = 1
    spec.option.iterations = 4
    spec.option.ls_iterations = 8
    # One robot is one island of constraints, and a dozen shapes over one ground need no tree of boxes. To look for
    # either in every step costs a tenth of its time and changes nothing.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND | mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    # A simulation that breaks must be seen and counted, not silently put back at the origin by the engine.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    _list_contacts(spec)
    return spec.compile()


def _list_contacts(spec: mujoco.MjSpec) -> None:
    """Say which shapes may touch, each of the robot's and the ground, so that no step has to look for them.

    The same contacts, without the sorting of shapes by place that would find them.
    """
    ground = spec.geom(GROUND)
    for number, geom in enumerate(spec.geoms):
        if geom.conaffinity & ground.contype:
            geom.name = geom.name or f"shape {number}"
            if geom.priority == ground.priority:
                condim = max(geom.condim, ground.condim)
            else:
                condim = max(geom, ground, key=lambda g: g.priority).condim
            # What is NaN the engine combines from both shapes, as it does for contacts that it looks for itself.
            combined = {"friction": 5, "solref": 2, "solimp": 5}
            spec.add_pair(
                geomname1=GROUND,
                geomname2=geom.name,
                condim=condim,
                margin=math.nan,
                gap=math.nan,
                **{name: [math.nan] * size for name, size in combined.items()},
            )
            geom.conaffinity = 0
    ground.contype = 0


def engine_clock() -> ctypes.c_void_p:
    """MuJoCo's pointer to the function that tells it the time; None in it is no clock.

    It asks dozens of times a step, for timers (``MjData.timer``) that nothing here reads: a twentieth of a step.
    """
    if sys.platform == "win32":  # where a symbol is not found through a library that needs it
        return ctypes.c_void_p()
    return ctypes.c_void_p.in_dll(ctypes.CDLL(mujoco._functions.__file__), "mjcb_time")


class MujocoSimulation:
    """``mujoco.batch.Batch`` on native threads. Results do not depend on their number.

    Args:
        threads: native threads; 0 takes every core this process may use.
    """

    def __init__(
        self, robot: Robot, course: Course, num_envs: int, *, physics_step_s: float, decimation: int, threads: int = 0
    ) -> None:
        engine_clock().value = None  # of this whole process
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.model = build_model(robot, course, physics_step_s)
        self.standing_height = robot.standing_height(self.model)
        self.failures = 0
        self._decimation = decimation
        self._home_joint_pos = np.array(robot.standing_pose)
        self._batch = mujoco.batch.Batch(self.model, nsim=num_envs, nthread=threads or available_cores())
        self._fields = {name: self._batch.bind(name) for name in ("time", "qpos", "qvel", "ctrl", "qacc_warmstart")}
        qpos, qvel = self._fields["qpos"], self._fields["qvel"]
        free = self.model.joint(int(self.model.body(robot.base).jntadr[0]))
        joints = [self.model.joint(name) for name in robot.joints]
        self._base_q, self._base_v = int(free.qposadr[0]), int(free.dofadr[0])
        self._joint_q = _columns([int(j.qposadr[0]) for j in joints])
        self._joint_v = _columns([int(j.dofadr[0]) for j in joints])
        # Torch views of MuJoCo's live arrays. Reading is one copy of each, from its float64 to our float32.
        self._ctrl = torch.from_numpy(self._fields["ctrl"])
        self._physics = [_read_only_view(self._batch.bind(name)) for name in _READ]
        self._copies = [torch.zeros(array.shape) for array in self._physics]
        self._foot_radius = torch.tensor([self.model.geom(name).size[0] for name in robot.feet], dtype=torch.float32)
        qpos[:, self._base_q + 2] = self.standing_height
        qpos[:, self._joint_q] = self._home_joint_pos
        qvel[:] = 0
        self._foot_sensors, self._base_touches = self._sensors(robot)
        self.readings = self._lay_out(len(robot.feet))
        self._batch.forward()
        self._read()

    def step(self, targets: Tensor, live: Tensor | None = None) -> None:
        self._ctrl.copy_(targets)
        ids = None if live is None else live.numpy()
        stopped: list[int] = []
        try:
            self._batch.step(ids=ids, nstep=self._decimation)
        except mujoco.batch.SimulationError as error:
            stopped = list(error.ids)
        self._read()
        qpos, qvel = self._copies[:2]
        failed = self.readings.failed.zero_()
        # A comparison with NaN is false. One look at all of them, and a closer one if something is wrong.
        if stopped or not (float(qvel.abs().max()) < DIVERGED_SPEED and math.isfinite(float(qpos.sum()))):
            torch.logical_not((qvel.abs() < DIVERGED_SPEED).all(1) & qpos.isfinite().all(1), out=failed)
            failed[stopped] = True
            self._restore(failed.nonzero().squeeze(1).numpy())
            self._read()

    def reset(self, ids: Tensor, base_pos_w: Tensor, base_quat_w: Tensor, joint_pos: Tensor) -> None:
        rows, q = ids.numpy(), self._base_q
        # What a step starts from, and nothing else: the engine's own reset clears all of its memory and takes as long
        # as everything else here.
        for name in ("time", "qvel", "qacc_warmstart"):
            self._fields[name][rows] = 0
        qpos = self._fields["qpos"]
        qpos[rows] = self.model.qpos0  # a joint that no actuator moves begins anew too
        qpos[rows, q : q + 3] = base_pos_w.numpy()
        qpos[rows, q + 3 : q + 7] = base_quat_w.numpy()
        qpos[_block(rows, self._joint_q)] = joint_pos.numpy()
        self._fields["ctrl"][rows] = joint_pos.numpy()
        # No forward pass for what nobody looks at between two steps: with it a reset takes twice as long.
        r, (copy, *derived) = self.readings, self._copies
        copy.index_copy_(0, ids, self._physics[0].index_select(0, ids).to(copy.dtype))
        for memory in (*derived, r.foot_contact, r.foot_force, r.foot_height, r.base_contact):
            memory.index_fill_(0, ids, 0)
        self._gather_joints()

    def _restore(self, rows: np.ndarray) -> None:
        """Stand broken simulations up at the origin; the environment ends their episode."""
        self.failures += len(rows)
        self._batch.reset(ids=rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._fields["qpos"][rows, self._base_q + 2] = self.standing_height
        self._fields["qpos"][_block(rows, self._joint_q)] = self._home_joint_pos
        self._batch.forward(ids=rows)

    def _read(self) -> None:
        """Copy what physics says, and let the readings follow from it."""
        for copy, physics in zip(self._copies, self._physics, strict=True):
            copy.copy_(physics)
        self._gather_joints()
        r, feet = self.readings, self._foot_sensors
        x, y, z = feet[:, :, 1:4].unbind(2)
        r.foot_contact.copy_(feet[:, :, 0])  # how many contacts were found
        torch.sqrt(x * x + y * y + z * z, out=r.foot_force)  # by hand: a norm over so few columns is slow
        torch.sub(feet[:, :, 9], self._foot_radius, out=r.foot_height)
        r.base_contact.copy_(self._base_touches)

    def _gather_joints(self) -> None:
        """Where joints are not consecutive in the engine, and their readings thus no views."""
        qpos, qvel = self._copies[:2]
        if not isinstance(self._joint_q, slice):
            self.readings.joint_pos.copy_(qpos[:, self._joint_q])
        if not isinstance(self._joint_v, slice):
            self.readings.joint_vel.copy_(qvel[:, self._joint_v])

    def _lay_out(self, feet: int) -> Readings:
        """Readings that are views of the copies wherever a slice of them says it."""
        n, q, v = self.num_envs, self._base_q, self._base_v
        qpos, qvel, torque, _ = self._copies
        return Readings(
            base_pos_w=qpos[:, q : q + 3],
            base_quat_w=qpos[:, q + 3 : q + 7],
            base_lin_vel_w=qvel[:, v : v + 3],
            base_ang_vel_b=qvel[:, v + 3 : v + 6],
            joint_pos=qpos[:, self._joint_q],
            joint_vel=qvel[:, self._joint_v],
            joint_torque=torque,
            foot_height=torch.zeros(n, feet),
            foot_vel_w=self._foot_sensors[:, :, 4:7],
            foot_force=torch.zeros(n, feet),
            foot_contact=torch.zeros(n, feet, dtype=torch.bool),
            base_contact=torch.zeros(n, dtype=torch.bool),
            failed=torch.zeros(n, dtype=torch.bool),
        )

    def _sensors(self, robot: Robot) -> tuple[Tensor, Tensor]:
        """Views of the copied sensors: those of the feet (N, F, _FOOT_COLUMNS), one foot after another as
        ``Robot.spec`` adds them, and the base's contact (N,)."""
        first = int(self.model.sensor(f"{robot.feet[0]}_contact").adr[0])
        for number, foot in enumerate(robot.feet):
            at = first + number * _FOOT_COLUMNS
            found = [int(self.model.sensor(f"{foot}_{what}").adr[0]) for what in ("contact", "velocity", "position")]
            if found != [at, at + 4, at + 7]:
                raise RuntimeError("Robot.spec must add each foot's sensors one after another")
        sensors = self._copies[_READ.index("sensordata")]
        of_feet = sensors[:, first : first + len(robot.feet) * _FOOT_COLUMNS]
        return of_feet.unflatten(1, (-1, _FOOT_COLUMNS)), sensors[:, int(self.model.sensor("base_contact").adr[0])]

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as copies."""
        return {
            "failures": self.failures,
            "fields": {name: torch.tensor(array) for name, array in self._fields.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.failures = state["failures"]
        for name, array in self._fields.items():
            array[:] = state["fields"][name].numpy()


def available_cores() -> int:
    """Cores that this process may use, which is what a container grants rather than what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


_READ = ("qpos", "qvel", "actuator_force", "sensordata")
"""What is copied after a step."""
_FOOT_COLUMNS = 10
"""Of a foot's sensors: contacts found, their force (3), velocity (3), position (3)."""


def _read_only_view(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # MuJoCo hands out what it computes as read-only arrays, and torch has no read-only tensors. We only read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _columns(indices: list[int]) -> slice | Tensor:
    """A slice where the indices are consecutive, so that reading needs no gather; else the indices."""
    if indices == list(range(indices[0], indices[0] + len(indices))):
        return slice(indices[0], indices[0] + len(indices))
    return torch.tensor(indices)


def _block(rows: np.ndarray, columns: slice | Tensor) -> tuple[np.ndarray, slice | np.ndarray]:
    """What indexes these columns of these rows; a slice is ten times faster than two arrays of indices."""
    return (rows, columns) if isinstance(columns, slice) else (rows[:, None], columns.numpy())
