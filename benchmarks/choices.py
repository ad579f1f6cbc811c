"""Why swift and the defaults of PPO are as they are: each row changes one thing, and three seeds say what it gives.

    python benchmarks/choices.py --runs DIR [--rows PATTERN ...] [--set KEY=VALUE ...] [--json FILE]

Every run is a ``python -m vbot.train`` of its own with one thread, kept in DIR/ROW-sSEED and not repeated, so that what
is --set for all rows needs a DIR of its own. As many run side by side as there are cores: steps/s compare with each
other and not with other tables. Success is that of the deterministic
policy on 256 held-out episodes, the mean of the evaluations in each third of the steps and of the seeds: a single
evaluation early in training says little. The learning rate falls as it does in the first part of a
whole training.
"""

import concurrent.futures
import fnmatch
import statistics
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from common import parser, print_table, write_json

from vbot.run import METRICS, RESULT, Run, read_lines
from vbot.settings import resolve
from vbot.sim import available_cores

PARTS = 3
EVALUATIONS = 9
ROWS: dict[str, list[str]] = {
    "as it is": [],
    "no mirror symmetry": ["ppo.symmetry=false"],
    "no trot": ["reward.terms.trot=null"],
    "heading_tracking 0.1": ["reward.terms.heading_tracking=0.1"],
    "penalties as in phase5": [
        f"reward.terms.{key}" for key in ("orientation=-0.05", "ang_vel_xy=-0.03", "action_rate=-0.01")
    ],
    "512 environments": ["env.num_envs=512"],
    "1,024 environments": ["env.num_envs=1024"],
    "8 steps a rollout": ["ppo.rollouts=8"],
    "12 steps a rollout": ["ppo.rollouts=12"],
    "16 steps a rollout": ["ppo.rollouts=16"],
    "24 steps a rollout": ["ppo.rollouts=24"],
    "learning rate 1e-3": ["ppo.learning_rate=1e-3"],
    "4 epochs": ["ppo.learning_epochs=4"],
    "value layers 128, 128": ["ppo.value_hidden_layer_sizes=[128,128]"],
    "discount 0.97": ["ppo.discount_factor=0.97"],
    "arrival_bonus besides": ["reward.terms.arrival_bonus=100"],
    "arrival_bonus besides, stay with sigma 0.3": [
        "reward.terms.arrival_bonus=100",
        "reward.terms.stay.speed_sigma=0.3",
    ],
    "stay with sigma 0.3": ["reward.terms.stay.speed_sigma=0.3"],
    "progress at any speed": ["reward.terms.progress.max_speed=100"],
    "termination -200": ["reward.terms.termination=-200"],
    "8 mini-batches": ["ppo.mini_batches=8"],
    "physics of 20 ms x 1": ["env.physics_step_s=0.02", "env.decimation=1"],
    "initial deviation 0.9": ["ppo.initial_std=0.9"],
    "policy layers 64, 64": ["ppo.policy_hidden_layer_sizes=[64,64]"],
}


def train(reward_set: str, every: list[str], row: str, seed: int, steps: int, directory: Path) -> None:
    whole, interval = resolve(reward_set, assignments=every).config, steps // EVALUATIONS
    end = 1 - (1 - whole.ppo.learning_rate_end) * steps / whole.train.steps
    assignments = [
        *(f"ppo.learning_rate_end={end:.3f}", "train.final_episodes=1", f"train.eval_interval={interval}"),
        *every,
        *ROWS[row],
    ]
    command = [
        *(sys.executable, "-m", "vbot.train", "--reward-set", reward_set, "--seed", seed, "--steps", steps),
        *("--threads", 1, "--quiet", "--no-archive", "--run-dir", directory),
        *(part for key in assignments for part in ("--set", key)),
    ]
    subprocess.run([str(part) for part in command], check=True)


def read_row(row: str, paths: list[Path], steps: int) -> dict[str, Any]:
    """Means over the seeds: success in each part of the steps, and steps/s."""
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    speeds = []
    for path in paths:
        for evaluation in Run.open(path).evaluations():
            # A run's steps come in whole rollouts, so that its last evaluation lies a little beyond.
            parts[min(int(PARTS * (evaluation["steps"] - 1) / steps), PARTS - 1)].append(evaluation["success_rate"])
        speeds.append(statistics.median(line["steps_per_s"] for line in read_lines(path / METRICS)))
    return {
        "row": row,
        "set": ROWS[row],
        "success": [statistics.mean(part) for part in parts],
        "steps_per_s": statistics.mean(speeds),
    }


def _options() -> ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--runs", type=Path, default=Path("runs/choices"), metavar="DIR", help="kept here")
    options.add_argument("--rows", nargs="+", default=["*"], metavar="PATTERN", help="of the table, as in '*trot*'")
    options.add_argument("--reward-set", default="swift", metavar="NAME")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="S")
    options.add_argument("--steps", type=float, default=1.5e6, metavar="N", help="of every run")
    options.add_argument("--set", action="append", default=[], dest="every", metavar="KEY=VALUE", help="in every row")
    return options


def main() -> None:
    given = _options().parse_args()
    steps = int(given.steps)
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row, pattern) for pattern in given.rows)]
    if not rows:
        sys.exit(f"error: no row matches {given.rows}; there are: {', '.join(ROWS)}")
    paths = {(row, seed): given.runs / f"{row.replace(' ', '-')}-s{seed}" for row in rows for seed in given.seeds}
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        jobs = [
            pool.submit(train, given.reward_set, given.every, row, seed, steps, path)
            for (row, seed), path in paths.items()
            if not (path / RESULT).is_file()
        ]
        for job in jobs:
            job.result()
    table = [read_row(row, [paths[row, seed] for seed in given.seeds], steps) for row in rows]
    ends = [f"to {steps * (part + 1) / PARTS / 1e6:.1f} M" for part in range(PARTS)]
    print_table(
        (f"success in %, mean of {len(given.seeds)} seeds", *ends, "k steps/s"),
        [(r["row"], *(f"{100 * s:.0f}" for s in r["success"]), f"{r['steps_per_s'] / 1e3:.1f}") for r in table],
    )
    write_json(given.json, table, steps=steps, seeds=given.seeds, every=given.every)


if __name__ == "__main__":
    main()
