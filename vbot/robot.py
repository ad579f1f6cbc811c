"""Robots: an MJCF file of the mechanics and a small YAML file beside it with what a program must know.

The built-in robot is ``vbot``; ``--robot path/to/dog.xml`` takes another quadruped, described by
``path/to/dog.yaml`` with the same keys as ``assets/vbot.yaml``.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from vbot.errors import UserError, nearest
from vbot.yaml_files import read_yaml

ASSETS = Path(__file__).parent / "assets"
BUILT_IN = ("vbot",)
_KEYS = ("name", "model", "base", "joints", "standing_pose", "feet", "kp", "kd", "mirror")
_OPTIONAL = ("name", "mirror")


@dataclass(frozen=True)
class Robot:
    """A quadruped. J joints in the order of its actions, F feet."""

    name: str
    model_file: Path
    base: str
    joints: tuple[str, ...]
    standing_pose: tuple[float, ...]
    """(J,) rad."""
    feet: tuple[str, ...]
    """Names of the feet's sphere geoms."""
    kp: float
    """N m/rad."""
    kd: float
    """N m s/rad."""
    mirror_index: tuple[int, ...] | None
    """(J,) the joint that plays each joint's part in the left-right mirror image; None when not stated."""
    mirror_sign: tuple[float, ...] | None
    """(J,) sign of the angle there."""

    def spec(self) -> mujoco.MjSpec:
        """The robot's mechanics with position actuators (the PD loop inside the physics) and contact sensors.

        The actuators and sensors that the file brings are replaced, so that the YAML beside it is the one place
        of gains and order. Its shapes touch the ground only: contacts between parts of the robot cost time and
        decide nothing in walking.
        """
        spec = _load_spec(self.model_file)
        for element in (*spec.actuators, *spec.sensors, *spec.keys):
            spec.delete(element)
        for geom in spec.geoms:
            if geom.contype or geom.conaffinity:
                geom.contype, geom.conaffinity = 0, 1
        for joint in self.joints:
            actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            actuator.set_to_position(kp=self.kp, kv=self.kd)
        for foot in self.feet:
            contact = spec.add_sensor(
                name=f"{foot}_contact",
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_GEOM,
                objname=foot,
            )
            contact.intprm[:3] = (_FOUND | _FORCE, _NET_FORCE, 1)
            for what, kind in (
                ("velocity", mujoco.mjtSensor.mjSENS_FRAMELINVEL),
                ("position", mujoco.mjtSensor.mjSENS_FRAMEPOS),
            ):
                spec.add_sensor(name=f"{foot}_{what}", type=kind, objtype=mujoco.mjtObj.mjOBJ_GEOM, objname=foot)
        # On the body alone: a sensor over its subtree would see the feet too, and call every step a fall.
        contact = spec.add_sensor(
            name="base_contact",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=self.base,
        )
        contact.intprm[:3] = (_FOUND, 0, 1)
        return spec

    def description(self) -> str:
        """All that makes this robot, wherever its files lie: for the fingerprint."""
        facts = [repr(getattr(self, f.name)) for f in fields(self) if f.name != "model_file"]
        return "\n".join((*facts, self.model_file.read_text()))

    def standing_height(self, model: mujoco.MjModel) -> float:
        """Height in m of the base over flat ground when its lowest foot just touches in the standing pose."""
        data = mujoco.MjData(model)
        for joint, angle in zip(self.joints, self.standing_pose, strict=True):
            data.joint(joint).qpos[0] = angle
        mujoco.mj_kinematics(model, data)
        lowest = min(data.geom(foot).xpos[2] - model.geom(foot).size[0] for foot in self.feet)
        return float(data.body(self.base).xpos[2] - lowest)


# Bits and values of the contact sensor's integer parameters (MuJoCo XML reference, sensor/contact).
_FOUND, _FORCE, _NET_FORCE = 1, 2, 3


def load_robot(name_or_file: str) -> Robot:
    """Load a built-in robot by name, or the robot of an MJCF file with its YAML file beside it.

    Raises:
        UserError: no such robot, no YAML beside the file, or a key, joint or geom that does not fit.
    """
    if name_or_file in BUILT_IN:
        description = ASSETS / f"{name_or_file}.yaml"
    elif name_or_file.endswith(".xml"):
        if not Path(name_or_file).is_file():
            raise UserError(f"no robot file {name_or_file!r}")
        description = Path(name_or_file).with_suffix(".yaml")
        if not description.is_file():
            raise UserError(
                f"robot {name_or_file!r} needs {str(description)!r} beside it, with keys {', '.join(_KEYS)}"
            )
    else:
        raise UserError(f"no robot is named {name_or_file!r}{nearest(name_or_file, BUILT_IN)} (or give an .xml file)")
    return _robot(read_yaml(description), description)


def _robot(values: dict[str, Any], file: Path) -> Robot:
    for key in values:
        if key not in _KEYS:
            raise UserError(f"{file}: unknown key {key!r}{nearest(str(key), _KEYS)}")
    for key in _KEYS:
        if key not in values and key not in _OPTIONAL:
            raise UserError(f"{file}: key {key!r} is missing")
    joints = tuple(values["joints"])
    if len(values["standing_pose"]) != len(joints):
        raise UserError(
            f"{file}: standing_pose must have {len(joints)} angles, one per joint; got {len(values['standing_pose'])}"
        )
    index, sign = None, None
    if mirror := values.get("mirror"):
        for partner in mirror["joints"]:
            if partner not in joints:
                raise UserError(f"{file}: mirror names {partner!r}, which is no joint{nearest(str(partner), joints)}")
        index = tuple(joints.index(partner) for partner in mirror["joints"])
        sign = tuple(float(s) for s in mirror["signs"])
        if len(index) != len(joints) or len(sign) != len(joints) or any(index[i] != k for k, i in enumerate(index)):
            raise UserError(f"{file}: mirror must pair all {len(joints)} joints both ways, with a sign for each")
    robot = Robot(
        name=str(values.get("name", file.stem)),
        model_file=file.parent / values["model"],
        base=values["base"],
        joints=joints,
        standing_pose=tuple(float(a) for a in values["standing_pose"]),
        feet=tuple(values["feet"]),
        kp=float(values["kp"]),
        kd=float(values["kd"]),
        mirror_index=index,
        mirror_sign=sign,
    )
    spec = _load_spec(robot.model_file)
    for kind, names, known in (
        ("joint", robot.joints, {j.name for j in spec.joints}),
        ("foot geom", robot.feet, {g.name for g in spec.geoms}),
        ("base body", (robot.base,), {b.name for b in spec.bodies}),
    ):
        for wanted in names:
            if wanted not in known:
                near = nearest(str(wanted), known - {""})
                raise UserError(f"{file}: {kind} {wanted!r} is not in {robot.model_file.name}{near}")
    for foot in robot.feet:
        if spec.geom(foot).type != mujoco.mjtGeom.mjGEOM_SPHERE:
            raise UserError(f"{file}: foot {foot!r} must be a sphere geom in {robot.model_file.name}")
    if not np.any([j.type == mujoco.mjtJoint.mjJNT_FREE for j in spec.body(robot.base).joints]):
        raise UserError(f"{file}: base {robot.base!r} has no free joint in {robot.model_file.name}")
    return robot


def _load_spec(file: Path) -> mujoco.MjSpec:
    try:
        return mujoco.MjSpec.from_file(str(file))
    except ValueError as error:
        raise UserError(f"robot file {file} does not load: {' '.join(str(error).split())}") from None
