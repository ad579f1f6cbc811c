"""How speed and memory of training grow with the number of environments, on one thread and on two.

    python benchmarks/scaling.py [--envs 256 512 ...] [--threads 1 2] [--json FILE]

Every point is a fresh process that trains for real (everything logged): a first update, then at least two and at least
--seconds of them, of which the median counts; no evaluation. Memory is the highest resident set of that process.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import parser, print_table, write_json
from training import TimedExperiment, endless_settings, train

LEAST_UPDATES = 2


def measure(reward_set: str, num_envs: int, threads: int, seconds: float) -> dict[str, Any]:
    """A point, in this process."""
    experiment = TimedExperiment(endless_settings(reward_set, num_envs, threads), quiet=True)
    updates_s: list[float] = []

    def after_update(update_s: float) -> bool:
        updates_s.append(update_s)
        timed = updates_s[1:]
        return len(timed) < LEAST_UPDATES or sum(timed) < seconds

    train(experiment, after_update)
    steps = experiment.settings.config.ppo.rollouts * num_envs
    return {
        "num_envs": num_envs,
        "threads": threads,
        "steps_per_s": steps / statistics.median(updates_s[1:]),
        "peak_rss_mib": peak_rss_mib(),
        "updates": len(updates_s) - 1,
    }


def peak_rss_mib() -> float:
    """The highest resident set of this process so far."""
    try:
        # Not getrusage's: on Linux that begins with the size of the parent, which the new process shared for a moment.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_a_process(given: argparse.Namespace, num_envs: int, threads: int) -> dict[str, Any]:
    point = ["--envs", num_envs, "--threads", threads, "--reward-set", given.reward_set, "--seconds", given.seconds]
    command = [sys.executable, __file__, "--point", *map(str, point)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--envs", nargs="+", type=int, default=[256, 512, 1024, 2048, 4096, 8192, 16384], metavar="N")
    options.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    options.add_argument("--reward-set", default="phase5", metavar="NAME")
    options.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of updates at every point, at least")
    options.add_argument("--repetitions", type=int, default=1, metavar="N", help="of all points, one after another")
    options.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.point:
        print(json.dumps(measure(given.reward_set, given.envs[0], given.threads[0], given.seconds)))
        return
    points = [(num_envs, threads) for num_envs in given.envs for threads in given.threads]
    samples: dict[tuple[int, int], list[dict[str, Any]]] = {point: [] for point in points}
    for _ in range(given.repetitions):
        for point in points:
            samples[point].append(in_a_process(given, *point))
            print(samples[point][-1], file=sys.stderr)
    rows = [
        {
            **found[0],
            "steps_per_s": statistics.median(row["steps_per_s"] for row in found),
            "peak_rss_mib": max(row["peak_rss_mib"] for row in found),
        }
        for found in samples.values()
    ]
    print_table(
        ("environments", *(f"steps/s, {t} thread{'s' * (t > 1)}" for t in given.threads), "peak memory, MiB"),
        [_line(num_envs, [row for row in rows if row["num_envs"] == num_envs]) for num_envs in given.envs],
    )
    settings = {"reward_set": given.reward_set, "seconds": given.seconds, "repetitions": given.repetitions}
    write_json(given.json, rows, settings=settings)


def _line(num_envs: int, rows: list[dict[str, Any]]) -> list[str]:
    speeds = (f"{row['steps_per_s']:,.0f}" for row in rows)
    return [f"{num_envs:,}", *speeds, f"{max(row['peak_rss_mib'] for row in rows):,.0f}"]


if __name__ == "__main__":
    main()
