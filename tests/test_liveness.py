"""Who holds a directory, and whether that process lives: real processes, really killed."""

import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from vbot.errors import UserError
from vbot.liveness import Holder, this_process
from vbot.locks import HeldError, held, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from vbot.locks import locked
with locked(Path(sys.argv[1]), "another test", "wait"):
    print("held", flush=True)
    if sys.stdin.readline() != "end\\n":
        time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_this_process_lives():
    me = this_process()
    assert (me.pid, me.host) == (os.getpid(), platform.node())
    assert me.lives() is True


def test_a_killed_process_is_dead_at_once_though_nobody_has_heard_of_it_yet(tmp_path, other):
    found = holder(tmp_path / "lock")
    assert found.pid == other.pid
    assert found.lives() is True
    other.send_signal(signal.SIGSTOP)  # frozen is not dead
    assert found.lives() is True
    other.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on
    assert found.lives() is False
    other.wait()
    assert found.lives() is False


def test_an_id_that_came_again_is_another_process():
    assert replace(this_process(), process_started="1").lives() is False


def test_nothing_is_said_of_processes_elsewhere():
    assert replace(this_process(), machine="another boot").lives() is None
    assert replace(this_process(), process_started="").lives() is None


@pytest.mark.parametrize("content", [None, 4711, {}, {"pid": "x"}, {"pid": 1, "host": "a"}, []])
def test_what_names_no_process_is_nobody(content, tmp_path):
    assert Holder.read(content) is None
    (tmp_path / "lock").write_text(json.dumps(content))
    assert holder(tmp_path / "lock") is None


def test_a_holder_is_read_among_other_things():
    assert Holder.read({"time": 3.0, **this_process().to_dict(), "steps": 5}) == this_process()


def test_a_directory_has_one_holder_whom_the_lock_names_until_it_ends(tmp_path, other):
    with (
        pytest.raises(UserError, match=f"in use by another test, process {other.pid}; wait for its end, or go away"),
        locked(tmp_path, "another test", "go away"),
    ):
        pass
    assert holder(tmp_path / "lock").pid == other.pid  # the refused one has not written over it
    other.communicate("end\n", timeout=20)
    assert holder(tmp_path / "lock") is None
    with locked(tmp_path, "another test", "go away"):
        assert holder(tmp_path / "lock") == this_process()


def test_a_lock_ends_with_a_killed_process(tmp_path, other):
    other.kill()
    other.wait()
    with locked(tmp_path, "another test", "go away"):
        pass


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot write"), locked(tmp_path / "none", "another test", "go away"):
        pass


def test_a_lock_may_be_waited_for(tmp_path, other):
    with pytest.raises(HeldError, match=f"held by process {other.pid}"), held(tmp_path / "lock", wait_s=0.2):
        pass
    other.stdin.write("end\n")
    other.stdin.flush()
    with held(tmp_path / "lock", wait_s=20):
        assert holder(tmp_path / "lock") == this_process()
