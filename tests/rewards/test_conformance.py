"""Every registered term passes the conformance suite, and a term that breaks a law fails it by that law."""

import dataclasses

import pytest
import torch

from vbot.rewards import REGISTRY, Registry, Uniform
from vbot.rewards.conformance import ConformanceError, check_term


@pytest.mark.parametrize("name", list(REGISTRY))
def test_every_registered_term_conforms(name):
    check_term(REGISTRY[name])


def check(function, **metadata):
    """Register in a registry of its own, then check."""
    registry = Registry()
    metadata = {"scale": 1.0, **metadata}
    (registry.penalty if metadata["scale"] < 0 else registry.reward)(**metadata)(function)
    check_term(registry[function.__name__])


class Memory:
    """The sum of all distances so far: a term with memory that obeys every law."""

    def __init__(self, num_envs, device):
        self.value = torch.zeros(num_envs, device=device)

    def __call__(self, s):
        self.value = self.value + s.distance
        return self.value

    def reset(self, mask):
        self.value[mask] = 0.0


def total(s):
    """Sum over the batch."""
    return s.distance.sum().expand(s.num_envs)


def rank(s):
    """Place of the row in the batch."""
    return torch.arange(s.num_envs, device=s.distance.device).float()


def needs_many(s):
    """0 / 0 for one environment."""
    return s.distance + s.distance * 0.0 / (s.num_envs - 1)


def column(s):
    """Shape (N, 1)."""
    return s.distance[:, None]


def scalar(s):
    """One number for all."""
    return s.distance.mean()


def number(s):
    """No tensor."""
    return 1.0


def boolean(s):
    """Not a float."""
    return s.reached


def double(s):
    """Float64."""
    return s.distance.double()


def writes(s):
    """Writes into a field."""
    return s.distance.mul_(2.0)


def replaces(s):
    """Replaces a field."""
    s.distance = s.distance * 2.0
    return s.distance


def negative(s):
    """A penalty of both signs."""
    return s.base_lin_vel_b[:, 2]


def gives_nan(s):
    """0 / 0 on a robot at rest exactly on its target."""
    return s.distance / s.distance


def raises(s):
    """A field that does not exist."""
    return s.no_such_field


def is_random(s):
    """Noise."""
    return torch.rand_like(s.distance)


def loops(s):
    """A Python loop over environments."""
    return torch.stack([d if d.item() > 1 else -d for d in s.distance])


def other_device(s):
    """A table that stays on the CPU."""
    return s.joint_pos @ torch.ones(12)


@pytest.mark.parametrize(
    ("function", "law"),
    [
        (total, "its own environment alone; the batch split"),
        (rank, "its own environment alone; the batch in another order"),
        (needs_many, "rows are NaN"),
        (column, r"shape \(num_envs,\) = \(64,\); got \(64, 1\)"),
        (scalar, r"shape \(num_envs,\)"),
        (number, "must return a tensor; got float"),
        (boolean, "float32; got torch.bool"),
        (double, "float32; got torch.float64"),
        (writes, "only read the State; it changed 'distance'"),
        (replaces, "only read the State; it changed 'distance'"),
        (gives_nan, "must be finite"),
        (raises, "raised AttributeError"),
        (is_random, "same values for the same states"),
        (loops, "any device"),
        (other_device, "any device"),
    ],
)
def test_a_term_that_breaks_a_law_is_named_with_it(function, law):
    with pytest.raises(ConformanceError, match=law) as caught:
        check(function)
    assert repr(function.__name__) in str(caught.value)
    assert "test_conformance.py" in str(caught.value)


def test_a_penalty_must_not_be_negative_but_a_reward_may_be():
    check(negative)
    with pytest.raises(ConformanceError, match="magnitude >= 0"):
        check(negative, scale=-1.0)


def test_the_ends_of_every_range_are_tried():
    def root(s, *, offset=0.0):
        """NaN only at an end of its range."""
        return (s.distance - offset).sqrt()

    check(root)
    with pytest.raises(ConformanceError, match=r"finite.*offset=1\.0"):
        check(root, tune={"offset": Uniform(0.0, 1.0)})


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ({"scale": 9.0}, "scale 9.0 lies outside"),
        ({"scale": -1.5}, "must be >= 0; got -1.5"),
        ({"search": Uniform(-1.0, 5.0)}, "search range too, must be >= 0; got -1.0"),
        ({"params": {"sigma": 99.0}}, "sigma=99.0 lies outside"),
        ({"params": {}}, "tune names 'sigma'"),
    ],
)
def test_defaults_must_lie_inside_their_ranges(change, law):
    with pytest.raises(ConformanceError, match=law):
        check_term(dataclasses.replace(REGISTRY["position_tracking"], **change))


class Forgets(Memory):
    """Its reset does nothing."""

    __call__ = Memory.__call__

    def reset(self, mask):
        pass


class ForgetsAll(Memory):
    """Its reset clears every row."""

    __call__ = Memory.__call__

    def reset(self, mask):
        self.value = torch.zeros_like(self.value)


class WritesIntoMask(Memory):
    """Its reset changes the mask."""

    __call__ = Memory.__call__

    def reset(self, mask):
        self.value[mask] = 0.0
        mask.zero_()


class CannotReset(Memory):
    """Its reset fails."""

    __call__ = Memory.__call__

    def reset(self, mask):
        raise RuntimeError("no rows")


class CannotBeMade(Memory):
    """Its constructor fails."""

    __call__ = Memory.__call__

    def __init__(self, num_envs, device):
        raise RuntimeError("out of paper")


class SharesMemory(Memory):
    """Counts the steps of all its instances together."""

    steps = 0

    def __call__(self, s):
        SharesMemory.steps += 1
        return s.distance + self.steps


class KeepsView(Memory):
    """Change of the distance against a tensor that the State still owns."""

    def __call__(self, s):
        old, self.value = self.value, s.distance
        return s.distance - old

    def reset(self, mask):
        self.value = torch.where(mask, 0.0, self.value)


class KeepsCopy(KeepsView):
    """Change of the distance against a copy of its own."""

    def __call__(self, s):
        old, self.value = self.value, s.distance.clone()
        return s.distance - old


class RemembersInList(Memory):
    """Its memory is a list, which no checkpoint keeps."""

    def __init__(self, num_envs, device):
        self.values = [torch.zeros(num_envs, device=device)]

    def __call__(self, s):
        self.values[0] = self.values[0] + s.distance
        return self.values[0]

    def reset(self, mask):
        self.values[0][mask] = 0.0


@pytest.mark.parametrize("term", [Memory, KeepsCopy])
def test_a_term_with_memory_conforms(term):
    check(term)


@pytest.mark.parametrize(
    ("term", "law"),
    [
        (Forgets, "must clear the memory of the rows in the mask"),
        (ForgetsAll, "leave the rows outside the mask alone"),
        (WritesIntoMask, "not write into the mask"),
        (CannotReset, "raised RuntimeError: no rows"),
        (CannotBeMade, "could not be made for 64 environments.*out of paper"),
        (SharesMemory, "shares memory between its instances"),
        (KeepsView, "must be a copy"),
        (RemembersInList, "must be tensor attributes"),
    ],
)
def test_a_term_with_memory_that_breaks_a_law_is_named_with_it(term, law):
    with pytest.raises(ConformanceError, match=law) as caught:
        check(term)
    assert repr(term.__name__) in str(caught.value)


def test_random_states_repeat_by_seed(random_state):
    a, b, c = random_state(8, 1), random_state(8, 1), random_state(8, 2)
    assert torch.equal(a.distance, b.distance)
    assert torch.equal(a.joint_vel, b.joint_vel)
    assert not torch.equal(a.distance, c.distance)


def test_random_states_cover_an_episode(random_state):
    s = random_state(64, 0)
    phases = [
        ~s.ever_reached & (s.distance > 1),
        ~s.ever_reached & (s.distance < 1),
        s.first_reach,
        s.reached & ~s.first_reach,
        s.ever_reached & ~s.reached,
        s.first_fence,
        s.fallen,
        s.distance == 0,
        ~s.foot_contact.all(1),
        s.radius > s.platform_radius - 1,
    ]
    assert all(phase.any() and not phase.all() for phase in phases)


@pytest.mark.parametrize("seed", range(3))
def test_random_states_agree_with_themselves(random_state, seed):
    s = random_state(64, seed)
    close = torch.testing.assert_close
    rotation = turn(s.base_quat_w)
    close(s.base_quat_w.norm(dim=1), torch.ones(64))
    close(rotation(s.projected_gravity_b), torch.tensor([0.0, 0.0, -1.0]).expand(64, 3), atol=1e-5, rtol=0)
    close(rotation(s.base_lin_vel_b), s.base_lin_vel_w, atol=1e-5, rtol=0)
    to_target = s.target_pos_w - s.base_pos_w[:, :2]
    close(to_target.norm(dim=1), s.distance, atol=1e-5, rtol=0)
    close(s.target_vec_b.norm(dim=1), s.distance, atol=1e-5, rtol=0)
    w, x, y, z = s.base_quat_w.unbind(1)
    yaw = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    ahead = yaw + torch.atan2(s.target_vec_b[:, 1], s.target_vec_b[:, 0])
    direction = torch.stack([ahead.cos(), ahead.sin()], 1) * s.distance[:, None]
    upright = s.projected_gravity_b[:, 2] < -0.5
    close(direction[upright], to_target[upright], atol=1e-4, rtol=0)
    assert torch.equal(s.reached, s.distance < 0.5)
    assert not (s.reached & ~s.ever_reached).any()
    assert torch.equal(s.ever_reached, s.min_distance < 0.5)
    assert (s.min_distance <= s.distance).all()
    assert not s.time_since_reach[~s.ever_reached | s.first_reach].any()
    assert (s.time_s >= s.time_since_reach).all()
    assert (s.stopped_time <= s.time_since_reach).all()


def turn(quat):
    """Rotation of vectors (N, 3) by quaternions w x y z: v + 2 q x (q x v + w v)."""
    w, q = quat[:, :1], quat[:, 1:]
    return lambda v: v + 2 * torch.linalg.cross(q, torch.linalg.cross(q, v) + w * v)
