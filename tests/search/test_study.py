"""Studies: what is asked, judged, retried and remembered, with runs that take no time."""

import json
from pathlib import Path

import pytest

from vbot.config import Config
from vbot.errors import UserError
from vbot.ranges import Uniform
from vbot.search.executor import Ending, Job, State
from vbot.search.journal import Journal
from vbot.search.objective import Objective
from vbot.search.records import Plan
from vbot.search.samplers import make_sampler
from vbot.search.space import Parameter, Space
from vbot.search.study import Study
from vbot.settings import resolve
from vbot.yaml_files import read_yaml

STEPS = 400
SPACE = Space(
    (Parameter("ppo.entropy_loss_scale", Uniform(0.0, 1.0), 0.5), Parameter("ppo.value_clip", Uniform(0, 1), 0.2))
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeRuns:
    """Runs that take ``seconds`` each on a clock of their own, and end as ``behave`` says of (trial, seed, attempt)."""

    def __init__(self, clock: Clock, seconds: float = 10.0, behave=None) -> None:
        self.clock, self.seconds, self.behave = clock, seconds, behave or (lambda *_: State.COMPLETE)
        self.jobs: list[Job] = []
        self.die_after: int | None = None
        self.looks = 4  # at a run until it ends

    def __call__(self, job: Job) -> "FakeRun":
        self.jobs.append(job)
        if self.die_after is not None and len(self.jobs) > self.die_after:
            raise KeyboardInterrupt
        return FakeRun(self, job, sum(j.run_dir == job.run_dir for j in self.jobs))


class FakeRun:
    def __init__(self, runs: FakeRuns, job: Job, attempt: int) -> None:
        self.runs, self.job, self.attempt = runs, job, attempt
        self.end: Ending | None = None
        self.evaluated = 0

    def rate(self) -> float:
        """Best at an entropy of 0.3; the seed adds a little."""
        return 0.9 - abs(self.job.config["ppo"]["entropy_loss_scale"] - 0.3) - 0.01 * self.job.config["train"]["seed"]

    def poll(self) -> Ending | None:
        if self.end is None:
            self.runs.clock.now += self.runs.seconds / self.runs.looks
            self.evaluated += 4 // self.runs.looks
            if self.evaluated == 4:
                trial = int(self.job.run_dir.name[:3])
                self.end = Ending(self.runs.behave(trial, self.job.config["train"]["seed"], self.attempt), "")
        return self.end

    def evaluations(self):
        return [
            {"steps": 100 * n, "success_rate": self.rate() * n / 4, "time_to_target_s": 5.0}
            for n in range(1, self.evaluated + 1)
        ]

    def ask_to_stop(self, why: Ending) -> None:
        self.end = self.end or why

    def stop(self, why: Ending, within_s: float) -> None:
        self.ask_to_stop(why)


@pytest.fixture(scope="module")
def config() -> Config:
    return resolve("kit", options={"train.steps": STEPS}).config


@pytest.fixture
def study(tmp_path, config):
    """Open the study of a directory, new or as its journal says."""

    def study(runs: FakeRuns, name="study", trials=8, sampler="random", **plan) -> Study:
        directory: Path = tmp_path / name
        directory.mkdir(exist_ok=True)
        plan = Plan(config.flat(), sampler, 0, trials, plan.pop("budget_s", None), **plan)
        journal = Journal(directory)
        if not journal.events:
            journal.append("study", elapsed_s=0.0)
        return Study(
            directory,
            plan,
            journal,
            SPACE,
            make_sampler(sampler, SPACE, 0),
            Objective({"success_rate": 1.0}, 20.0),
            start=runs,
            say=lambda line: None,
            clock=runs.clock,
            poll_s=0.0,
        )

    return study


def states(s: Study) -> list[str | None]:
    return [str(r.state) if r.state else None for r in s.runs.values()]


def test_every_trial_is_run_and_the_best_three_with_two_more_seeds(study):
    runs = FakeRuns(Clock())
    s = study(runs, prune=False)
    s.search()
    assert s.finished
    assert len(s.points) == 8
    assert s.points[0] == SPACE.defaults()
    assert states(s) == ["COMPLETE"] * len(s.runs)
    first = sorted(range(8), key=lambda t: abs(s.points[t]["ppo.entropy_loss_scale"] - 0.3))[:3]
    again = first if 0 in first else [*first, 0]  # the defaults are what the best is compared with
    assert [(r.trial, r.seed) for r in list(s.runs.values())[8:]] == [(t, seed) for seed in (1, 2) for t in again]
    assert s.ranked()[0][0] == first[0]
    # Mean of the last three of four evaluations: rate * (2 + 3 + 4) / 12.
    best = s.runs[f"{first[0]:03}"]
    assert best.objective == pytest.approx((0.9 - abs(s.points[first[0]]["ppo.entropy_loss_scale"] - 0.3)) * 0.75)


def test_a_run_trains_what_was_asked_for(study, config):
    runs = FakeRuns(Clock())
    s = study(runs, trials=2, prune=False)
    s.search()
    for job in runs.jobs:
        point = s.points[int(job.run_dir.name[:3])]
        assert job.config["ppo"]["entropy_loss_scale"] == point["ppo.entropy_loss_scale"]
        assert job.config["train"]["steps"] == STEPS
        assert job.config["reward"] == config.to_dict()["reward"]
    assert [job.config["train"]["seed"] for job in runs.jobs[:2]] == [0, 0]


def test_a_crash_is_tried_three_times_and_never_judged(study):
    runs = FakeRuns(Clock(), behave=lambda trial, *_: State.CRASHED if trial == 1 else State.COMPLETE)
    s = study(runs, trials=3, prune=False)
    s.search()
    assert sum(job.run_dir.name == "001" for job in runs.jobs) == 3
    assert (s.runs["001"].state, s.runs["001"].objective) == (State.CRASHED, None)
    assert s.sampler.trials[1].state == "lost"
    assert all(r.trial != 1 for r in s.runs.values() if r.seed != 0)


def test_a_kill_that_does_not_come_again_costs_nothing(study):
    runs = FakeRuns(Clock(), behave=lambda t, s, attempt: State.KILLED if t == 1 and attempt == 1 else State.COMPLETE)
    s = study(runs, trials=3, prune=False)
    s.search()
    assert s.runs["001"].state is State.COMPLETE


def test_divergence_is_not_tried_again_and_is_remembered(study):
    runs = FakeRuns(Clock(), behave=lambda trial, *_: State.DIVERGED if trial == 1 else State.COMPLETE)
    s = study(runs, trials=3, prune=False)
    s.search()
    assert sum(job.run_dir.name == "001" for job in runs.jobs) == 1
    assert s.sampler.trials[1].state == "infeasible"
    assert s.runs["001"].objective is None


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("sampler", ["random", "perturb", "gp"])
def test_a_study_that_was_killed_again_and_again_asks_for_the_same_points(study, sampler, jobs):
    whole = study(FakeRuns(Clock()), "whole", sampler=sampler, jobs=1)
    whole.search()
    for _ in range(40):
        runs = FakeRuns(Clock())
        runs.die_after = 1 if jobs == 1 else 2  # a new process each time; the next start after that kills it
        s = study(runs, "killed", sampler=sampler, jobs=jobs)
        try:
            s.search()
        except KeyboardInterrupt:
            s._journal.close()
            continue
        break
    assert s.finished
    if jobs == 1:
        assert s.points == whole.points
        assert {n: (r.state, r.objective) for n, r in s.runs.items()} == {
            n: (r.state, r.objective) for n, r in whole.runs.items()
        }
    assert len({json.dumps(p, sort_keys=True) for p in s.points}) == 8


def test_the_worse_half_is_pruned_at_shared_steps_and_judged_by_them_alone(study):
    runs = FakeRuns(Clock())
    s = study(runs, trials=12)
    s.search()
    pruned = [r for r in s.runs.values() if r.state is State.PRUNED]
    assert pruned
    assert all(r.trial >= 4 and r.seed == 0 for r in pruned)
    for r in pruned:
        rate = 0.9 - abs(s.points[r.trial]["ppo.entropy_loss_scale"] - 0.3)
        at_100, at_200 = rate / 4, rate * 3 / 8  # the one evaluation, or the mean of two
        assert r.objective == pytest.approx(at_100) or r.objective == pytest.approx(at_200)
    assert all(r.state is State.COMPLETE for t in s._again() for r in s.runs.values() if r.trial == t)


def test_whether_a_look_came_in_time_does_not_decide_what_is_pruned(study):
    often, seldom = FakeRuns(Clock()), FakeRuns(Clock())
    seldom.looks = 1  # the run has finished before the first look at it
    a, b = study(often, "a", trials=12), study(seldom, "b", trials=12)
    a.search()
    b.search()
    assert a.points == b.points
    assert [(r.state, r.objective) for r in a.runs.values()] == [(r.state, r.objective) for r in b.runs.values()]


def test_the_budget_counts_over_resumes_and_leaves_time_to_train_the_best_again(study):
    clock = Clock()
    s = study(FakeRuns(clock, seconds=10), trials=100, budget_s=200, prune=False)
    s.search()
    # No more than 0.4 of the budget is kept for training again: 12 points in 120 s, then seeds 1 and 2 of four trials.
    assert len(s.points) == 12
    assert 0 not in [r.trial for r in sorted(s._firsts(), key=lambda r: -r.objective)[:3]]
    assert len(s.runs) == 20
    assert clock.now - 100 <= 200
    spent_s = s.elapsed_s
    clock.now += 10_000  # time in which no search runs does not count
    again = study(FakeRuns(clock), trials=100, budget_s=200, prune=False)
    assert again.finished
    assert again.elapsed_s == pytest.approx(spent_s, abs=0.01)


def test_a_seed_that_the_budget_leaves_unfinished_decides_nothing(study):
    # 4 trials of 10 s, then three of them with seed 1, and 25 s left.
    s = study(FakeRuns(Clock(), seconds=10), trials=4, budget_s=95, prune=False)
    s.search()
    assert 0 < sum(r.seed == 2 for r in s.runs.values()) < len(s._again())
    assert {t for t, _ in s.ranked()} == set(s._again())
    assert all([r.seed for r in runs] == [0, 1] for _, runs in s.ranked())


def test_a_trial_that_fails_with_another_seed_is_not_the_best(study):
    def behave(trial, seed, attempt):
        return State.DIVERGED if seed == 1 and trial == leader else State.COMPLETE

    leader = None
    whole = study(FakeRuns(Clock()), "whole", trials=4, prune=False)
    whole.search()
    leader = whole.ranked()[0][0]
    s = study(FakeRuns(Clock(), behave=behave), trials=4, prune=False)
    s.search()
    assert [t for t, _ in s.ranked()] == [t for t, _ in whole.ranked()[1:]]


def test_a_trial_is_stopped_at_the_end_of_the_budget(study):
    clock = Clock()
    s = study(FakeRuns(clock, seconds=1000), trials=5, budget_s=100, prune=False)
    s.search()
    assert clock.now - 100 <= 100 + 250 + 60  # one look of 250 s
    assert s.runs["000"].state is None
    assert s.runs["000"].reason == "the budget is spent"
    assert s.runs["000"].label == "STOPPED"


def test_ctrl_c_stops_the_runs_and_the_study_goes_on_where_it_was(study):
    runs = FakeRuns(Clock())
    runs.die_after = 3
    s = study(runs, prune=False)
    with pytest.raises(KeyboardInterrupt):
        s.search()
    assert not s.finished
    s._journal.close()
    again = study(FakeRuns(Clock()), prune=False)
    assert again.points == s.points
    again.search()
    assert again.points[: len(s.points)] == s.points
    assert again.finished


def test_the_snapshot_holds_what_the_study_knows(study, tmp_path):
    s = study(FakeRuns(Clock()), trials=3, prune=False)
    s.search()
    state = read_yaml(tmp_path / "study" / "state.yaml")
    assert state["id"] == "study"
    assert state["status"] == "finished"
    assert state["best"] == s.ranked()[0][0]
    assert len(state["trials"]) == 9
    for t in state["trials"]:
        assert set(t) >= {"id", "state", "parameters", "objective", "metrics", "seed", "run_dir"}
        assert t["parameters"] == s.points[t["id"]]


def test_an_event_of_another_version_is_an_error(study, tmp_path):
    (tmp_path / "study").mkdir()
    journal = Journal(tmp_path / "study")
    journal.append("study", elapsed_s=0.0)
    journal.append("dance", elapsed_s=0.0)
    journal.close()
    with pytest.raises(UserError, match="an event of another version: 'dance'"):
        study(FakeRuns(Clock()))
