"""Courses (ground and bounds) and the tasks set on them (spawn, target, limits), by name.

The one place of the numbers that define reaching, stopping and succeeding.
"""

from dataclasses import dataclass

import mujoco

from vbot.errors import UserError, nearest

GROUND = "ground"
"""Name of the shape that robots stand on."""


@dataclass(frozen=True)
class Course:
    """A flat disc around the origin; lengths in m."""

    name: str
    disc_radius_m: float
    """Where the ground ends: a robot whose base is beyond it has fallen."""
    platform_radius_m: float
    """The platform that rewards speak of (State.platform_radius)."""

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Add the ground to a robot's spec.

        The ground is a plane: contacts with a cylinder of the disc's size are slower to find and the same inside
        it, and outside it the episode is over.
        """
        spec.worldbody.add_geom(
            name=GROUND,
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[0, 0, 1],
            contype=1,
            conaffinity=0,
            friction=[1.0, 0.005, 0.0001],
        )


@dataclass(frozen=True)
class Task:
    """Walk to the target at the origin and stop there. Lengths in m, times in s, speeds in m/s."""

    name: str
    course: Course
    spawn_min_m: float
    spawn_max_m: float
    """Robots spawn area-uniformly in the annulus around the target, with uniform yaw."""
    episode_limit_s: float
    reach_radius_m: float = 0.5
    fence_radius_m: float = 0.75
    stop_speed_mps: float = 0.15
    stop_duration_s: float = 0.5
    """Success: reached and slower than stop_speed for stop_duration in a row."""
    tilt_limit_deg: float = 75.0
    joint_speed_limit: float = 100.0
    """rad/s; beyond it, or beyond the tilt limit, the robot has fallen."""


SECTION001 = Course("section001", disc_radius_m=12.5, platform_radius_m=11.0)

TASKS = {
    task.name: task
    for task in (
        Task("section001", SECTION001, 2.0, 12.0, 20.0),
        Task("section001-near", SECTION001, 2.0, 5.0, 20.0),
        Task("section001-mid", SECTION001, 5.0, 8.0, 20.0),
        Task("section001-far", SECTION001, 8.0, 11.0, 20.0),
        Task("section001-contest", SECTION001, 10.0, 12.0, 10.0),
    )
}


def load_task(name: str) -> Task:
    """The task of this name; UserError with the nearest name if there is none."""
    if name not in TASKS:
        raise UserError(f"no task is named {name!r}{nearest(name, TASKS)}")
    return TASKS[name]
