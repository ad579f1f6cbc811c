"""The robot is the published one, and another quadruped is a file away."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from vbot.courses import SECTION001
from vbot.errors import UserError
from vbot.robot import ASSETS, load_robot
from vbot.sim import build_model


@pytest.fixture(scope="module")
def model():
    return build_model(load_robot("vbot"), SECTION001, physics_step_s=0.01)


def test_masses_are_the_published_ones(model):
    # 9.016326 + 4 * (0.079643 + 1.55038 + 0.183986)
    assert model.body_mass.sum() == pytest.approx(16.272362, abs=1e-6)
    assert model.body("base").mass == pytest.approx(9.016326)


def test_actuators_come_in_the_published_order_with_the_published_torque_limits(model):
    names = [model.actuator(i).name for i in range(model.nu)]
    assert names == [f"{leg}_{part}_joint" for leg in ("FR", "FL", "RR", "RL") for part in ("hip", "thigh", "calf")]
    limits = [model.jnt_actfrcrange[model.joint(name).id].tolist() for name in names]
    assert limits == [[-17, 17], [-17, 17], [-34, 34]] * 4


def test_legs_have_the_published_lengths(model):
    assert model.body("FL_thigh").pos == pytest.approx([0, 0.0975, 0])
    assert model.body("FL_calf").pos == pytest.approx([0, 0, -0.1985])
    assert model.geom("FL_foot").pos == pytest.approx([0, 0, -0.214])
    assert model.geom("FL_foot").size[0] == pytest.approx(0.021)


def test_standing_height_follows_from_the_leg_geometry(model):
    # Two links of 0.1985 and 0.214 m, each 0.9 rad from the vertical, and the radius of the foot.
    by_hand = (0.1985 + 0.214) * np.cos(0.9) + 0.021
    assert load_robot("vbot").standing_height(model) == pytest.approx(by_hand, abs=1e-6)


def test_actuator_torque_is_that_of_the_pd_law(model):
    data = mujoco.MjData(model)
    data.qpos[2] = 1.0  # in the air, nothing touches
    data.joint("FR_thigh_joint").qpos[0] = 0.9
    data.joint("FR_thigh_joint").qvel[0] = 0.5
    data.actuator("FR_thigh_joint").ctrl[0] = 1.0
    mujoco.mj_forward(model, data)
    assert data.actuator("FR_thigh_joint").force[0] == pytest.approx(80 * (1.0 - 0.9) - 6 * 0.5)  # 5 N m


def test_trunk_head_and_feet_touch_the_ground_and_nothing_touches_the_robot_itself(model):
    pairs = [
        (model.geom(int(a)).name, model.geom(int(b)).name)
        for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)
    ]
    assert all(one == "ground" for one, _ in pairs)
    assert {"trunk", "head", "FR_foot", "FL_foot", "RR_foot", "RL_foot"} <= {other for _, other in pairs}
    assert not model.geom_contype.any()  # and no contact besides these pairs


def test_mirror_pairs_left_and_right():
    robot = load_robot("vbot")
    pairs = {robot.joints[i]: robot.joints[k] for i, k in enumerate(robot.mirror_index)}
    assert all(partner == re.sub("[LR]_", lambda m: "R_" if m[0] == "L_" else "L_", j) for j, partner in pairs.items())


def test_robot_errors_name_the_law_and_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match="no robot is named 'vbt'; did you mean 'vbot'"):
        load_robot("vbt")
    with pytest.raises(UserError, match=r"no robot file"):
        load_robot(str(tmp_path / "dog.xml"))
    xml = tmp_path / "dog.xml"
    xml.write_text((ASSETS / "vbot.xml").read_text())
    with pytest.raises(UserError, match=r"dog.yaml.* beside it"):
        load_robot(str(xml))
    _describe(tmp_path, lambda text: text.replace("FR_hip_joint", "FR_hop_joint"))
    with pytest.raises(UserError, match=r"joint 'FR_hop_joint' is not in dog\.xml; did you mean 'FR_hip_joint'"):
        load_robot(str(xml))
    _describe(tmp_path, lambda text: text.replace("kp: 80.0", "kpp: 80.0"))
    with pytest.raises(UserError, match="unknown key 'kpp'; did you mean 'kp'"):
        load_robot(str(xml))
    _describe(tmp_path, lambda text: text.replace("[FR_foot, FL_foot, RR_foot, RL_foot]", "[head]"))
    with pytest.raises(UserError, match="foot 'head' must be a sphere"):
        load_robot(str(xml))


def _describe(directory: Path, change) -> None:
    text = (ASSETS / "vbot.yaml").read_text().replace("model: vbot.xml", "model: dog.xml")
    (directory / "dog.yaml").write_text(change(text))
