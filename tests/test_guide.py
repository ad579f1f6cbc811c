"""docs/rewards.md: its files and commands, as written and in their order, in an empty directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vbot

ROOT = Path(vbot.__file__).parents[1]
GUIDE = ROOT / "docs" / "rewards.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guide_runs_as_written(tmp_path):
    # `python` is this interpreter, whatever the machine calls it
    prefix = f"python() {{ '{sys.executable}' \"$@\"; }}; "
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    work = tmp_path
    ran = []
    for language, text in BLOCKS:
        if language == "python":
            name = re.match(r"# (\S+\.py)\n", text)
            assert name, "a python block begins with the name of its file"
            (work / name[1]).write_text(text)
        elif language == "sh":
            for line in text.strip().splitlines():
                done = subprocess.run(
                    ["bash", "-c", prefix + line],
                    cwd=work,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=600,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                ran.append((line, done.stdout))
    said = {line.split()[2]: out for line, out in ran}
    assert "2 passed" in said["pytest"]
    assert any("no findings: a clean bill" in out for line, out in ran if "vbot.audit" in line)
    assert (work / "runs" / "slip" / "result.json").is_file()
    assert any("+ foot_slip  -0.05  (--set)" in out for _, out in ran)
    assert any("holds for linear sums only" in out for _, out in ran)


def test_the_guide_names_every_cheat():
    from vbot.findings import CHEATS, OTHERS

    text = " ".join(GUIDE.read_text().split())  # wherever its lines break
    assert [name for name in CHEATS if f"| {name} |" not in text] == []
    assert [name for name in OTHERS if f"*{name}*" not in text] == []
