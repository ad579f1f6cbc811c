"""Batched physics: it stands, does not depend on threads, and survives a simulation that breaks."""

import dataclasses

import mujoco
import numpy as np
import pytest
import torch

from vbot.courses import SECTION001
from vbot.robot import load_robot
from vbot.sim import MujocoSimulation, build_model, compile_model

ROBOT = load_robot("vbot")
STANDING = torch.tensor(ROBOT.standing_pose)


def simulation(n: int, threads: int = 1) -> MujocoSimulation:
    return MujocoSimulation(ROBOT, SECTION001, n, physics_step_s=0.01, decimation=2, threads=threads)


def fields(readings) -> dict[str, torch.Tensor]:
    return {name: getattr(readings, name).clone() for name in readings.__slots__}


def test_robot_stands_still_on_its_four_feet_carrying_its_weight():
    sim = simulation(2)
    for _ in range(150):
        sim.step(STANDING.expand(2, -1))
    r = sim.readings
    # The published model sags to 0.256 m under kp 80.
    assert r.base_pos_w[:, 2].numpy() == pytest.approx(0.256, abs=0.003)
    assert r.foot_contact.all()
    assert not r.base_contact.any()
    assert r.foot_force.sum(1).numpy() == pytest.approx(16.272362 * 9.81, rel=0.02)
    assert r.foot_height.abs().max() < 0.003
    assert r.joint_vel.abs().max() < 0.02


def test_results_do_not_depend_on_the_number_of_threads():
    one, two = simulation(64, threads=1), simulation(64, threads=2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        targets = STANDING + 0.4 * torch.randn(64, 12, generator=generator)
        one.step(targets)
        two.step(targets)
    a, b = fields(one.readings), fields(two.readings)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_control_step_is_the_same_as_stepping_plain_mujoco():
    sim = simulation(1)
    model = build_model(ROBOT, SECTION001, 0.01)
    data = mujoco.MjData(model)
    data.qpos[2] = sim.standing_height
    data.qpos[7:] = ROBOT.standing_pose
    mujoco.mj_forward(model, data)
    targets = STANDING.double().numpy() + 0.1
    for _ in range(10):
        sim.step(torch.tensor(targets, dtype=torch.float32).unsqueeze(0))
        data.ctrl[:] = targets.astype(np.float32)
        for _ in range(2):
            mujoco.mj_step(model, data)
    assert sim.readings.joint_pos[0].numpy() == pytest.approx(data.qpos[7:], abs=1e-6)
    assert sim.readings.base_lin_vel_w[0].numpy() == pytest.approx(data.qvel[:3], abs=1e-6)
    assert sim.readings.joint_torque[0].numpy() == pytest.approx(data.actuator_force, abs=1e-5)


ODD_SHAPES = """
<mujoco><worldbody><body name="base"><freejoint/>
  <geom size="0.1" condim="1"/>
  <geom name="slippery" size="0.1" pos="0.3 0 0" friction="0.2 0.01 0.001" condim="4" solref="0.03 0.9" margin="0.002"/>
  <geom size="0.1" pos="0 0.3 0" friction="0.1 0.02 0.003" priority="1" condim="1" solimp="0.8 0.9 0.002 0.4 2"/>
  <geom type="box" size="0.1 0.1 0.1" pos="0.3 0.3 0" solmix="3" solref="0.01 0.5" gap="0.0005" margin="0.001"/>
  <geom size="0.1" pos="0 0 0.05" contype="0" conaffinity="0"/>
</body></worldbody></mujoco>"""


def odd_shapes() -> mujoco.MjSpec:
    spec = mujoco.MjSpec.from_string(ODD_SHAPES)
    for geom in spec.geoms:
        geom.conaffinity, geom.contype = geom.contype, 0
    return spec


@pytest.mark.parametrize("make", [ROBOT.spec, odd_shapes])
def test_contacts_are_those_that_the_engine_finds_by_itself(make):
    spec, plain_spec = make(), make()
    plain_spec.compiler.discardvisual = True
    for each in (spec, plain_spec):
        SECTION001.add_to(each)
    model, plain = compile_model(spec, 0.01), plain_spec.compile()
    assert plain.npair == 0
    assert plain.ngeom == model.ngeom
    data, plain_data = mujoco.MjData(model), mujoco.MjData(plain)
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(50):
        pose = rng.normal(size=model.nq)
        pose[2] = rng.uniform(0.05, 0.3)
        for m, d in ((model, data), (plain, plain_data)):
            d.qpos[:] = pose
            mujoco.mj_forward(m, d)
        assert data.ncon == plain_data.ncon
        for field in ("geom", "dist", "pos", "frame", "dim", "friction", "solref", "solimp", "includemargin"):
            # To the last bit: rounding would part the two motions.
            np.testing.assert_array_equal(getattr(data.contact, field), getattr(plain_data.contact, field), field)
        seen += data.ncon
    assert seen > 50


def test_a_broken_simulation_is_put_back_and_counted_and_the_others_do_not_notice():
    broken, whole = simulation(8), simulation(8)
    targets = STANDING.expand(8, -1)
    for k in range(20):
        if k == 5:
            broken._fields["qvel"][3, 0] = np.nan
        if k == 9:
            broken._fields["qvel"][6, 2] = 1e9
        broken.step(targets)
        whole.step(targets)
        assert broken.readings.failed.nonzero().flatten().tolist() == {5: [3], 9: [6]}.get(k, [])
    assert broken.failures == 2
    a, b = fields(broken.readings), fields(whole.readings)
    untouched = [0, 1, 2, 4, 5, 7]
    assert all(torch.equal(a[name][untouched], b[name][untouched]) for name in a)
    assert all(torch.isfinite(value.float()).all() for value in a.values())


def test_reset_places_the_named_simulations_at_rest_and_leaves_the_others():
    sim = simulation(4)
    for _ in range(10):
        sim.step(STANDING + 0.3)
    before = fields(sim.readings)
    ids = torch.tensor([1, 3])
    position = torch.tensor([[1.0, 2.0, 0.3], [-3.0, 0.5, 0.3]])
    quat = torch.tensor([[1.0, 0, 0, 0], [0.0, 0, 0, 1.0]])
    sim.reset(ids, position, quat, STANDING.expand(2, -1))
    r = sim.readings
    assert torch.equal(r.base_pos_w[ids], position)
    assert torch.equal(r.base_quat_w[ids], quat)
    assert torch.equal(r.joint_pos[ids], STANDING.expand(2, -1))
    assert r.joint_vel[ids].abs().max() == 0
    # What the fall before was, nobody sees any more; what the new pose makes of it, a step tells.
    assert all((getattr(r, name)[ids] == 0).all() for name in ("joint_torque", "foot_contact", "foot_force"))
    others = torch.tensor([0, 2])
    assert all(torch.equal(getattr(r, name)[others], before[name][others]) for name in before)


def test_a_reset_forgets_the_joint_that_no_actuator_moves():
    robot = dataclasses.replace(ROBOT, joints=ROBOT.joints[:-1], standing_pose=ROBOT.standing_pose[:-1])
    sim = MujocoSimulation(robot, SECTION001, 2, physics_step_s=0.01, decimation=2, threads=1)
    passive = int(sim.model.joint(ROBOT.joints[-1]).qposadr[0])
    for _ in range(20):
        sim.step(STANDING[:-1].expand(2, -1))
    assert (abs(sim._fields["qpos"][:, passive]) > 0.01).all()
    position, quat = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    sim.reset(torch.tensor([1]), position, quat, STANDING[:-1].expand(1, -1))
    assert sim._fields["qpos"][1, passive] == sim.model.qpos0[passive] == 0
    assert abs(sim._fields["qpos"][0, passive]) > 0.01


def test_only_live_simulations_move():
    sim = simulation(3)
    sim.step(STANDING + 0.2, live=torch.tensor([0, 2]))
    moved = sim.readings.joint_vel.abs().amax(1) > 0
    assert moved.tolist() == [True, False, True]


def test_lying_on_the_trunk_or_the_head_is_a_base_contact_and_standing_on_feet_is_not():
    sim = simulation(3)
    upright = torch.tensor([1.0, 0, 0, 0])
    nose_down = torch.tensor([np.cos(np.pi / 4), 0, np.sin(np.pi / 4), 0], dtype=torch.float32)
    folded = torch.tensor([0.0, 2.4, -2.6]).repeat(4)  # knees beside the trunk
    poses = torch.stack((STANDING, folded, STANDING))
    sim.reset(
        torch.arange(3),
        torch.tensor([[0.0, 0, sim.standing_height], [0, 0, 0.06], [0, 0, 0.25]]),
        torch.stack((upright, upright, nose_down)),
        poses,
    )
    sim.step(poses)
    assert sim.readings.base_contact.tolist() == [False, True, True]


def test_going_on_from_a_saved_state_is_bit_for_bit():
    sim, other = simulation(16), simulation(16)
    generator = torch.Generator().manual_seed(3)
    actions = STANDING + 0.4 * torch.randn(20, 16, 12, generator=generator)
    for k in range(10):
        sim.step(actions[k])
    other.load_state_dict(sim.state_dict())
    for k in range(10, 20):
        sim.step(actions[k])
        other.step(actions[k])
    a, b = fields(sim.readings), fields(other.readings)
    assert all(torch.equal(a[name], b[name]) for name in a)
