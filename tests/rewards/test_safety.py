"""The boundary and the fall against values worked out by hand."""

import torch

from vbot.rewards import REGISTRY
from vbot.rewards.safety import boundary_penalty, termination


def same(value, expected):
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_boundary_penalty_grows_from_one_metre_inside_the_edge_without_a_cap(make_state):
    s = make_state(6, platform_radius=11.0, radius=[0.0, 9.9, 10.0, 10.25, 11.0, 12.5])
    same(boundary_penalty(s), [0.0, 0.0, 0.0, 0.25, 1.0, 2.5])  # r - (11 - 1)
    same(boundary_penalty(s, margin=0.0), [0.0, 0.0, 0.0, 0.0, 0.0, 1.5])  # r - 11


def test_boundary_penalty_knows_the_platform_of_each_environment(make_state):
    s = make_state(2, radius=10.5, platform_radius=[11.0, 6.0])
    same(boundary_penalty(s), [0.5, 5.5])  # 10.5 - 10; 10.5 - 5


def test_boundary_penalty_has_no_gate(make_state):
    same(boundary_penalty(make_state(2, radius=10.5, ever_reached=[False, True])), [0.5, 0.5])


def test_termination_is_one_on_a_fall_and_not_decayed(make_state):
    same(termination(make_state(2, fallen=[False, True])), [0.0, 1.0])
    same(termination(make_state(2, fallen=True, ever_reached=[False, True])), [1.0, 1.0])
    assert (REGISTRY["termination"].kind, REGISTRY["termination"].decay) == ("event", False)
    assert not REGISTRY["boundary_penalty"].decay
