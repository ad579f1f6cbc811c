"""The library on disk: what goes in, what survives, and who may write at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_files import make_run

import vbot
from vbot.archive.library import Library, library_directory
from vbot.errors import UserError
from vbot.locks import held
from vbot.outcomes import read
from vbot.rewards import REGISTRY
from vbot.yaml_files import read_yaml

ROOT = Path(vbot.__file__).parents[1]


def finished(*runs):
    return [(read(run.path), "finished") for run in runs]


def text_of_all(directory: Path) -> dict[str, str]:
    return {str(f.relative_to(directory)): f.read_text() for f in directory.rglob("*.yaml")}


def only_config(library: Library) -> dict:
    (entry,) = library.entries("config")
    return entry


def test_seeds_of_one_fingerprint_are_one_entry_and_the_same_run_twice_changes_nothing(tmp_path):
    library = Library(tmp_path / "reward_library")
    runs = [
        make_run(tmp_path / "runs" / f"s{s}", seed=s, successes=n, started=f"2026-11-21T10:0{s}:00+0000")
        for s, n in ((0, 950), (1, 970), (2, 990))
    ]
    changed = library.add(finished(runs[0]))
    name = only_config(library)["name"]
    assert changed == sorted([name, *only_config(library)["settings"]["reward"]["terms"]])
    before = text_of_all(library.directory)
    assert library.add(finished(runs[0])) == []
    assert text_of_all(library.directory) == before
    library.add(finished(*runs))
    entry = only_config(library)
    assert [row["run"] for row in entry["experiments"]] == ["runs/s0", "runs/s1", "runs/s2"]
    (row,) = entry["results"]
    # 2910 of 3000; Wilson's interval of that, calculated elsewhere. Falls: 25 + 15 + 5. The time: 9.5, 9.7 and 9.9 s,
    # weighted with 950, 970 and 990: (9025 + 9409 + 9801) / 2910.
    assert (row["seeds"], row["episodes"], row["success"]) == ([0, 1, 2], 3000, 0.97)
    assert row["success_ci95"] == [pytest.approx(0.96327, abs=2e-5), pytest.approx(0.97553, abs=2e-5)]
    assert (row["falls"], row["time_to_target_s"], row["wall_s"]) == (0.015, 9.7, 61.0)
    assert entry["status"] == "verified"
    used = read_yaml(library.directory / "components" / "trot.yaml")
    assert used["status"] == "verified"
    (use,) = used["experiments"]
    assert {key: use[key] for key in ("config", "seeds", "success", "scale", "runs")} == {
        "config": name, "seeds": [0, 1, 2], "success": 0.97, "scale": 0.2, "runs": ["runs/s0", "runs/s1", "runs/s2"],
    }  # fmt: skip


def test_the_order_in_which_runs_come_does_not_show(tmp_path):
    runs = [
        make_run(
            tmp_path / "runs" / f"r{i}", seed=i % 2, steps=1000 * (1 + i // 2), started=f"2026-11-21T1{i}:00:00+0000"
        )
        for i in range(4)
    ]
    for name, order in (("a", runs), ("b", runs[::-1])):
        for run in order:
            Library(tmp_path / name / "lib").add(finished(run))
    texts = [text_of_all(tmp_path / name) for name in ("a", "b")]
    assert texts[0] == texts[1]


def test_a_repeat_of_a_seed_is_kept_and_counts_no_second_time(tmp_path):
    library = Library(tmp_path / "reward_library")
    for hour, successes in ((10, 600), (11, 1000)):
        run = make_run(tmp_path / "runs" / f"h{hour}", successes=successes, started=f"2026-11-21T{hour}:00:00+0000")
        library.add(finished(run))
    entry = only_config(library)
    assert len(entry["experiments"]) == 2
    assert (entry["results"][0]["seeds"], entry["results"][0]["success"]) == ([0], 0.6)


def test_the_same_reward_under_another_name_and_a_renamed_file_are_the_same_configuration(tmp_path):
    library = Library(tmp_path / "reward_library")
    library.add(finished(make_run(tmp_path / "runs" / "a")))
    file = next((library.directory / "configs").glob("*.yaml"))
    text = file.read_text().replace(f"name: {file.stem}\n", "name: my-best\n")
    file.unlink()
    (file.parent / "my-best.yaml").write_text(text)
    run = make_run(tmp_path / "runs" / "b", seed=1, assignments=("reward.name=swift-again",))
    library.add(finished(run))
    assert only_config(library)["name"] == "my-best"
    assert [row["seed"] for row in only_config(library)["experiments"]] == [0, 1]


def test_what_people_write_survives_an_append_and_a_rebuild(tmp_path):
    library = Library(tmp_path / "reward_library")
    library.add(finished(make_run(tmp_path / "runs" / "a")))
    for file in (library.directory / "components" / "trot.yaml", next((library.directory / "configs").glob("*.yaml"))):
        text = file.read_text().replace("hypothesis: null", 'hypothesis: "a clock keeps the feet in step: 2 Hz"')
        file.write_text(text.replace("notes: null", "notes: seen on video\nticket: 17"))
    library.add(finished(make_run(tmp_path / "runs" / "b", seed=1)))
    library.rebuild([])
    for entry in (library.find("trot"), only_config(library)):
        assert entry["hypothesis"] == "a clock keeps the feet in step: 2 Hz"
        assert (entry["notes"], entry["ticket"]) == ("seen on video", 17)


def test_rebuild_makes_the_same_files_from_the_runs_as_they_made_themselves(tmp_path):
    runs = [make_run(tmp_path / "runs" / f"s{s}", reward_set, seed=s) for s, reward_set in ((0, "swift"), (1, "kit"))]
    library = Library(tmp_path / "reward_library")
    for run in runs:
        library.add(finished(run))
    before = text_of_all(library.directory)
    again = Library(tmp_path / "again" / ".." / "rebuilt")
    (tmp_path / "again").mkdir()
    again.rebuild(finished(*runs))
    rebuilt = text_of_all(again.directory)
    assert {name: rebuilt[name] for name in before} == before
    assert {Path(name).stem for name in rebuilt if name.startswith("components")} >= set(REGISTRY)
    # A damaged reading of a component is mended; runs that are gone stay known.
    component = library.directory / "components" / "trot.yaml"
    component.write_text(component.read_text().replace("success: 0.95", "success: 0.11"))
    library.rebuild([])
    assert text_of_all(library.directory)["components/trot.yaml"] == before["components/trot.yaml"]


def test_a_component_is_described_by_the_registry(tmp_path):
    library = Library(tmp_path / "reward_library")
    library.rebuild([])
    entry = library.find("position_tracking")
    spec = REGISTRY["position_tracking"]
    assert (entry["scale"], entry["search"], entry["params"]) == (1.5, "0.5..5", {"sigma": 5.0})
    assert entry["tune"] == {"sigma": "0.5..10 log"}
    assert (entry["version"], entry["defined"]) == (spec.version, "vbot/rewards/tracking.py")
    assert entry["status"] == "untested"


def test_a_run_of_a_plugin_is_archived_with_its_terms(tmp_path):
    plugin = tmp_path / "tall.py"
    plugin.write_text(
        "from vbot.rewards import Uniform, reward\n\n\n"
        "@reward(scale=0.3, search=Uniform(0.0, 1.0))\n"
        'def tall(s):\n    """Height of the base; m."""\n    return s.base_pos_w[:, 2]\n'
    )
    from vbot.rewards.plugins import load_plugins

    with REGISTRY.borrowed():
        load_plugins([plugin])
        run = make_run(tmp_path / "runs" / "tall", assignments=("reward.terms.tall=0.5",), plugins=(plugin,))
        version = REGISTRY["tall"].version
    library = Library(tmp_path / "reward_library")
    library.add(finished(run))
    entry = library.find("tall")
    assert (entry["scale"], entry["defined"], entry["version"]) == (0.3, "tall.py", version)
    assert (entry["experiments"][0]["scale"], entry["experiments"][0]["version"]) == (0.5, version)
    assert "tall" not in REGISTRY


def test_what_did_not_finish_has_no_numbers(tmp_path):
    library = Library(tmp_path / "reward_library")
    run = make_run(tmp_path / "runs" / "a", successes=None)
    library.add([(read(run.path), "diverged")])
    entry = only_config(library)
    assert "success" not in entry["experiments"][0]
    assert entry["results"] == [{"budget": {"steps": 2_000_000}, "seeds": []}]
    assert entry["status"] == "untested"


def test_a_run_elsewhere_is_known_by_the_end_of_its_path(tmp_path):
    library = Library(tmp_path / "project" / "reward_library")
    for path in (tmp_path / "elsewhere" / "fast", tmp_path / "elsewhere" / "search-1" / "trials" / "003"):
        library.add(finished(make_run(path, seed=len(path.parts))))
    assert [row["run"] for row in only_config(library)["experiments"]] == ["fast", "search-1/trials/003"]
    assert not any(str(tmp_path) in text for text in text_of_all(library.directory).values())


ADD = """
import sys
from pathlib import Path
from vbot.archive.library import Library
from vbot.outcomes import read
library = Library(Path(sys.argv[1]))
sys.stdin.read()
for run in sys.argv[2:]:
    library.add([(read(Path(run)), "finished")])
"""


def test_two_processes_at_once_lose_nothing(tmp_path):
    directory = tmp_path / "reward_library"
    runs = [make_run(tmp_path / "runs" / f"s{seed:02}", seed=seed).path for seed in range(12)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(directory), *map(str, runs[half::2])],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for half in (0, 1)
    ]  # fmt: skip
    for process in processes:  # both have imported what they need by the time they write
        process.stdin.close()
    for process in processes:
        assert process.wait(300) == 0, process.stderr.read()
        process.stderr.close()
    entry = only_config(Library(directory))
    assert [row["seed"] for row in entry["experiments"]] == list(range(12))
    assert read_yaml(directory / "components" / "trot.yaml")["experiments"][0]["seeds"] == list(range(12))
    assert not list(directory.rglob("*.tmp"))


def test_a_library_that_is_locked_or_damaged_says_so(tmp_path, monkeypatch):
    library = Library(tmp_path / "reward_library")
    run = make_run(tmp_path / "runs" / "a")
    library.add(finished(run))
    monkeypatch.setattr("vbot.archive.library.WAIT_S", 0.2)
    # Another opening of the file is another holder, in this process too.
    with (
        held(library.directory / ".lock"),
        pytest.raises(UserError, match=f"is kept locked by process {os.getpid()}"),
    ):
        library.add(finished(run))
    file = library.directory / "components" / "trot.yaml"
    file.write_text("name: tort\nstatus: untested\ndecided_by: evidence\nexperiments: []\n")
    before = text_of_all(library.directory)
    with pytest.raises(UserError, match=r"trot.yaml says that its name is 'tort'"):
        library.add(finished(make_run(tmp_path / "runs" / "b", seed=1)))
    assert text_of_all(library.directory) == before  # nothing half-written


def test_where_the_library_is(monkeypatch, tmp_path):
    assert library_directory(tmp_path) == tmp_path
    monkeypatch.setenv("VBOT_LIBRARY", "elsewhere")
    assert library_directory() == Path("elsewhere")
    monkeypatch.delenv("VBOT_LIBRARY")
    assert library_directory() == Path("reward_library")


def test_the_library_of_this_repository_knows_every_term_as_it_is():
    known = {entry["name"]: entry for entry in Library(ROOT / "reward_library").entries("component")}
    stale = [name for name in built_in_terms() if name not in known or known[name]["version"] != REGISTRY[name].version]
    assert not stale, f"{stale} changed: python -m vbot.archive rebuild"


def built_in_terms() -> list[str]:
    return [name for name, spec in REGISTRY.items() if Path(spec.file).is_relative_to(ROOT / "vbot")]
