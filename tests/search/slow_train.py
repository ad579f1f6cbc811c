"""Stands in for ``vbot.train``, slow enough to be killed: evaluates again and again, and goes on from what it saved.

How good a policy is depends on its learning rate alone, so that what is lost, repeated or told apart shows. Every
evaluation takes the seconds of SLOW_TRAIN_S; ``work`` in the run directory has a line for each that was done.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import yaml

given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
resumed = "--resume" in given
directory = Path(given["--resume"] if resumed else given["--run-dir"])
config = yaml.safe_load((directory / "config.yaml" if resumed else Path(given["--config"])).read_text())
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))


def write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text)
    temporary.rename(file)


if resumed and (directory / "result.json").exists():
    sys.exit("error: it has finished")
state = directory / "checkpoints" / "resume.state"
if not resumed:
    state.parent.mkdir(parents=True)
    write(directory / "config.yaml", yaml.safe_dump(config))
    write(state, "0")
done = int(state.read_text())
file = directory / "eval.jsonl"
rows = file.read_text().splitlines()[:done] if file.is_file() else []
write(file, "".join(f"{row}\n" for row in rows))
rate = 1 - abs(math.log10(config["ppo"]["learning_rate"]) + 3.5) / 3 - 0.01 * config["train"]["seed"]
steps, parts = config["train"]["steps"], 8
for number in range(done + 1, parts + 1):
    time.sleep(float(os.environ["SLOW_TRAIN_S"]))
    with file.open("a") as stream:
        row = {"steps": steps * number // parts, "success_rate": rate * number / parts, "time_to_target_s": 4.0}
        stream.write(json.dumps(row) + "\n")
    with (directory / "work").open("a") as stream:
        stream.write(f"{number}\n")
    write(state, str(number))
write(directory / "result.json", json.dumps({"status": "finished", "best": {"success_rate": rate, "episodes": 1000}}))
