"""Term cards: what they say of terms whose curves are known by hand."""

import math

import pytest
import torch

from vbot.rewards import REGISTRY, Registry
from vbot.rewards.cards import card, curves, pays_for_living, range_text
from vbot.rewards.conformance import check_term, random_states
from vbot.rewards.probes import mirrored, raw, robots
from vbot.state import State

torch.set_num_threads(1)


def curve_of(term: str, axis: str, **params):
    return next(c for c in curves(REGISTRY[term], params) if c.axis.name == axis)


def test_the_curve_over_the_distance_is_the_formula():
    curve = curve_of("position_tracking", "distance", sigma=2.0)
    assert curve.value == pytest.approx([math.exp(-d / 2) for d in curve.at.tolist()], rel=1e-5)
    middle = 120  # 6 m, where the slope of exp(-d / 2) is -exp(-3) / 2
    assert float(curve.at[middle]) == pytest.approx(6.0)
    assert float(curve.slope[middle]) == pytest.approx(-math.exp(-3) / 2, rel=1e-2)


def test_a_gradient_is_dead_where_it_has_fallen_to_a_hundredth():
    """exp(-d / sigma) falls to a hundredth of its steepest slope, that at 0, at d = sigma ln 100 = 4.6 sigma."""
    assert curve_of("position_tracking", "distance", sigma=5.0).dead() == []
    ((low, high),) = curve_of("position_tracking", "distance", sigma=0.5).dead()
    assert low == pytest.approx(0.5 * math.log(100), abs=0.1)
    assert high == pytest.approx(12.0)


def test_a_jump_is_no_gradient():
    ((low, high),) = curve_of("stay", "distance").dead()  # pays within 0.5 m, wherever there
    assert (low, high) == (0.0, pytest.approx(12.0))


def test_a_cap_ends_the_gradient_over_the_speed():
    ((low, high),) = curve_of("forward_velocity", "speed towards the target").dead()
    assert (low, high) == (pytest.approx(0.6, abs=0.05), pytest.approx(3.0))


@pytest.mark.parametrize(
    ("term", "gate"),
    [
        ("alive_bonus", "before reach"),
        ("heading_tracking", "before reach"),
        ("arrival_bonus", "first reach"),
        ("stop_scale", "after reach"),
        ("departure_penalty", "after reach"),
        ("stay", "at the target"),
        ("position_tracking", "always"),
        ("torques", "always"),
    ],
)
def test_gates_are_told_from_the_values(term, gate):
    assert card(REGISTRY[term]).gate == gate


def test_a_card_tells_what_the_registry_knows():
    c = card(REGISTRY["near_target_speed"])
    assert (c.kind, c.sign, c.unit) == ("rate", "penalty", "d in m, v in m/s")
    assert c.sets == ("final", "phase5", "swift")
    assert set(c.reads) == {"distance", "planar_speed"}
    assert c.to_dict()["search"] == "-4..-0.1"
    assert range_text(REGISTRY["torques"].search) == "-0.001..-1e-06 log"
    assert c.spec.file.endswith("arrival.py")


def test_pay_of_a_robot_that_stands_still():
    standing = card(REGISTRY["position_tracking"])
    assert standing.standing["6 m"] == pytest.approx(math.exp(-6 / 5))
    assert standing.pay(standing.standing["6 m"]) == pytest.approx(100 * 1.5 * math.exp(-6 / 5))  # per s of 10 ms
    progress = card(REGISTRY["distance_progress"]).standing
    assert progress["1 m"] == pytest.approx(1 - 1 / 3)  # spawned 3 m away
    assert progress["3 m"] == 0.0
    assert card(REGISTRY["stop_scale"]).standing["target"] == pytest.approx(2.0)
    assert card(REGISTRY["termination"]).pay(1.0) == -200.0


def test_only_the_alive_bonus_pays_for_living():
    assert {name for name, spec in REGISTRY.items() if pays_for_living(spec)} == {"alive_bonus"}


def test_built_in_terms_treat_left_and_right_alike():
    assert all(card(spec).symmetric for spec in REGISTRY.values())


def test_a_lopsided_term_is_told_from_a_symmetric_one():
    registry = Registry()

    @registry.reward(scale=1.0)
    def leans_left(s: State) -> torch.Tensor:
        """Lateral velocity."""
        return s.base_lin_vel_b[:, 1]

    @registry.reward(scale=1.0)
    def first_foot(s: State) -> torch.Tensor:
        """Foot 0 on the ground."""
        return s.foot_contact[:, 0].float()

    assert not card(registry["leans_left"]).symmetric
    assert not card(registry["first_foot"]).symmetric


def test_twice_mirrored_is_the_same():
    s = random_states(32, 1)
    twice = mirrored(mirrored(s))
    assert torch.allclose(twice.joint_pos, s.joint_pos)
    assert torch.equal(twice.foot_contact, s.foot_contact)
    assert torch.allclose(twice.base_quat_w, s.base_quat_w)


def test_a_new_plugin_has_a_card_with_curves_at_once():
    """Even one with memory, of an input that no built-in term has."""
    registry = Registry()

    @registry.reward(scale=1.0)
    class long_steps:
        """Longest time in the air so far; s."""

        def __init__(self, num_envs: int, device: torch.device) -> None:
            self.best = torch.zeros(num_envs, device=device)

        def __call__(self, s: State) -> torch.Tensor:
            self.best = torch.maximum(self.best, s.foot_air_time.amax(1))
            return self.best.clone()

        def reset(self, mask: torch.Tensor) -> None:
            self.best = torch.where(mask, 0.0, self.best)

    check_term(registry["long_steps"])
    c = card(registry["long_steps"])
    assert (c.unit, c.sets, c.reads) == ("s", (), ("foot_air_time",))
    (curve,) = curves(registry["long_steps"])
    assert curve.axis.name == "time of the feet in the air"
    assert curve.value.tolist() == pytest.approx(curve.at.tolist())


def test_drawn_robots_agree_with_themselves():
    """The laws that the tracker keeps: distances, speeds and bearing follow from positions and velocities."""
    s = robots(torch.tensor([0.2, 3.0, 8.0]), torch.tensor([0.0, 0.6, 1.5]), time_s=1.1)
    assert s.distance.tolist() == pytest.approx((s.target_pos_w - s.base_pos_w[:, :2]).norm(dim=1).tolist())
    assert s.target_speed.tolist() == pytest.approx([0.0, 0.6, 1.5])
    assert ((s.prev_distance - s.distance) / s.step_s).tolist() == pytest.approx([0.0, 0.6, 1.5], abs=1e-4)
    assert s.reached.tolist() == [True, False, False]
    assert s.projected_gravity_b.norm(dim=1).tolist() == pytest.approx([1.0] * 3)
    assert s.joint_vel.abs().sum(1)[0] == 0  # it stands
    # the joint speeds are the derivative of the angles
    later = robots(torch.tensor([0.2, 3.0, 8.0]), torch.tensor([0.0, 0.6, 1.5]), time_s=1.1 + 1e-3)
    assert torch.allclose((later.joint_pos - s.joint_pos) / 1e-3, s.joint_vel, atol=0.1)
    # and walking keeps time with the clock: half a foot of four more than chance
    assert raw(REGISTRY["trot"], s).tolist() == pytest.approx([0.0, 0.5, 0.5])
