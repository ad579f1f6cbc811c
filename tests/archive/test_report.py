"""The journal of a runs folder."""

import pytest
from run_files import make_run

from vbot.archive.report import enter, enter_training
from vbot.config import PPOConfig


def test_an_entry_says_what_was_run_what_changed_and_what_came_of_it(tmp_path):
    make_run(tmp_path / "runs" / "other", "kit", started="2026-11-21T12:00:00+0000")
    a = make_run(tmp_path / "runs" / "a", "phase5", started="2026-11-21T10:00:00+0000")
    b = make_run(
        tmp_path / "runs" / "b", "phase5", seed=1, started="2026-11-21T11:00:00+0000", successes=880,
        assignments=("reward.terms.forward_velocity=1.2", "ppo.rollouts=32", "reward.terms.departure_penalty=-5"),
        findings=(("fly-through", 2_000_000), ("lazy robot", 500_000), ("fly-through", 1_500_000)),
    )  # fmt: skip
    c = make_run(tmp_path / "runs" / "c", "phase5", seed=2, started="2026-11-21T10:30:00+0000")
    file = enter_training(a)
    assert file == tmp_path / "runs" / "REPORT.md"
    first = file.read_text()
    assert "- command: `python -m vbot.train --reward-set phase5`" in first
    assert "- the first run with phase5 here\n" in first
    assert "- diagnosis: no cheats seen\n" in first
    file.write_text(first + "\nA person wonders.\n")
    before = file.read_text()
    enter_training(c)
    enter_training(b)
    text = file.read_text()
    assert text.startswith(before)
    entry = text[text.index(" b\n") :]
    for line in (
        f"- fingerprint {b.meta()['fingerprint']}, reward set phase5, task section001, seed 1; 2,000,000 steps in 1:01",
        "- since c, the last run with phase5 here:",
        "  - `+ departure_penalty  -5  (--set)`",
        "  - `~ forward_velocity.scale: 0.8  (reward set phase5) -> 1.2  (--set)`",
        f"  - `~ ppo.rollouts: {PPOConfig().rollouts} -> 32`",
        # 220, 440, 660 and 880 of 1000 in the four evaluations; half of the rest fell.
        "| 25 % | 22.0 % | 22.0 % | 39.0 % |",
        "| 100 % | 88.0 % | 88.0 % | 6.0 % |",
        "- result: success 88.0 % [85.8, 89.9] of 1,000 fresh episodes, falls 6.0 %, 8.8 s to the target",
        "- diagnosis:",
        "  - warning: fly-through: fly-through was seen; try less of it",
        "  - seen earlier, no longer at the end: lazy robot (at 500,000 steps)",
        f"replay: `python -m vbot.play {tmp_path / 'runs' / 'b' / 'checkpoints' / 'best.pt'}`",
    ):
        assert line in entry
    assert (
        "- since a, the last run with phase5 here: the same reward, environment and algorithm; seed 2 after 0" in text
    )
    assert enter_training(b) is None  # once
    assert file.read_text() == text


def test_a_last_run_that_cannot_be_compared_is_no_obstacle(tmp_path):
    a = make_run(tmp_path / "a", started="2026-11-21T10:00:00+0000")
    b = make_run(tmp_path / "b", started="2026-11-21T11:00:00+0000", assignments=("ppo.rollouts=32",))
    (a.path / "config.yaml").write_text("reward: {name: swift, terms: {gone_term: {scale: 1.0}}}\n")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "result.json").write_text("{")
    enter_training(b)
    assert "what changed cannot be told: " in (tmp_path / "REPORT.md").read_text()


def test_entries_end_where_others_begin(tmp_path):
    for number in range(3):
        enter(tmp_path, f"run {number}", f"mark {number}", ["- a line"])
    lines = (tmp_path / "REPORT.md").read_text().splitlines()
    assert [line[-5:] for line in lines if line.startswith("## ")] == ["run 0", "run 1", "run 2"]
    assert lines[5:7] == ["", lines[6]]
    assert lines[6].startswith("## ")


def test_a_journal_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    (tmp_path / "REPORT.md").mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        enter(tmp_path, "run", "mark", [])
