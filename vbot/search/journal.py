"""The journal of a study: what happened, line by line, never rewritten; and the lock of its directory.

Every line is one JSON object: ``n`` (its number from 0), ``event`` (its kind), what belongs to it, and ``sum``, a
CRC-32 of the rest. A line is on the disk before the study acts on it, so a kill can only tear the last one. All that a
study knows is what its journal says; ``state.yaml`` beside it is a copy for people.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from vbot import locks
from vbot.errors import UserError
from vbot.outcomes import SNAPSHOT
from vbot.run import write_atomically
from vbot.yaml_files import write_yaml

JOURNAL = "journal.jsonl"
_OWN = ("n", "event", "sum")


class Journal:
    """The events of a study, on disk and in ``events``. The caller holds the lock.

    Reading drops a torn last line from the file; ``notice`` then says so.

    Raises:
        UserError: the file cannot be read or written, or was damaged before its last line.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / JOURNAL
        self.notice: str | None = None
        self.events: list[dict[str, Any]] = []
        try:
            self._stream = self._open()
        except OSError as error:
            raise UserError(f"cannot open {self.file}: {error.strerror}") from None

    def append(self, event: str, **content: Any) -> dict[str, Any]:
        """Write an event; it is on the disk when this returns.

        Args:
            content: plain values; NaN and infinities are no JSON.

        Raises:
            UserError: the disk is full, say.
            ValueError: a value that JSON has no word for, or a name of the journal's own.
        """
        if clash := [name for name in _OWN if name in content]:
            raise ValueError(f"{clash[0]!r} is a name of the journal's own")
        row = {"n": len(self.events), "event": event, **content}
        line = json.dumps({**row, "sum": checksum(row)}, allow_nan=False).encode() + b"\n"
        end = self._stream.tell()
        try:
            self._stream.write(line)
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._take_back(end)
            raise UserError(f"cannot write {self.file}: {error.strerror}") from None
        # As it will be read: tuples are lists by now.
        self.events.append(_parsed(line.rstrip(b"\n"), len(self.events)) or row)
        return self.events[-1]

    def close(self) -> None:
        self._stream.close()

    def _take_back(self, end: int) -> None:
        """Drop what a failed write left beyond ``end``, and write no more: a torn line may only be the last."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._stream.fileno(), end)
        with contextlib.suppress(OSError):  # it would flush the rest of the line
            self._stream.close()

    def _open(self) -> IO[bytes]:
        fresh = not self.file.exists()
        stream = self.file.open("r+b" if not fresh else "x+b")
        if fresh:
            _sync_directory(self.file.parent)  # else a power cut could take the name and leave the data
        lines = stream.read().split(b"\n")
        end = 0
        for number, line in enumerate(lines):
            last = not b"".join(lines[number + 1 :])
            row = _parsed(line, number) if line else None
            if row is not None:
                self.events.append(row)
                end += len(line) + 1
            elif last:
                if line:
                    self.notice = f"{self.file}: the last line was torn by a kill, and is dropped"
                break
            else:
                raise UserError(f"{self.file}:{number + 1} is damaged; the study can go on only with the whole journal")
        whole = len(lines) == len(self.events) and bool(self.events)  # the last line lacks nothing but its end
        stream.truncate(end - whole)
        stream.seek(0, os.SEEK_END)
        if whole:
            stream.write(b"\n")
            stream.flush()
        os.fsync(stream.fileno())
        return stream


def checksum(row: Mapping[str, Any]) -> str:
    """CRC-32 of the content of a line, its keys in alphabetical order."""
    return f"{zlib.crc32(json.dumps(dict(row), sort_keys=True, allow_nan=False).encode()):08x}"


def write_snapshot(directory: Path, content: Mapping[str, Any]) -> None:
    """Replace ``state.yaml``; a reader finds the old one or the new one, whole."""
    try:
        write_atomically(directory / SNAPSHOT, write_yaml(content).encode())
    except OSError as error:
        raise UserError(f"cannot write {directory / SNAPSHOT}: {error.strerror}") from None


def locked(directory: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the directory of a study, alone; UserError if another search does."""
    return locks.locked(directory, "another search", "give another --out")


def _parsed(line: bytes, number: int) -> dict[str, Any] | None:
    """The event of a line without its checksum; None unless it is the whole line ``number``."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    found = row.pop("sum", None)
    return row if row.get("n") == number and found == checksum(row) else None


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
