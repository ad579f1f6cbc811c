"""Re-scoring recorded episodes: linear sums by hand, and what it refuses to tell."""

import dataclasses

import pytest
import torch

from vbot.audit.rescore import rescore, text
from vbot.errors import UserError
from vbot.evaluation import Evaluator
from vbot.settings import resolve

torch.set_num_threads(1)


def throw(obs: torch.Tensor) -> torch.Tensor:
    return 3 * torch.sin(40 * obs[:, 6:18]) + 2 * obs[:, -1:]


@pytest.fixture(scope="module")
def swift():
    settings = resolve("swift", options={"env.task": "section001-near", "ppo.discount_factor": 0.9})
    judge = Evaluator(
        settings.config.env, 10, 1, purpose="validation", threads=1, reward_set=settings.reward_set, discount=0.9
    )
    return settings, judge.examine(throw)


def reward_set(*assignments: str, base: str = "swift"):
    return resolve(base, assignments=assignments).reward_set


def successes(records, success):
    """The same records, success as told."""
    episodes = dataclasses.replace(records.episodes, success=success, fell=~success & records.episodes.fell)
    return dataclasses.replace(records, episodes=episodes)


def test_under_its_own_scales_a_return_is_what_was_recorded(swift):
    settings, records = swift
    same = rescore([records], settings.reward_set, settings.reward_set, 0.02)
    weights = torch.tensor([t.scale * (2 if t.spec.kind == "rate" else 1) for t in settings.reward_set.terms])
    assert torch.allclose(records.raw_sums @ weights.double(), records.episodes.returns, atol=1e-3)
    assert same.rank_correlation == pytest.approx(1.0)
    assert same.recorded == same.other
    assert same.other.left_out == {}


def test_other_scales_rank_the_episodes_by_their_sums(swift):
    """Alone, action_rate ranks by how quietly an episode went: success where quietest gives 1, where loudest 0."""
    settings, records = swift
    k = records.terms.index("action_rate")
    loud = records.raw_sums[:, k]
    quiet = loud < loud.median()
    zero = [f"reward.terms.{t}.scale=0" for t in records.terms if t != "action_rate"]
    other = reward_set(*zero)
    assert rescore([successes(records, quiet)], settings.reward_set, other, 0.02).other.auc_return == 1.0
    assert rescore([successes(records, ~quiet)], settings.reward_set, other, 0.02).other.auc_return == 0.0
    # and at three times the scale, three times the income, but the same order
    thrice = rescore([records], settings.reward_set, reward_set(*zero, "reward.terms.action_rate=-0.006"), 0.02)
    expected = float((-0.006 * 2 * loud)[records.episodes.timeout].mean()) if records.episodes.timeout.any() else None
    assert thrice.other.mean_return.get("timeout") == (pytest.approx(expected) if expected else None)


def test_terms_that_the_records_cannot_tell_are_left_out_and_named(swift):
    settings, records = swift
    other = reward_set("reward.terms.stay.speed_sigma=0.5", "reward.terms.alive_bonus=0.1")
    scored = rescore([records], settings.reward_set, other, 0.02).other
    assert set(scored.left_out) == {"stay", "alive_bonus"}
    assert scored.left_out["alive_bonus"] == "not recorded"
    assert "speed_sigma=0.5, recorded 0.15" in scored.left_out["stay"]


def test_what_is_not_linear_is_named(swift):
    settings = resolve("phase5", options={"env.task": "section001-near"})
    judge = Evaluator(
        settings.config.env, 4, 1, purpose="validation", threads=1, reward_set=settings.reward_set, discount=0.99
    )
    scored = rescore([judge.examine(throw)], settings.reward_set, settings.reward_set, 0.02)
    assert {"approach_scale", "position_tracking"} <= set(scored.other.bent)  # a clip, and a time decay
    assert "termination" not in scored.other.bent
    assert "holds for linear sums only" in text(scored)


def test_nothing_to_tell_is_an_error(swift):
    settings, records = swift
    with pytest.raises(UserError, match="no episode records"):
        rescore([], settings.reward_set, settings.reward_set, 0.02)
    kit = reward_set(base="kit")
    only = dataclasses.replace(kit, terms=tuple(t for t in kit.terms if t.spec.name not in records.terms))
    with pytest.raises(UserError, match="'kit' cannot be re-scored"):
        rescore([records], settings.reward_set, only, 0.02)


def test_without_both_outcomes_there_is_no_area(swift):
    settings, records = swift
    none = successes(records, torch.zeros(len(records), dtype=torch.bool))
    scored = rescore([none], settings.reward_set, settings.reward_set, 0.02)
    assert scored.other.auc_return is None
    assert "it needs successes and failures" in text(scored)
