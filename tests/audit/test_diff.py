"""The effective-reward diff of sets, configurations and runs."""

import json

import pytest

from vbot.audit.__main__ import main
from vbot.audit.diff import diff, side, text
from vbot.errors import UserError
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
from vbot.run import Run
from vbot.settings import resolve

PLUGIN = '''
from vbot.rewards import State, reward

@reward(scale=0.5)
def high(s: State):
    """Height; m."""
    return s.base_pos_w[:, 2]{more}
'''


pytestmark = pytest.mark.usefixtures("own_terms")


def make_run(directory, more: str = ""):
    """A run directory with a plugin of its own, as training begins one."""
    directory.mkdir()
    (directory / "high.py").write_text(PLUGIN.format(more=more))
    with REGISTRY.borrowed():
        files = load_plugins([directory / "high.py"])
        settings = resolve("swift", assignments=["reward.terms.high=0.7", "reward.terms.stay=2"])
        return Run.create(directory / "run", settings.config, settings.fingerprint, files, settings.term_code).path


def test_the_published_sets_differ_as_published():
    d = diff(side("phase5"), side("final"))
    assert d.added == ["departure_penalty"]
    assert d.removed == []
    changes = {c.key: (c.a, c.b, c.origin_a, c.origin_b) for c in d.changed}
    assert changes["terms.arrival_bonus.scale"] == (100.0, 160.0, "reward set phase5", "reward set final")
    after_reach = "terms.fine_position_tracking.after_reach"
    assert changes[after_reach] == (False, True, "registered default", "reward set final")
    assert changes["time_decay.rate"] == (0.5, None, "reward set phase5", None)
    assert "terms.position_tracking.sigma" not in changes
    assert (d.code_changed, d.code_unknown) == ([], [])


def test_a_set_does_not_differ_from_itself():
    d = diff(side("swift"), side("swift"))
    assert d.same
    assert "the rewards are the same" in text(d)


def test_a_run_against_its_set_shows_what_was_typed(tmp_path):
    d = diff(side("swift"), side(str(make_run(tmp_path / "a"))))
    assert d.added == ["high"]
    (change,) = d.changed
    assert (change.key, change.a, change.b, change.origin_b) == ("terms.stay.scale", 1.0, 2, "--set")
    assert "+ high  0.7  (--set)" in text(d)
    assert "high" not in REGISTRY  # a run's plugin is loaded for its side alone


def test_changed_code_of_a_plugin_is_seen_though_its_scale_is_the_same(tmp_path):
    a, b = (side(str(make_run(tmp_path / name, more))) for name, more in (("a", ""), ("b", " ** 2")))
    d = diff(a, b)
    assert (d.added, d.removed, d.changed) == ([], [], [])
    assert d.code_changed == ["high"]
    assert not d.same
    assert "! high: its code differs" in text(d)


def test_code_that_a_run_of_old_did_not_record_is_said_to_be_unknown(tmp_path):
    path = make_run(tmp_path / "a")
    meta = json.loads((path / "meta.json").read_text())
    del meta["term_code"]
    (path / "meta.json").write_text(json.dumps(meta))
    d = diff(side("swift"), side(str(path)))
    assert "stay" in d.code_unknown
    assert "not recorded" in text(d)


def test_a_configuration_file_is_a_side_too(tmp_path):
    (tmp_path / "mine.yaml").write_text("reward: {set: swift, terms: {trot: 0.4}}\n")
    d = diff(side("swift"), side(str(tmp_path / "mine.yaml")))
    assert [(c.key, c.a, c.b) for c in d.changed] == [("terms.trot.scale", 0.2, 0.4)]


def test_what_is_no_side_is_named(tmp_path):
    with pytest.raises(UserError, match="--diff swft: no reward set is named 'swft'; did you mean 'swift'"):
        side("swft")
    with pytest.raises(UserError, match=r"is no run directory: it has no config\.yaml"):
        side(str(tmp_path))


def test_the_command_prints_it(capsys):
    main(["--diff", "phase5", "final", "--json"])
    assert json.loads(capsys.readouterr().out)["added"] == ["departure_penalty"]
    main(["--diff", "phase5", "final"])
    assert "~ arrival_bonus.scale: 100.0  (reward set phase5) -> 160.0  (reward set final)" in capsys.readouterr().out
