"""The journal: what a kill leaves behind is read back, damage is not, and a study has one search at a time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vbot.errors import UserError
from vbot.search.journal import Journal, locked, write_snapshot
from vbot.yaml_files import read_yaml

EVENTS = [("study", {"seed": 3}), ("asked", {"trial": 0, "parameters": {"ppo.a": 1e-3, "ppo.b": [1, 2]}}), ("end", {})]


@pytest.fixture
def directory(tmp_path) -> Path:
    journal = Journal(tmp_path)
    for event, content in EVENTS:
        journal.append(event, **content)
    journal.close()
    return tmp_path


def kinds(journal: Journal) -> list[str]:
    return [event["event"] for event in journal.events]


def test_what_was_appended_is_read_again(directory):
    journal = Journal(directory)
    assert journal.events == [{"n": n, "event": event, **content} for n, (event, content) in enumerate(EVENTS)]
    assert journal.notice is None
    assert all(json.loads(line)["sum"] for line in (directory / "journal.jsonl").read_text().splitlines())


def test_what_is_appended_reads_the_same_at_once_and_later(tmp_path):
    now = Journal(tmp_path).append("asked", sizes=(128, 64), rate=1 / 3)
    assert Journal(tmp_path).events == [now] == [{"n": 0, "event": "asked", "sizes": [128, 64], "rate": 1 / 3}]


def test_a_kill_at_any_byte_of_the_last_line_loses_that_line_and_nothing_else(directory):
    file = directory / "journal.jsonl"
    whole = file.read_bytes()
    before = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for cut in range(before, len(whole) + 1):
        file.write_bytes(whole[:cut])
        journal = Journal(directory)
        complete = cut >= len(whole) - 1  # all but the end of the line is a whole line
        assert len(journal.events) == 2 + complete, cut
        assert (journal.notice is not None) == (before < cut < len(whole) - 1), cut
        journal.append("more")
        journal.close()
        again = Journal(directory)
        assert kinds(again) == [*kinds(journal)]
        assert kinds(again)[-1] == "more"
        assert again.notice is None
        again.close()


def test_a_torn_line_is_said(directory):
    file = directory / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    assert "the last line was torn by a kill, and is dropped" in Journal(directory).notice


def test_zeros_after_a_power_cut_are_a_torn_line(directory):
    with (directory / "journal.jsonl").open("ab") as file:
        file.write(b"\0" * 100)
    journal = Journal(directory)
    assert len(journal.events) == 3
    assert journal.notice is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], lines[1].replace(b"0.001", b"0.002"), lines[2]],
        lambda lines: [lines[0], lines[2]],  # a line is missing
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], b"", lines[1], lines[2]],
        lambda lines: [lines[0], b"[1]", lines[2]],
        lambda lines: [lines[0], b"\xff\xfe", lines[2]],
    ],
)
def test_damage_before_the_last_line_is_an_error_and_changes_nothing(directory, damage):
    file = directory / "journal.jsonl"
    file.write_bytes(
        b"\n".join([*damage(file.read_bytes().splitlines()), *([file.read_bytes().splitlines()[2]])]) + b"\n"
    )
    content = file.read_bytes()
    with pytest.raises(UserError, match=r"journal\.jsonl:[12] is damaged"):
        Journal(directory)
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", [{"x": float("nan")}, {"x": object()}, {"n": 1}, {"sum": 1}])
def test_what_cannot_be_kept_is_refused_and_leaves_no_line(directory, content):
    journal = Journal(directory)
    with pytest.raises((ValueError, TypeError)):
        journal.append("bad", **content)
    journal.append("good")
    journal.close()
    assert kinds(Journal(directory)) == ["study", "asked", "end", "good"]


def test_a_directory_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot open"):
        Journal(tmp_path / "none")


def test_the_snapshot_is_replaced_whole(tmp_path):
    write_snapshot(tmp_path, {"id": "a", "trials": [{"parameters": {"ppo.a": 1e-3}}]})
    write_snapshot(tmp_path, {"id": "b"})
    assert read_yaml(tmp_path / "state.yaml") == {"id": "b"}
    assert [f.name for f in tmp_path.iterdir()] == ["state.yaml"]


HOLD = """
import sys, time
from pathlib import Path
from vbot.search.journal import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_searches_cannot_share_a_directory_and_a_killed_one_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        message = f"is in use by another search, process {holder.pid}; wait for its end, or give another --out"
        with pytest.raises(UserError, match=message), locked(tmp_path):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with locked(tmp_path):
        pass
    with locked(tmp_path):  # and one that ended leaves none either
        pass


def test_a_full_disk_ends_the_search_and_leaves_a_whole_journal(tmp_path):
    resource = pytest.importorskip("resource")
    journal = Journal(tmp_path)
    journal.append("study")
    before = journal.file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # room for a part of the line
    try:
        with pytest.raises(UserError, match="cannot write"):
            journal.append("trial", text="x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.file.read_bytes() == before
    again = Journal(tmp_path)
    assert (len(again.events), again.notice) == (1, None)
