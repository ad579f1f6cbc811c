"""vbot's commands as a user types them."""

import os
import subprocess
import sys
from pathlib import Path

# No display and no hint how to render without one: as on a server.
BARE = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "DISPLAY")}


def command(name: str, *arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run ``python -m vbot.NAME`` in a process of its own; unless ``check`` is off, it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", f"vbot.{name}", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, timeout=300, env=BARE,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done
