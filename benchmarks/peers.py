"""The same robot and task with other people's tools: speed, and time to 90 % success.

    python benchmarks/peers.py --quick [--json FILE]       # speed alone
    python benchmarks/peers.py --minutes 20 [--peers 'SB3*' vbot] [--json FILE]

- SB3: stable-baselines3's PPO on single robots, in processes (SubprocVecEnv) or one after another (DummyVecEnv).
- rsl_rl: its PPO on vbot's batched environment, also with its symmetry augmentation.
- vbot: vbot.train with the default of environments and, for speed alone, with more: few learn sooner, many are faster.

All on the same model, observation, reward set and ends of episodes; how each is set up is told in benchmarks/peers/.
Speed is control steps of 20 ms per second of training (collecting and learning), after a first update, repetitions
interleaved, medians. Success is that of the deterministic policy on the 256 held-out episodes that vbot.train looks
at, judged every 250,000 steps, evaluations off the clock; it holds from the first of three judgements in a row. SB3
trains with the number of environments that was fastest. A peer stops when 90 % holds or its --minutes are spent;
learning rates that fall do so over these minutes.

Needs the network the first time: peers and vbot are installed into a virtual environment of their own (--venv). On
Linux without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves several GB of CUDA packages.
"""

import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import first_hold, parser, print_table, write_json

HERE = Path(__file__).resolve().parent
REQUIREMENTS = (
    "torch<2.14",  # vbot's own bound
    "stable-baselines3>=2.9,<3",
    "gymnasium>=1.0,<2",
    "rsl-rl-lib>=5.5,<6",
    "tensordict>=0.15,<1",
    "mujoco>=4.0,<5",
    "numpy<3",
)
VERSIONS = ("stable-baselines3", "gymnasium", "rsl-rl-lib", "tensordict", "torch", "mujoco", "numpy", "vbot")
MARKER = "peers-installed.json"
VBOT = "vbot"
LEVEL = 0.90
EQUAL_STEPS = (1e6, 1.5e6, 2e6, 4e6)


@dataclass(frozen=True)
class Peer:
    """A way of training; ``command`` is a worker in benchmarks/peers/ and its options."""

    name: str
    command: tuple[str, ...]
    sb3: bool = False
    learns: bool = True
    """Its success is measured too; of those with ``sb3`` that of the fastest."""


def peers(subproc: Sequence[int], dummy: Sequence[int], vbot: Sequence[int]) -> list[Peer]:
    sb3 = [Peer(f"SB3 SubprocVecEnv, {n}", ("run_sb3.py", "--envs", str(n), "--processes"), True) for n in subproc]
    sb3 += [Peer(f"SB3 DummyVecEnv, {n}", ("run_sb3.py", "--envs", str(n)), True) for n in dummy]
    return [
        *sb3,
        Peer("rsl_rl, vbot's environment", ("run_rsl_rl.py",)),
        Peer("rsl_rl, symmetry augmentation", ("run_rsl_rl.py", "--mirror")),
        Peer(VBOT, ("run_vbot.py",)),
        *(Peer(f"{VBOT}, {n} environments", ("run_vbot.py", "--envs", str(n)), learns=False) for n in vbot),
    ]


def install(venv: Path) -> Path:
    """The Python of a virtual environment with the peers and this vbot, made on first use."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = json.dumps({"requirements": REQUIREMENTS, "vbot": str(HERE.parent)})
    marker = venv / MARKER
    if not (marker.is_file() and marker.read_text() == wanted):
        print(f"installing the peers into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        # Editable: what is measured is this source tree, also when it changes.
        command = [str(python), "-m", "pip", "install", "-q", *REQUIREMENTS, "-e", str(HERE.parent)]
        subprocess.run(command, check=True)
        marker.write_text(wanted)
    return python


def versions(python: Path) -> dict[str, str]:
    code = (
        f"import json; from importlib.metadata import version as v; print(json.dumps({{n: v(n) for n in {VERSIONS}}}))"
    )
    return json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout)


def work(python: Path, peer: Peer, *options: object) -> list[dict[str, Any]]:
    """The JSON lines of a worker, each shown as it comes."""
    worker, *arguments = peer.command
    command = [str(python), str(HERE / "peers" / worker), *arguments, *map(str, options)]
    print(f"{peer.name}: {' '.join(command[2:])}", file=sys.stderr)
    lines = []
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            lines.append(json.loads(line))
            print(f"  {line}", end="", file=sys.stderr)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return lines


def measure_speed(python: Path, chosen: Sequence[Peer], given: argparse.Namespace) -> list[dict[str, Any]]:
    speeds: dict[str, list[float]] = {peer.name: [] for peer in chosen}
    for _ in range(given.repetitions):
        for peer in chosen:
            (line,) = work(python, peer, "--reward-set", given.reward_set, "--seconds", given.seconds)
            speeds[peer.name].append(line["steps_per_s"])
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    return [
        {"peer": peer.name, "steps_per_s": medians[peer.name], "samples": speeds[peer.name], "sb3": peer.sb3}
        for peer in chosen
    ]


def measure_success(python: Path, chosen: Sequence[Peer], given: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for seed in given.seeds:
        for peer in chosen:
            options = ("--reward-set", given.reward_set, "--minutes", given.minutes, "--eval-every", given.eval_every)
            evaluations = work(python, peer, *options, "--seed", seed)
            rows.append(
                {
                    "peer": peer.name,
                    "seed": seed,
                    "hold": first_hold(evaluations, LEVEL),
                    "at_equal_steps": {str(int(steps)): _success_at(evaluations, steps) for steps in EQUAL_STEPS},
                    "evaluations": evaluations,
                }
            )
    return rows


def _success_at(evaluations: Sequence[dict[str, Any]], steps: float) -> float | None:
    """Success at the first judgement from ``steps`` on, at most a rollout later; None if training ended before."""
    return next((row["success_rate"] for row in evaluations if row["steps"] >= steps), None)


def report_speed(rows: Sequence[dict[str, Any]]) -> None:
    ours = [row for row in rows if row["peer"].startswith(VBOT)]
    print_table(
        ("control steps/s of training", "median", *(f"{row['peer']} is faster by" for row in ours)),
        [
            (
                row["peer"],
                f"{row['steps_per_s']:,.0f}",
                *(f"{our['steps_per_s'] / row['steps_per_s']:.1f} x" for our in ours),
            )
            for row in rows
        ],
    )


def report_success(rows: Sequence[dict[str, Any]]) -> None:
    print()
    header = (f"{LEVEL:.0%} success holds from", "training time", "steps", *(f"at {s / 1e6:g} M" for s in EQUAL_STEPS))
    lines = []
    for row in rows:
        hold = row["hold"]
        last = row["evaluations"][-1]
        when = f"{hold['training_s']:.0f} s" if hold else f"not in {last['training_s']:.0f} s"
        steps = f"{(hold or last)['steps'] / 1e6:.2f} M"
        rates = ("-" if rate is None else f"{rate:.0%}" for rate in row["at_equal_steps"].values())
        lines.append((f"{row['peer']}, seed {row['seed']}", when, steps, *rates))
    print_table(header, lines)


def main() -> None:
    options = parser(__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    options.add_argument("--venv", type=Path, default=cache / "vbot-peers", metavar="DIR", help="made on first use")
    options.add_argument("--reward-set", default="swift", metavar="NAME")
    options.add_argument("--quick", action="store_true", help="speed alone")
    options.add_argument("--peers", nargs="+", default=["*"], metavar="PATTERN", help="of the table, as in 'SB3*' vbot")
    options.add_argument("--subproc", nargs="*", type=int, default=[2, 8, 16, 64], metavar="N", help="processes of SB3")
    options.add_argument("--dummy", nargs="*", type=int, default=[8, 64, 256], metavar="N", help="environments of SB3")
    options.add_argument("--vbot", nargs="*", type=int, default=[4096], metavar="N", help="more environments")
    options.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of a measurement of speed, at least")
    options.add_argument("--repetitions", type=int, default=3, metavar="N", help="of each of them")
    options.add_argument("--minutes", type=float, default=20.0, metavar="M", help="most training time for success")
    options.add_argument("--eval-every", type=float, default=250e3, metavar="STEPS", help="of training")
    options.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="S")
    given = options.parse_args()
    python = install(given.venv)
    found = versions(python)
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    listed = peers(given.subproc, given.dummy, given.vbot)
    chosen = [peer for peer in listed if any(fnmatch.fnmatch(peer.name, pattern) for pattern in given.peers)]
    if not any(peer.name == VBOT for peer in chosen):
        sys.exit(f"error: --peers must leave vbot, which the others are compared with; got {' '.join(given.peers)}")
    speed = measure_speed(python, chosen, given)
    report_speed(speed)
    success: list[dict[str, Any]] = []
    if not given.quick:
        fastest = max((row for row in speed if row["sb3"]), key=lambda row: row["steps_per_s"], default=None)
        slower = {row["peer"] for row in speed if row["sb3"] and row is not fastest}
        learners = [peer for peer in chosen if peer.learns and peer.name not in slower]
        success = measure_success(python, learners, given)
        report_success(success)
    settings = {key: value for key, value in vars(given).items() if isinstance(value, (bool, int, float, str, list))}
    write_json(given.json, speed, success=success, versions=found, settings=settings)


if __name__ == "__main__":
    main()
