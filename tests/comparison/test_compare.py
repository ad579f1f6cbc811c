"""The command: order, groups, marks, refusals. Numbers are worked out by hand; runs are files on disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vbot
from vbot.comparison.__main__ import main
from vbot.comparison.table import Column, fit
from vbot.errors import UserError

ROOT = Path(vbot.__file__).parent.parent


def compared(capsys, *arguments) -> dict:
    main([*map(str, arguments), "--json"])
    return json.loads(capsys.readouterr().out)


def printed(capsys, *arguments) -> str:
    main([*map(str, arguments)])
    return capsys.readouterr().out


def order(content: dict) -> list[str]:
    return [Path(row["path"]).name for row in content["runs"]]


def test_runs_are_sorted_by_success_and_equals_by_time(run, capsys):
    a, b, c = run("a", 0.8), run("b", 0.9, time_s=5.0), run("c", 0.9, time_s=4.0)
    assert order(compared(capsys, a, b, c)) == ["c", "b", "a"]
    out = printed(capsys, a, b, c)
    assert out.startswith("section001, 3 runs by success\n")
    # Wilson for 900 of 1000, by the formula: 0.8799 to 0.9171.
    assert "1  c    90.0 [88.0, 91.7]    4.00      0.0    18.00   10,000  2:00" in out


@pytest.mark.parametrize(
    ("by", "best_first"),
    [("time", "cba"), ("falls", "acb"), ("contest", "abc"), ("success_rate", "abc"), ("time_to_target_s", "cba")],
)
def test_other_rankings_begin_at_their_better_end(run, capsys, by, best_first):
    runs = [
        run("a", 0.9, time_s=6.0, falls=0.0),
        run("b", 0.8, time_s=5.0, falls=0.2),
        run("c", 0.7, time_s=4.0, falls=0.1),
    ]
    assert "".join(order(compared(capsys, *runs, "--by", by))) == best_first


def test_a_misspelt_ranking_is_told_the_nearest(run):
    with pytest.raises(UserError, match=r"not ranked by 'sucess'; did you mean 'success'\?"):
        main([str(run("a")), "--by", "sucess"])


def test_unfinished_and_broken_runs_appear_as_such_and_never_as_zeros(run, capsys):
    zero, never = run("zero", 0.0, time_s=None), run("never", None)
    half, broken = run("half", 0.5, finished=False), run("broken", 0.99)
    (broken / "result.json").write_text('{"status": ')
    content = compared(capsys, never, broken, half, zero)
    assert [(Path(r["path"]).name, r["state"], r.get("rank")) for r in content["runs"]] == [
        ("half", "unfinished", 1),
        ("zero", "finished", 2),
        ("never", "unfinished", None),
        ("broken", "broken", None),
    ]
    assert [r.get("evaluated_on") for r in content["runs"]] == ["validation", "final", None, None]
    out = printed(capsys, never, broken, half, zero)
    lines = {line.split()[1]: line for line in out.splitlines() if line[:1].isdigit()}
    assert "50.0 [43.9, 56.1]*" in lines["half"]  # Wilson for 128 of 256
    assert "unfinished at 1.0 M" in lines["half"]
    assert "0.0 [0.0, 0.4] " in lines["zero"]
    assert next(line for line in out.splitlines() if "never" in line).split()[:2] == ["never", "-"]
    assert "broken\n  broken: meta.json or result.json is no valid JSON" in out
    assert "* the best on the run's own validation episodes" in out


def test_checkpoints_studies_folders_and_runs_mix(run, tmp_path, capsys):
    alone, best = run("alone", 0.7), run("more/other", 0.5) / "checkpoints" / "best.pt"
    trial = run("study/trials/000", 0.5)
    (tmp_path / "study" / "state.yaml").write_text("trials:\n- {id: 0, run_dir: trials/000}\n")
    (tmp_path / "REPORT.md").write_text("# Journal\n")
    content = compared(capsys, *sorted(tmp_path.iterdir()), best, alone)
    assert {r["path"] for r in content["runs"]} == {str(p) for p in (alone, best, best.parent.parent, trial)}
    assert content["skipped"] == [str(tmp_path / "REPORT.md")]
    out = printed(capsys, tmp_path / "more", best, tmp_path / "study")
    names = [line.split()[1] for line in out.splitlines() if line[:1].isdigit()]
    assert names[:3] == ["more/other", "more/other/best.pt", "study/trials/000"]  # equals by name
    assert "50.0 [43.9, 56.1]*" in out  # a checkpoint was judged on validation episodes: 256 of them


def test_what_is_not_there_or_holds_no_run_is_refused(run, tmp_path):
    run("swift-s0")
    with pytest.raises(UserError, match=r"there is no .*swift-s1; did you mean 'swift-s0'\?"):
        main([str(tmp_path / "swift-s1")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no run, checkpoint or study among what was given: .*empty"):
        main([str(tmp_path / "empty")])


def test_seeds_of_one_fingerprint_are_a_group(run, tmp_path, capsys):
    for seed, rate in enumerate((0.2, 0.6, 0.7, 1.0)):
        run(f"runs/b{seed}", rate, seed=seed, fingerprint="b" * 16)
    for seed, rate in enumerate((0.5, 0.65)):
        run(f"runs/a{seed}", rate, seed=seed)
    found = {g["fingerprint"][0]: g for g in compared(capsys, tmp_path)["groups"]}
    assert found["b"]["statistics"]["mean"] == pytest.approx(0.625)
    assert found["b"]["statistics"]["iqm"] == pytest.approx(0.65)  # 0.6 and 0.7 are the middle half
    assert found["a"]["statistics"] == {
        "seeds": 2,
        "mean": pytest.approx(0.575),
        "iqm": pytest.approx(0.575),
        "iqm_ci95": [pytest.approx(0.5), pytest.approx(0.65)],
    }
    # Against a, which came first: 0.2 beats none of two, 0.6 one, 0.7 and 1.0 both; 5 of 8 pairs.
    assert found["b"]["improvement"]["probability"] == 5 / 8
    assert found["a"]["improvement"] is None


def test_where_less_is_better_the_lower_seed_wins(run, capsys):
    first, other = run("a", falls=0.1), run("b", falls=0.05, fingerprint="b" * 16)
    groups = compared(capsys, first, other, "--by", "falls")["groups"]
    assert [g["improvement"] and g["improvement"]["probability"] for g in groups] == [1.0, None]


def test_only_finished_runs_count_and_each_seed_once(run, capsys):
    run("g/s0-short", 0.1, seed=0, steps=400_000)
    run("g/s0", 0.8, seed=0)
    run("g/s1", 0.9, seed=1)
    last = run("g/s2", 0.3, seed=2, finished=False)
    (group,) = compared(capsys, last.parent, last.parent / "s1" / "checkpoints" / "best.pt")["groups"]
    assert {seed: Path(path).name for seed, path in group["counted"].items()} == {"0": "s0", "1": "s1"}
    assert group["statistics"]["mean"] == pytest.approx(0.85)
    assert group["notes"] == ["1 unfinished left out", "1 more of the same seeds, or without a value, left out"]


def test_groups_that_mix_budgets_or_were_hardly_looked_at_say_so(run, capsys):
    run("g/a", 1.0, episodes=4)
    run("g/b", 1.0, seed=1, steps=3_000_000)
    out = printed(capsys, run("h/c", 0.5, fingerprint="c" * 16).parent.parent / "g")
    assert "budgets differ: 1,000,000 to 3,000,000 steps; only 4 episodes a seed" in out


def test_tasks_have_tables_of_their_own(run, capsys):
    far = run("far", 0.99, task="section001-far", fingerprint="f" * 16)
    out = printed(capsys, run("near", 0.5), far)
    assert "section001, 1 run by success" in out
    assert "section001-far, 1 run by success" in out
    assert "Tasks differ in difficulty" in out
    assert [r["rank"] for r in compared(capsys, far.parent / "near", far)["runs"]] == [1, 1]


# The return.


def test_the_return_ranks_runs_of_one_reward_only(run, capsys):
    a, b = run("a", 0.9, returns=50.0), run("b", 0.8, returns=70.0, seed=1)
    assert order(compared(capsys, a, b, "--by", "return")) == ["b", "a"]
    assert compared(capsys, a, b, "--by", "return")["runs"][0]["return"] == 70.0
    # Another algorithm is another fingerprint, and pays the same.
    same = run("c", 0.8, returns=60.0, fingerprint="c" * 16)
    assert order(compared(capsys, a, b, same, "--by", "return")) == ["b", "c", "a"]


@pytest.mark.parametrize(
    "other",
    [
        {"terms": {"progress": {"scale": 60.0}, "stay": {"scale": 1.0}}},
        {"term_code": {"progress": "e1se", "stay": "c0de"}},
        {"term_code": {}},
    ],
    ids=["scale", "code", "code not recorded"],
)
def test_across_rewards_the_return_is_refused_and_told_why(run, other):
    paths = [run("a"), run("b", fingerprint="b" * 16, **other)]
    message = "--by return: swift aaaaaaaa, swift bbbbbbbb are not known .* the sum of one reward says nothing"
    with pytest.raises(UserError, match=message) as caught:
        main([*map(str, paths), "--by", "return"])
    assert "\n" not in str(caught.value)


# Differences.


def test_differences_are_those_of_the_configurations(run, capsys):
    a = run("a", terms={"progress": {"scale": 30.0}, "stay": {"scale": 1.0}})
    b = run("b", fingerprint="b" * 16, seed=3, terms={"progress": {"scale": 40.0}, "trot": {"scale": 0.2}})
    found = compared(capsys, a, b, "--diff")["diff"]
    assert found["differences"] == {
        "reward.terms.progress.scale": [[30.0], [40.0]],
        "reward.terms.stay.scale": [[1.0], []],
        "reward.terms.trot.scale": [[], [0.2]],
        "train.seed": [[0], [3]],
    }
    out = printed(capsys, a, b, "--diff")
    assert "reward.terms.stay.scale      1               -\n" in out
    assert f"python -m vbot.audit --diff {a} {b}" in out


def test_seeds_of_one_configuration_differ_in_nothing_of_the_reward(run, capsys):
    out = printed(capsys, run("a"), run("b", seed=1), "--diff")
    assert "train.seed  0, 1" in out
    assert "reward." not in out
    assert "One configuration: its runs can differ in seed, budget and machine only." in out


def test_code_that_changed_is_a_difference_and_code_that_was_not_recorded_is_none(run, capsys):
    a = run("a", term_code={"progress": "0123456789abcdef"})
    b = run("b", fingerprint="b" * 16, term_code={"progress": "fedcba9876543210"})
    c = run("c", fingerprint="c" * 16, term_code={})
    assert compared(capsys, a, b, c, "--diff")["diff"]["differences"] == {
        "code of progress": [["01234567"], ["fedcba98"], []]
    }
    assert "fingerprints differ all the same" in printed(capsys, a, c, "--diff")


def test_many_configurations_are_told_value_by_value(run, capsys):
    paths = [
        run(f"r{k}", fingerprint=f"{k:016x}", terms={"progress": {"scale": 30.0 + 10 * (k == 9)}}) for k in range(10)
    ]
    out = printed(capsys, *paths, "--diff")
    assert out.startswith("reward.terms.progress.scale\n  30  (swift 00000000, swift 00000000,")
    assert "\n  40  (swift 00000000)\n" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--diff"], "--diff compares configurations: it takes two runs or more; got 1"),
        (["--yaml"], "--yaml prints what --importance finds"),
        (["--importance", "--html", "x.html"], "--importance tells of the parameters of a study; --html compares runs"),
        (["--importance", "--by", "time"], "--by compares runs"),
        (["--importance", "--json", "--yaml"], "give one of them"),
        (["--importance"], "--importance takes the directory of a study"),
        (["--html", "page.png"], "its name must end in .html"),
        (["--plot", "no/such/place.png"], "--plot: cannot write"),
        (["--html", "no/such/place.html"], "--html: cannot write"),
        (["--plot", "x.docx"], "--plot: cannot write 'x.docx'"),
    ],
)
def test_what_makes_no_sense_is_refused(run, options, message, tmp_path, monkeypatch):
    path = run("a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main([str(path), *options])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


# Width.


def test_a_narrow_terminal_loses_columns_and_says_so():
    columns = [
        Column("run", ["a-long-name-of-a-run", "b"]),
        Column("success", ["90.0", "8.0"], True),
        Column("wall", ["1:00", "0:10"], True),
        Column("detectors", ["lazy robot, dead term", "-"]),
    ]
    assert fit(columns, None)[0].splitlines()[1] == "a-long-name-of-a-run     90.0  1:00  lazy robot, dead term"
    body, gone = fit(columns, 36)
    assert gone == {"wall"}
    assert all(len(line) <= 36 for line in body.splitlines())
    assert body.splitlines()[1] == "a-lon…of-a-run     90.0  lazy robot…"


# The command line itself, and its speed.


def test_the_command_works_from_a_checkout(run):
    paths = [run("b", 0.8), run("a", 0.9)]

    def command(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "tools" / "compare.py"), *map(str, paths), *options],
            capture_output=True, text=True, timeout=300, cwd=paths[0],
        )  # fmt: skip

    done = command("--json")
    assert (done.returncode, order(json.loads(done.stdout))) == (0, ["a", "b"])
    failed = command("--by", "tiem")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: --by: runs are not ranked by 'tiem'; did you mean 'time'?")
    assert "--importance" in command("--help").stdout


_COUNTED = """
import sys, time
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from vbot.comparison.__main__ import main
started = time.process_time()
main(sys.argv[1:])
print("seconds", time.process_time() - started)
print("opened", *(name for name in opened if name.startswith(sys.argv[1])))
print("torch", "torch" in sys.modules)
"""


def test_of_250_runs_only_small_files_are_read_and_no_torch(run, tmp_path):
    for k in range(250):
        options = {"findings": ("lazy robot",)} if k % 5 == 0 else {}
        run(f"runs/r{k:03}", k / 250, fingerprint=f"{k // 3:016x}", seed=k % 3, finished=k % 10 != 0, **options)
    done = subprocess.run(
        [sys.executable, "-c", _COUNTED, str(tmp_path / "runs")], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "section001, 250 runs by success" in done.stdout
    tail = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[-3:]}
    # Of a finished run three files; of the 25 unfinished ones also configuration, metrics and evaluations.
    assert len(tail["opened"]) <= 225 * 3 + 25 * 6
    assert not [name for name in tail["opened"] if name.endswith((".pt", ".state"))]
    assert sum(name.endswith("eval.jsonl") for name in tail["opened"]) == 25
    assert tail["torch"] == ["False"]
    # Seconds of this process's own: what else the machine does, does not count. They are about 0.3.
    assert float(tail["seconds"][0]) < 2.5
