"""The historical cases: every cheat that cost days is named before any training, and good sets are left in peace."""

import json

import pytest
import torch

from vbot.audit import audit, behaviours, brief
from vbot.audit.__main__ import main
from vbot.audit.report import text
from vbot.audit.subject import Subject
from vbot.findings import Finding
from vbot.rewards.plugins import load_plugins
from vbot.settings import Settings, resolve

torch.set_num_threads(1)

MOAT = "reward.terms.near_target_speed={{scale: -4.0, radius: {radius}}}"


def settings(reward_set: str, *assignments: str) -> Settings:
    return resolve(reward_set, assignments=assignments)


def found(report, *levels: str) -> set[str]:
    return {f.name for f in report.findings if f.level in levels}


@pytest.fixture(scope="module")
def reports():
    return {name: audit(settings(name), threads=1) for name in ("swift", "phase5", "final")}


# Good sets.


def test_swift_has_a_clean_bill(reports):
    assert found(reports["swift"], "error", "warning") == set()
    assert not reports["swift"].failed
    assert {p.kind for p in reports["swift"].plans} == {"arrive and stop"}


def test_final_has_no_error_and_its_one_warning_gives_its_reason(reports):
    """Robots spawn beyond the safe circle, where standing costs 4.44 per m and 10 ms and a fall 75 once."""
    report = reports["final"]
    assert found(report, "error") == set()
    (warning,) = [f for f in report.findings if f.level == "warning"]
    assert warning.name == "die early"
    assert warning.numbers["distance_m"] == 11.0
    assert warning.numbers["fall"] > warning.numbers["stand"]
    # By hand: 4.44 * (11 - 10) * 2 per step of 20 ms for ever at 0.99, less what the navigation terms pay there.
    assert -888 < warning.numbers["stand"] < -700


def test_phase5_is_warned_of_what_happened_to_it(reports):
    """It was published with a time decay and with fine tracking before the reach, and it trains all the same."""
    report = reports["phase5"]
    assert found(report, "error") == set()
    assert {"die early", "conservative hovering"} <= found(report, "warning")


# The cheats of old.


def test_alive_against_a_small_arrival_is_the_lazy_robot():
    changes = ("alive_bonus=0.5", "arrival_bonus=15", "inner_fence_bonus=null")
    report = brief(settings("phase5", *(f"reward.terms.{c}" for c in changes), "reward.time_decay=null"))
    (lazy,) = [f for f in report.findings if f.name == "lazy robot"]
    assert lazy.level == "error"
    assert report.failed
    # 0.5 per 10 ms for 20 s
    assert lazy.numbers["alive_total"] == pytest.approx(0.5 * 2000, rel=1e-4)
    assert lazy.numbers["arrival_total"] == pytest.approx(15, rel=1e-4)


def test_a_narrow_tracking_term_alone_is_a_dead_gradient_far_away(tmp_path):
    file = tmp_path / "narrow.yaml"
    file.write_text("terms: {position_tracking: {scale: 2.0, sigma: 0.5}, arrival_bonus: 10, termination: -200}")
    report = brief(settings(str(file)))
    (dead,) = [f for f in report.findings if f.name == "dead gradient"]
    assert dead.level == "error"
    assert {8.0, 11.0} <= set(dead.numbers["dead_m"])
    assert "discount" in found(report, "warning")  # nothing but an arrival that the discount hides leads there
    file.write_text("terms: {position_tracking: {scale: 2.0, sigma: 5.0}, arrival_bonus: 10, termination: -200}")
    assert "dead gradient" not in found(brief(settings(str(file))), "error")


def test_a_speed_penalty_from_2_m_on_is_a_moat_and_from_half_a_metre_is_none():
    moat = brief(settings("phase5", MOAT.format(radius=2.0)))
    assert "deceleration moat" in found(moat, "error")
    (finding,) = [f for f in moat.findings if f.name == "deceleration moat"]
    # Walking 0.3 m/s there pays 0.8 * 0.3 + 5 * 0.3 * 0.01 = 0.255 and costs 4 * 0.3^2 = 0.36 per 10 ms, and the gait.
    assert finding.numbers["advantage_per_s"] == pytest.approx(-10.5, abs=1.0)
    assert "deceleration moat" not in found(brief(settings("phase5", MOAT.format(radius=0.5))), "error", "warning")


@pytest.mark.parametrize("base", ["phase5", "kit"])
def test_forward_velocity_without_a_cap_is_a_sprint_that_ends_in_a_crash(base):
    change = "reward.terms.forward_velocity={{scale: 1.5, max_speed: {cap}}}"

    def crashes(cap: float) -> list[Finding]:
        subject = Subject(settings(base, change.format(cap=cap)))
        findings = behaviours.judge(behaviours.play_scripts(subject), subject.names)
        return [f for f in findings if f.name == "sprint-crash"]

    (crash,) = crashes(10.0)  # phase5's discount, 0.995, alone would not tell: what pays soon counts too
    assert crash.level == "error"
    assert next(iter(crash.numbers["deciding_terms"])) == "forward_velocity"
    assert crashes(0.6) == []


def test_time_decay_pays_for_dying_early():
    decaying = brief(settings("final", "reward.time_decay={rate: 0.5, floor: 0.5}"))
    assert any(f.name == "die early" and "time decay" in f.message for f in decaying.findings)
    assert not any("time decay" in f.message for f in brief(settings("final")).findings)


def test_fine_tracking_before_the_reach_is_hovering():
    """The published 97 %: (1.34 + 2.66 + 1 + 1.43 + 0.15) of (1.44 + 5.36) at 0.55 m against 0.2 m."""
    report = brief(settings("phase5"))
    (hover,) = [f for f in report.findings if f.name == "conservative hovering"]
    assert hover.numbers["outside_per_s"] / hover.numbers["at_target_per_s"] == pytest.approx(0.97, abs=0.01)
    gated = brief(settings("phase5", "reward.terms.fine_position_tracking.after_reach=true"))
    assert "conservative hovering" not in found(gated, "error", "warning")


def test_paying_every_entry_is_reach_and_farm(tmp_path, own_terms):
    """A bonus that is not once per episode: the cause named for it."""
    (tmp_path / "farm.py").write_text(
        "from vbot.rewards import State, reward\n"
        "@reward(scale=50.0, kind='event')\n"
        "def every_entry(s: State):\n"
        '    """1 on every entry into 0.5 m; an event."""\n'
        "    return ((s.distance < 0.5) & (s.prev_distance >= 0.5)).float()\n"
    )
    (tmp_path / "farm.yaml").write_text("terms: {progress: 10, every_entry: 50, termination: -100}")
    load_plugins([tmp_path / "farm.py"])
    assert "reach-and-farm" in found(brief(settings(str(tmp_path / "farm.yaml"))), "error")


def test_a_cheap_fall_after_the_arrival_is_touch_and_die(tmp_path):
    """Every step costs effort, 0.6 a step for a robot that stands, and a fall hardly anything."""
    (tmp_path / "touch.yaml").write_text("terms: {progress: 10, arrival_bonus: 100, torques: -1e-3, termination: -1}")
    assert "touch-and-die" in found(brief(settings(str(tmp_path / "touch.yaml"))), "error")


def test_a_term_with_memory_is_paid_for_its_steps_and_not_for_lasting(tmp_path, own_terms):
    """A potential, 50 at the target and 0 outside: entering pays it once, however long the robot then stands there."""
    (tmp_path / "arriving.py").write_text(
        "import torch\n"
        "from vbot.rewards import State, reward\n"
        "@reward(scale=50.0, kind='event')\n"
        "class arriving:\n"
        '    """Change of a potential that is 1 at the target; an event."""\n'
        "    def __init__(self, num_envs: int, device: torch.device) -> None:\n"
        "        self.before = torch.zeros(num_envs, device=device)\n"
        "    def __call__(self, s: State) -> torch.Tensor:\n"
        "        now = s.reached.float()\n"
        "        self.before, gain = now, now - self.before\n"
        "        return gain\n"
        "    def reset(self, mask: torch.Tensor) -> None:\n"
        "        self.before = torch.where(mask, 0.0, self.before)\n"
    )
    (tmp_path / "set.yaml").write_text("terms: {progress: 30, arriving: 50, termination: -100}")
    load_plugins([tmp_path / "arriving.py"])
    report = brief(settings(str(tmp_path / "set.yaml")))
    assert found(report, "error", "warning") == set()
    assert report.budget["arrival_events"] == {"arriving": pytest.approx(50.0)}
    k = list(report.names).index("arriving")
    earned = {o.behaviour: float(o.sums[k]) for o in report.outcomes if o.distance_m == 3.0}
    assert earned["walk at 1 m/s and stop"] == pytest.approx(50.0)
    assert earned["fly through"] == pytest.approx(0.0)  # in and out again
    assert earned["hover at 0.55 m"] == 0.0


# Ghosts.


def test_what_changes_nothing_is_a_ghost(tmp_path):
    (tmp_path / "ghosts.yaml").write_text(
        "terms: {progress: 30, arrival_bonus: 0, near_target_speed: {scale: -1, slope: 0.5},"
        " boundary_penalty: {scale: -3, margin: -5.0}, stay: {scale: 1.0, speed_sigma: 0.3}}"
    )
    ghosts = [f for f in brief(settings(str(tmp_path / "ghosts.yaml"))).findings if f.name == "ghost term"]
    said = {f.numbers["term"]: (f.level, f.message) for f in ghosts}
    assert said["arrival_bonus"][0] == "warning"
    assert "doubling its scale of 0 changes no reward" in said["arrival_bonus"][1]
    assert said["boundary_penalty"][0] == "warning"  # from 16 m on: nobody gets there
    assert "never fires" in said["boundary_penalty"][1]
    assert said["near_target_speed"][0] == "note"  # the slope is clipped to [0, 0]
    assert "slope=0.5 has no effect" in said["near_target_speed"][1]
    assert set(said) == {"arrival_bonus", "boundary_penalty", "near_target_speed"}


# The numbers.


def test_incomes_of_behaviours_by_hand(tmp_path):
    """progress pays 30 per m up to 1.5 m/s, so a walk from 6 m to 0.2 m pays 174, however fast; a fall costs 100."""
    (tmp_path / "set.yaml").write_text("terms: {progress: 30, termination: -100}")
    report = audit(settings(str(tmp_path / "set.yaml")), threads=1)  # brief leaves out physics
    at_6 = {o.behaviour: o for o in report.outcomes if o.distance_m == 6.0}
    assert float(at_6["walk at 0.6 m/s and stop"].sums.sum()) == pytest.approx(30 * 5.8, rel=1e-3)
    assert float(at_6["walk at 1.5 m/s and stop"].sums.sum()) == pytest.approx(30 * 5.8, rel=1e-3)
    assert float(at_6["hover at 2 m"].sums.sum()) == pytest.approx(30 * 4.0, rel=1e-3)
    assert at_6["fall at once"].sums.tolist() == pytest.approx([0.0, -100.0])
    assert at_6["fall at once"].value == pytest.approx(-100.0)
    assert at_6["sprint and crash"].ended == "fell"
    assert at_6["walk at 0.6 m/s and stop"].ended == "success"
    assert at_6["fly through"].ended == at_6["leave and re-enter"].ended == "time"
    # 5.8 m at 0.6 m/s, the start and the braking at 3 m/s^2 (0.1 s each), and half a second of standing
    assert at_6["walk at 0.6 m/s and stop"].duration_s == pytest.approx(5.8 / 0.6 + 0.2 + 0.5, abs=0.15)
    assert at_6["zero action (physics)"].ended == "time"


def test_a_success_goes_on_being_worth_what_its_last_state_pays(tmp_path):
    """alone, position_tracking pays exp(-0.2 / 5) * 2 a step for ever: the value is that of never being cut off."""
    (tmp_path / "set.yaml").write_text("terms: {position_tracking: {scale: 1.0, sigma: 1.0e+9}}")
    report = brief(settings(str(tmp_path / "set.yaml")))
    for outcome in report.outcomes:
        if outcome.ended != "fell":
            assert outcome.value == pytest.approx(2 / (1 - 0.99), rel=1e-3)  # 2 a step, wherever it is cut off


def test_the_discount_says_what_an_arrival_is_worth(reports):
    worth = reports["phase5"].discount
    assert worth["horizon_s"] == pytest.approx(0.02 / (1 - 0.995))
    # 5.5 m at 1 m/s are 275 steps of 20 ms
    assert worth["share_left_by_distance_m"]["6"] == pytest.approx(0.995**275)
    assert worth["arrival_worth_by_distance_m"]["6"] == pytest.approx(140 * 0.995**275, rel=1e-4)


def test_the_optimum_arrives_no_faster_than_it_can(reports):
    for plan in reports["swift"].plans:
        assert plan.arrival_s >= (plan.distance_m - 0.5) / 3.0
        assert 0.5 < plan.survival <= 1.0
        assert plan.stops_at_m < 0.5


def test_a_set_that_pays_for_standing_is_left_standing(tmp_path):
    """Nothing but pay for being upright, and a cost of moving: a perfect optimiser stays where it is."""
    (tmp_path / "still.yaml").write_text("terms: {alive_bonus: 1.0, dof_vel: -1.0e-3, termination: -100}")
    report = brief(settings(str(tmp_path / "still.yaml")))
    assert {p.kind for p in report.plans} == {"stall at spawn"}
    assert {"standing dominance", "lazy robot", "dead gradient"} <= found(report, "error")


def test_near_tasks_are_audited_where_they_spawn():
    report = brief(resolve("swift", options={"env.task": "section001-near"}))
    assert {o.distance_m for o in report.outcomes} == {3.0}
    assert found(report, "error", "warning") == set()


# The command.


def test_the_command_prints_a_table_and_fails_where_there_is_an_error(tmp_path, capsys):
    main(["--reward-set", "swift", "--threads", "1"])
    shown = capsys.readouterr().out
    assert "walk at 1.5 m/s and stop" in shown
    assert "no findings: a clean bill" in shown
    (tmp_path / "narrow.yaml").write_text("terms: {position_tracking: {scale: 2.0, sigma: 0.5}, termination: -200}")
    with pytest.raises(SystemExit) as stopped:
        main(["--reward-set", str(tmp_path / "narrow.yaml"), "--json", "--threads", "1"])
    assert stopped.value.code == 1
    content = json.loads(capsys.readouterr().out)
    assert content["failed"]
    assert {"findings", "behaviours", "optimum", "landscape", "budget", "discount"} <= set(content)
    finding = content["findings"][0]
    assert set(finding) == {"level", "name", "message", "suggestion", "numbers"}
    assert finding["level"] == "error"


def test_the_report_marks_what_pays_more_than_what_is_wanted(reports):
    assert " * walk at 1.5 m/s and stop" in text(reports["phase5"])
    assert "-> fine_position_tracking.after_reach: true" in text(reports["phase5"])


def test_an_audit_leaves_torch_as_it_was():
    """Random numbers and threads: a training that begins with an audit is the same training."""
    torch.manual_seed(3)
    before = torch.get_rng_state().clone()
    brief(settings("swift"))
    assert torch.equal(torch.get_rng_state(), before)
