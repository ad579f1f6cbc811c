"""What a person sees: the robot with its looks on the disc, the target, the fence and the robot's trail."""

import mujoco
import numpy as np

from vbot.courses import Task
from vbot.robot import Robot

_TRAIL_SPACING_M = 0.08
_TRAIL_LENGTH = 400


def build_scene(robot: Robot, task: Task, physics_step_s: float) -> mujoco.MjModel:
    """A model to look at: the same joints as the simulated one, with visual shapes, lights and markers."""
    spec = robot.spec()
    task.course.add_to(spec)
    spec.option.timestep = physics_step_s
    spec.geom("ground").group = 4  # hidden: the plane that physics uses goes on past the disc
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.45, 0.45, 0.45]
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080
    # The shadow map covers shadowclip * extent around the light, which walks with the robot: small, so it is sharp.
    spec.stat.extent = 2.0
    spec.visual.map.shadowclip = 2.0
    spec.visual.map.zfar = 40.0
    spec.visual.quality.shadowsize = 2048
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.85, 0.9, 0.95],
        rgb2=[0.55, 0.65, 0.75],
        width=256,
        height=256,
    )
    spec.add_texture(
        name="tiles",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.36, 0.42, 0.4],
        rgb2=[0.4, 0.46, 0.44],
        width=256,
        height=256,
    )
    tiles = spec.add_material(name="tiles", texrepeat=[1.0, 1.0], texuniform=True)
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    spec.body(robot.base).add_light(
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACK,
        pos=[0.3, -0.5, 2.5],
        dir=[-0.12, 0.2, -1],
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        castshadow=True,
    )
    radius = task.course.disc_radius_m
    _disc(spec, "disc", radius, -0.05, 0.05, [1, 1, 1, 1], material="tiles")
    _disc(spec, "rim", radius + 0.08, -0.08, 0.05, [0.85, 0.35, 0.15, 1])
    _disc(spec, "fence", task.fence_radius_m, 0.001, 0.001, [0.95, 0.75, 0.2, 1])
    _disc(spec, "target", task.reach_radius_m, 0.003, 0.001, [0.2, 0.7, 0.35, 1])
    _disc(spec, "bullseye", 0.12, 0.005, 0.001, [0.95, 0.95, 0.95, 1])
    return spec.compile()


def _disc(
    spec: mujoco.MjSpec, name: str, radius: float, z: float, half_height: float, rgba: list[float], material: str = ""
) -> None:
    spec.worldbody.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius, half_height, 0],
        pos=[0, 0, z],
        rgba=rgba,
        contype=0,
        conaffinity=0,
        **({"material": material} if material else {}),
    )


class Trail:
    """Where the robot has been, drawn as dots on the ground."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []

    def clear(self) -> None:
        self._points.clear()

    def add(self, base_pos_w: np.ndarray) -> None:
        """Remember a base position (3,) m if it is far enough from the last."""
        point = np.array([base_pos_w[0], base_pos_w[1], 0.01])
        if not self._points or np.linalg.norm(point - self._points[-1]) >= _TRAIL_SPACING_M:
            self._points.append(point)
            del self._points[:-_TRAIL_LENGTH]

    def draw(self, scene: mujoco.MjvScene) -> None:
        """Add the dots to a scene, as far as it has room."""
        for point in self._points:
            if scene.ngeom >= scene.maxgeom:
                return
            mujoco.mjv_initGeom(
                scene.geoms[scene.ngeom],
                mujoco.mjtGeom.mjGEOM_SPHERE,
                np.array([0.022, 0, 0]),
                point,
                np.eye(3).flatten(),
                np.array([0.2, 0.55, 0.95, 1.0], dtype=np.float32),
            )
            scene.ngeom += 1
