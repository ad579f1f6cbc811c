"""The live line: in place on a terminal, a line now and then elsewhere."""

import io

import pytest

from vbot.terminal import REFRESH_INTERVAL_S, LiveLine, duration, percent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_replaces_itself_and_said_lines_stay(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr("vbot.terminal.time.monotonic", lambda: now_s)
    stream = Terminal()
    line = LiveLine(stream=stream)
    line.show(lambda: "10 %")
    line.show(lambda: "15 %")  # too soon to be seen
    now_s += REFRESH_INTERVAL_S
    line.show(lambda: "20 %")
    line.say("evaluated")
    assert stream.getvalue() == "\r\x1b[2K10 %\r\x1b[2K20 %\nevaluated\n"


def test_a_line_is_cut_to_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "11")
    stream = Terminal()
    LiveLine(stream=stream).show(lambda: "0123456789abcdef")
    assert stream.getvalue() == "\r\x1b[2K0123456789"


def test_elsewhere_only_the_first_of_a_burst_is_printed():
    stream = io.StringIO()
    line = LiveLine(stream=stream)
    asked = []

    def state() -> str:
        asked.append(f"{len(asked)} %")
        return asked[-1]

    for _ in range(100):
        line.show(state)
    line.say("evaluated")
    assert asked == ["0 %"]
    assert stream.getvalue() == "0 %\nevaluated\n"


def test_quiet_prints_nothing():
    stream = Terminal()
    line = LiveLine(stream=stream, quiet=True)
    line.show(lambda: "10 %")
    line.say("evaluated")
    line.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (3599.6, "1:00:00"), (7384, "2:03:04")])
def test_durations_read_as_clocks(seconds, text):
    assert duration(seconds) == text


def test_rates_read_as_percent():
    assert percent(0.9734) == "97.3 %"
    assert percent(None) == "-"
