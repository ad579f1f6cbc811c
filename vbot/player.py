"""Showing a policy: episode after episode, in MuJoCo's viewer or into a video."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from vbot.env import Env
from vbot.errors import UserError
from vbot.evaluation import BATCH, VALIDATION, LoadedPolicy, random_stream
from vbot.scene import Trail, build_scene

WIDTH, HEIGHT, FRAMES_PER_S = 640, 400, 25
HOLD_S = 0.8
"""The last picture of an episode stays this long."""


class Show:
    """Episodes one after another, each control step shown on a model with the robot's looks.

    Args:
        held_out: show this one of the held-out episodes of the policy's training instead, exactly as it was judged.

    Raises:
        UserError: there is no such held-out episode.
    """

    def __init__(self, policy: LoadedPolicy, episodes: int, seed: int, *, held_out: int | None = None) -> None:
        self._policy, self._episodes, self._row = policy, episodes, 0
        num_envs, generator, skip = 1, random_stream("play", seed), 0
        if held_out is not None:
            if policy.validation is None:
                raise UserError(
                    f"{policy.file} does not say which episodes it was judged on; it is of an older version"
                )
            known = policy.validation["episodes"]
            if not 0 <= held_out < known:
                raise UserError(f"--episode-seed must be one of the {known} held-out episodes, 0..{known - 1}")
            # All of its batch, so that spawns and networks are to the bit what they were; only this one is simulated.
            num_envs, generator = min(known, BATCH), random_stream(VALIDATION, policy.validation["seed"])
            skip, self._row = divmod(held_out, num_envs)
            self._episodes = 1
        config = dataclasses.replace(policy.env, num_envs=num_envs)
        self._env = Env(config, None, generator=generator, threads=1, auto_reset=False)
        for _ in range(skip):
            self._env.reset()
        self.model = build_scene(self._env.robot, self._env.task, config.physics_step_s)
        self.data = mujoco.MjData(self.model)
        self.trail = Trail()
        self.step_s = config.step_s
        self._addresses = [int(self.model.joint(name).qposadr[0]) for name in self._env.robot.joints]
        self._root = int(self.model.jnt_qposadr[self.model.body(self._env.robot.base).jntadr[0]])

    def __iter__(self) -> Iterator[bool]:
        """Advance by one control step at a time; True on the last step of an episode."""
        for number in range(1, self._episodes + 1):
            obs = self._env.reset()
            self._env.live[:] = False
            self._env.live[self._row] = True
            self.trail.clear()
            while bool(self._env.live.any()):
                self._place()
                obs = self._env.step(self._policy(obs)).obs
                yield not bool(self._env.live.any())
            ended = self._env.take_episodes()
            if ended is not None:
                outcome = "stopped at the target" if ended.success else "fell" if ended.fell else "ran out of time"
                duration, distance = float(ended.duration_s), float(ended.initial_distance_m)
                print(f"episode {number}: {outcome} after {duration:.1f} s, from {distance:.1f} m")

    def _place(self) -> None:
        s = self._env.state
        pose = torch.cat((s.base_pos_w[self._row], s.base_quat_w[self._row])).double().numpy()
        self.data.qpos[self._root : self._root + 7] = pose
        self.data.qpos[self._addresses] = s.joint_pos[self._row].double().numpy()
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.trail.add(pose[:3])


def _camera(show: Show, camera: Any, *, smooth: float) -> None:
    """Follow the robot from behind the side, with the target in view."""
    base = show.data.qpos[show._root : show._root + 3]
    distance = float(np.hypot(base[0], base[1]))
    ahead = 0.35 * -base / max(distance, 1e-6) * min(distance, 3.0)
    wanted = np.array([base[0] + ahead[0], base[1] + ahead[1], 0.2])
    camera.lookat[:] = wanted if smooth >= 1 else camera.lookat + smooth * (wanted - camera.lookat)
    camera.distance += smooth * (2.2 + 0.45 * min(distance, 4.0) - camera.distance)


def record(show: Show, file: Path) -> None:
    """Write the episodes into a .gif or .mp4. Raises UserError where that is not possible."""
    try:
        from imageio.v2 import get_writer
    except ImportError:
        raise UserError('--video needs the extra "video": pip install "vbot[video]"') from None
    if file.suffix not in (".gif", ".mp4"):
        raise UserError(f"--video takes a .gif or .mp4 file; got {str(file)!r}")
    if not file.parent.is_dir():
        raise UserError(f"--video: no directory {str(file.parent)!r}")
    try:
        renderer = mujoco.Renderer(show.model, HEIGHT, WIDTH)
    except Exception as error:
        raise UserError(f"cannot render without a display ({error}); try MUJOCO_GL=egl or MUJOCO_GL=osmesa") from None
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation, camera.distance = 120.0, -22.0, 3.0
    every = max(1, round(1 / (FRAMES_PER_S * show.step_s)))
    frames_per_s = 1 / (every * show.step_s)
    options: dict[str, Any] = (
        {"loop": 0, "duration": 1000 / frames_per_s} if file.suffix == ".gif" else {"fps": frames_per_s}
    )
    writer: Any = get_writer(str(file), **options)
    with writer:
        begin = True
        for count, last in enumerate(show):
            if not (count % every == 0 or last):
                continue
            _camera(show, camera, smooth=1.0 if begin else 0.08)
            renderer.update_scene(show.data, camera)
            show.trail.draw(renderer.scene)
            picture = renderer.render()
            for _ in range(1 + (round(HOLD_S * frames_per_s) if last else 0)):
                writer.append_data(picture)
            begin = last
    renderer.close()


def view(show: Show) -> None:
    """Show the episodes in a window, in real time, until they or the window end."""
    import mujoco.viewer

    try:
        viewer = mujoco.viewer.launch_passive(show.model, show.data, show_left_ui=False, show_right_ui=False)
    except Exception as error:
        raise UserError(f"cannot open a window ({error}); use --video FILE without a display") from None
    with viewer:
        viewer.cam.azimuth, viewer.cam.elevation, viewer.cam.distance = 120.0, -22.0, 3.0
        for last in show:
            start = time.perf_counter()
            if not viewer.is_running():
                return
            with viewer.lock():
                _camera(show, viewer.cam, smooth=0.08)
                viewer.user_scn.ngeom = 0
                show.trail.draw(viewer.user_scn)
            viewer.sync()
            time.sleep(HOLD_S if last else max(0.0, show.step_s - (time.perf_counter() - start)))
