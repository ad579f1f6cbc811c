"""Records of evaluated episodes: they agree with the outcomes, survive a file, and a named episode comes again."""

import dataclasses

import pytest
import torch

from vbot.errors import UserError
from vbot.evaluation import Evaluator
from vbot.records import RecordKeeper, load, pack
from vbot.rewards.probes import robots
from vbot.settings import resolve

torch.set_num_threads(1)


def throw(obs: torch.Tensor) -> torch.Tensor:
    """A policy that throws its legs about, so that episodes end at many times."""
    return 3 * torch.sin(40 * obs[:, 6:18]) + 2 * obs[:, -1:]


@pytest.fixture(scope="module")
def examined():
    settings = resolve("phase5", options={"env.task": "section001-contest"})
    judge = Evaluator(
        settings.config.env, 12, 5, purpose="validation", threads=1, reward_set=settings.reward_set, discount=0.99
    )
    return settings, judge, judge.examine(throw)


def test_records_are_of_the_same_episodes(examined):
    _, judge, records = examined
    plain = judge(throw)
    assert len(records) == 12
    assert sorted(records.number.tolist()) == list(range(12))
    for name in ("duration_s", "final_distance_m", "term_sums"):
        assert torch.equal(getattr(records.episodes, name), getattr(plain, name))
    assert len(records.episodes.duration_s.unique()) > 3  # or the order would not be tested


def test_the_keeper_and_the_recorder_of_episodes_agree(examined):
    """Row by row: the one orders by the end of the episodes, the other by environment."""
    settings, _, records = examined
    assert torch.allclose(records.steps * 0.02, records.episodes.duration_s, atol=1e-4)
    assert torch.allclose(records.raw_sums / records.steps[:, None], records.episodes.term_raw_means, atol=1e-6)
    assert (records.raw_discounted.abs() <= records.raw_sums.abs().amax() + 1e-6).all()
    assert (records.arrivals[~records.episodes.reached] == 0).all()
    assert records.terms == tuple(t.spec.name for t in settings.reward_set.terms)


def test_sums_of_a_keeper_by_hand():
    keeper = RecordKeeper(2, 1, 0.5)
    keeper.begin(robots(torch.tensor([3.0, 0.3])))
    live = torch.tensor([True, True])
    keeper.add(robots(torch.tensor([0.4, 0.3]), 1.0), torch.tensor([[8.0, 1.0]]), live)
    keeper.add(robots(torch.tensor([0.9, 0.3]), 2.0), torch.tensor([[4.0, 1.0]]), torch.tensor([True, False]))
    keeper.add(robots(torch.tensor([0.2, 0.9]), 0.5), torch.tensor([[2.0, 9.0]]), torch.tensor([True, False]))
    r = keeper.end(None, ("term",), "validation", 0, first=10)  # the outcomes are not looked at
    assert r.number.tolist() == [11, 10]  # the second ended first
    assert r.steps.tolist() == [1, 3]
    assert r.raw_sums.flatten().tolist() == [1.0, 14.0]
    assert r.raw_discounted.flatten().tolist() == [1.0, 8 + 4 / 2 + 2 / 4]
    assert r.raw_last.flatten().tolist() == [1.0, 2.0]
    assert r.arrivals.tolist() == [0, 2]  # one spawned at the target, the other came, left and came again
    assert r.top_speed_mps.tolist() == [1.0, 2.0]
    assert r.final_speed_mps.tolist() == [1.0, 0.5]


def test_a_value_goes_on_where_an_episode_is_cut_off(examined):
    _, _, records = examined
    k = len(records.terms)
    rates = torch.ones(k, dtype=torch.bool)
    weights = torch.zeros(k, dtype=torch.float64)
    alive = records.terms.index("alive_bonus")
    weights[alive] = 2.0
    value = records.value(weights, rates)
    steps = records.steps.double()
    # Not one of them reached: 2 a step, for ever where the episode did not end in a fall.
    expected = torch.where(records.episodes.fell, 2 * (1 - 0.99**steps) / 0.01, torch.tensor(200.0).double())
    assert not records.episodes.reached.any()
    assert torch.allclose(value, expected, rtol=1e-6)


def test_records_survive_a_file(examined, tmp_path):
    _, _, records = examined
    (tmp_path / "1.npz").write_bytes(pack(records))
    again = load(tmp_path / "1.npz")
    for f in dataclasses.fields(records):
        a, b = getattr(records, f.name), getattr(again, f.name)
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), f.name
        elif f.name != "episodes":
            assert a == b, f.name
    assert torch.equal(again.episodes.term_sums, records.episodes.term_sums)
    (tmp_path / "2.npz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"2\.npz holds no episode records"):
        load(tmp_path / "2.npz")
