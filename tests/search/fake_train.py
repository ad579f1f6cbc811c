"""Stands in for ``vbot.train``: writes a run directory in no time, or fails as its configuration says.

``train.behave``: ok, crash, diverge, drift, no_result, hang, or die (by its own signal, the first time only).
"""

import json
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
if resumed and (directory / "result.json").exists():
    sys.exit("error: it has finished")
behave = config["train"].get("behave", "ok")
if not resumed:
    (directory / "checkpoints").mkdir(parents=True)
    if behave == "drift":
        config["ppo"]["rollouts"] = 99
    (directory / "config.tmp").write_text(yaml.safe_dump({**config, "origin": {"ppo.rollouts": "--config"}}))
    (directory / "config.tmp").rename(directory / "config.yaml")
with (directory / "starts").open("a") as file:
    file.write("resumed\n" if resumed else "fresh\n")
if behave == "crash":
    print("some lines")
    sys.exit("ValueError: something broke")
if behave == "diverge":
    print("error: training diverged at 1,000 steps", file=sys.stderr)
    sys.exit(3)
(directory / "checkpoints" / "resume.state").write_text("saved")
if behave in ("hang", "drift"):
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    time.sleep(60)
if behave == "die" and not resumed:
    os.kill(os.getpid(), signal.SIGKILL)
rows = config["train"].get("success", [0.1, 0.2, 0.3, 0.4])
with (directory / "eval.jsonl").open("w") as file:
    for number, rate in enumerate(rows, 1):
        file.write(json.dumps({"steps": 100 * number, "success_rate": rate, "time_to_target_s": 4.0}) + "\n")
if behave != "no_result":
    (directory / "result.json").write_text(
        json.dumps({"status": "finished", "best": {"success_rate": max(rows), "episodes": 100}})
    )
