"""What a search takes from the library and leaves in it and in the journal."""

import math
import time
from pathlib import Path

import pytest
from run_files import EPISODES, make_run, write_run

from vbot.archive.library import Library
from vbot.errors import UserError
from vbot.outcomes import read
from vbot.run import read_lines
from vbot.search.__main__ import main
from vbot.search.executor import Ending, Job, State
from vbot.search.study import Study
from vbot.settings import resolve
from vbot.terminal import percent
from vbot.yaml_files import read_yaml, write_yaml

OPTIONS = ["--trial-steps", "400", "--sampler", "random", "--only", "learning_rate", "--no-audit"]


class Training:
    """Stands in for a training's process: its run is there at once, as good as its learning rate is near 3e-4."""

    def __init__(self, job: Job) -> None:
        self.job = job
        if not job.run_dir.exists():
            job.run_dir.parent.mkdir(parents=True, exist_ok=True)
            file = job.run_dir.with_suffix(".yaml")
            file.write_text(write_yaml(job.config))
            settings = resolve(config_file=file)
            rate = 1 - abs(math.log10(settings.config.ppo.learning_rate) + 3.5) / 3
            write_run(
                job.run_dir, settings, successes=round(rate * EPISODES), started=time.strftime("%Y-%m-%dT%H:%M:%S%z")
            )

    def poll(self) -> Ending:
        return Ending(State.COMPLETE)

    def evaluations(self) -> list[dict]:
        return read_lines(self.job.run_dir / "eval.jsonl")

    def ask_to_stop(self, why: Ending) -> None: ...
    def stop(self, why: Ending, within_s: float) -> None: ...


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(Study.__init__.__kwdefaults__, "start", Training)
    monkeypatch.setitem(Study.__init__.__kwdefaults__, "poll_s", 0.0)
    monkeypatch.setenv("VBOT_LIBRARY", "reward_library")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(name: str, *more: str, trials: int = 3) -> list[float]:
    """Learning rates of the trials, in their order."""
    main(["--trials", str(trials), *OPTIONS, "--out", f"runs/{name}", "--quiet", *more])
    return rates(name)


def rates(name: str) -> list[float]:
    trials = read_yaml(Path("runs") / name / "state.yaml")["trials"]
    return [t["parameters"]["ppo.learning_rate"] for t in trials if t["seed"] == trials[0]["seed"]]


def test_a_search_archives_its_trials_and_enters_itself_once(work):
    tried = search("one", "--seed", "4")
    library = Library(Path("reward_library"))
    known = {e["settings"]["ppo"]["learning_rate"]: e for e in library.entries("config")}
    assert set(known) == set(tried)
    best = max(known.values(), key=lambda e: e["results"][0]["success"])
    assert [row["seed"] for row in best["experiments"]] == [4, 5, 6]  # the best and the defaults are trained again
    assert best["experiments"][0]["run"].startswith("runs/one/trials/")
    text = Path("runs/REPORT.md").read_text()
    assert text.count("\n## ") == 1
    for part in (
        " one\n", "3 trials of 400 steps", "(3 COMPLETE); 1 parameter of phase5 on section001, sampler random, seed 4",
        f"fingerprint {best['fingerprint']}",
        f"`~ ppo.learning_rate: 0.002 -> {best['settings']['ppo']['learning_rate']}`",
        f"| 100 % | {percent(best['results'][0]['success'])} |", "diagnosis: no cheats seen",
        "replay: `python -m vbot.play runs/one/trials/",
    ):  # fmt: skip
        assert part in text
    with pytest.raises(UserError, match="has finished"):
        main(["--resume", "runs/one", "--quiet"])
    assert Path("runs/REPORT.md").read_text() == text
    assert not list(Path("runs").rglob("trials/REPORT.md"))


def test_a_search_that_is_to_leave_nothing_leaves_nothing(work):
    search("quiet", "--no-archive")
    assert not Path("reward_library").exists()
    assert not Path("runs/REPORT.md").exists()


def test_a_search_in_stages_is_one_entry(work):
    stages = ["--stage", "section001-near,section001-far"]
    main(["--trials", "2", *OPTIONS, "--out", "runs/staged", "--quiet", *stages])
    text = Path("runs/REPORT.md").read_text()
    assert text.count("\n## ") == 1
    assert "- stage section001-near\n" in text
    assert "- stage section001-far\n" in text
    tasks = {e["task"] for e in Library(Path("reward_library")).entries("config")}
    assert tasks == {"section001-near", "section001-far"}
    with pytest.raises(UserError, match="has finished"):
        main(["--resume", "runs/staged", "--quiet"])
    assert Path("runs/REPORT.md").read_text() == text


def test_a_warm_start_tries_the_best_and_repeats_nothing(work, capsys):
    first = search("first", "--seed", "1", trials=4)
    by_success = sorted(first[1:], key=lambda rate: abs(math.log10(rate) + 3.5))
    # As many steps: all of it is known, and none of it comes again, though the seed is the same.
    again = search("again", "--seed", "1", "--warm-start", trials=4)
    assert (again[0], set(again) & set(first)) == (0.002, {0.002})
    # Another number of steps: the best of both searches, the best first.
    known = sorted({*first, *again} - {0.002}, key=lambda rate: abs(math.log10(rate) + 3.5))
    longer = search("longer", "--seed", "2", "--warm-start", "--trial-steps", "800", trials=4)
    assert longer == [0.002, *known[:3]]
    assert by_success[0] in longer[1:]
    more = search("more", "--seed", "2", "--warm-start", "--trial-steps", "1600", trials=8)
    assert more[:6] == [0.002, *known[:5]]
    capsys.readouterr()
    # Another task: nothing is known there.
    main(["--trials", "1", *OPTIONS, "--out", "runs/far", "--task", "section001-far", "--warm-start"])
    assert "warm start: reward_library has nothing with these terms on section001-far" in capsys.readouterr().out


def test_what_a_space_cannot_express_is_left_out_with_the_reason(work, capsys):
    library = Library(Path("reward_library"))
    for number, changes in enumerate(
        (
            ["ppo.learning_rate=5e-3"],
            ["ppo.learning_rate=5e-4", "env.action_scale=0.3"],
            ["ppo.learning_rate=4e-4"],
            ["ppo.learning_rate=6e-4"],
            ["ppo.learning_rate=7e-4"],
        )
    ):
        run = make_run(
            work / "runs" / str(number), "phase5", assignments=tuple(changes), successes=0 if number == 4 else 900
        )
        library.add([(read(run.path), "finished")])
    (name,) = [e["name"] for e in library.entries("config") if e["settings"]["ppo"]["learning_rate"] == 6e-4]
    entry = library.decide(name, lambda e: e.update(status="rejected", decided_by="person", reason="shakes"))
    assert entry["status"] == "rejected"
    capsys.readouterr()
    main(["--trials", "2", *OPTIONS, "--out", "runs/study", "--warm-start"])
    assert rates("study") == [0.002, 4e-4]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warm start: ")]
    assert len(said) == 4
    assert any("(90.0 %): ppo.learning_rate 0.005 is not in 1e-05 to 0.001, logarithmic" in line for line in said)
    assert any("env.action_scale is 0.3 there, 0.5 here, and is not searched" in line for line in said)
    assert any("(0.0 %): nothing of it has succeeded" in line for line in said)


def test_a_warm_start_is_in_the_journal_whatever_becomes_of_the_library(work, ctrl_c_in_trial_1):
    search("first", "--seed", "1", trials=4)
    options = ["--seed", "3", "--warm-start", "--trial-steps", "800", "--no-archive"]
    whole = search("whole", *options, trials=6)
    with ctrl_c_in_trial_1():
        search("cut", *options, trials=6)
    Path("reward_library").rename("gone")
    main(["--resume", "runs/cut", "--quiet", "--no-archive"])
    assert rates("cut") == whole
