"""TensorBoard: what is written under which tag, in this one place."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

_LOSSES = (
    "policy_loss",
    "value_loss",
    "entropy",
    "kl",
    "clip_fraction",
    "value_mean",
    "explained_variance",
    "grad_norm",
)


class Dashboard:
    """Writes a run's events. ``steps`` is always control steps over all environments."""

    def __init__(self, directory: Path, *, resumed_at: int | None = None) -> None:
        self._writer = SummaryWriter(str(directory), purge_step=None if resumed_at is None else resumed_at + 1)

    def update(self, metrics: Mapping[str, float], steps: int) -> None:
        """Metrics of an update and the speed of its rollout."""
        scalars = {f"Loss / {name}": metrics[name] for name in _LOSSES}
        scalars["Policy / Standard deviation"] = metrics["action_std"]
        scalars["Learning / Learning rate"] = metrics["learning_rate"]
        scalars["Speed / Control steps per second"] = metrics["steps_per_s"]
        scalars["Reward / Instantaneous reward (mean)"] = metrics["reward_mean"]
        self._write(scalars, steps)

    def episodes(self, outcome: Mapping[str, Any], steps: int) -> None:
        """Outcomes of training episodes that ended in a rollout, and their income by term: keys of the metrics."""
        scalars = {
            "Reward / Total reward (mean)": outcome["return_mean"],
            "Episode / Duration (s)": outcome["duration_s"],
        }
        for name, income in outcome["term_sums"].items():
            scalars[f"Reward term, weighted / {name}"] = income
            scalars[f"Reward term, raw / {name}"] = outcome["term_raw_means"][name]
        for name in ("success_rate", "reached_rate", "fall_rate", "timeout_rate"):
            scalars[f"Training episodes / {name}"] = outcome[name]
        self._write(scalars, steps)

    def evaluation(self, summary: Mapping[str, Any], steps: int) -> None:
        """A deterministic evaluation on held-out episodes."""
        scalars = {
            f"Evaluation / {name}": value
            for name, value in summary.items()
            if isinstance(value, (int, float)) and name not in ("episodes", "seed", "steps")
        }
        self._write(scalars, steps)

    def findings(self, rows: Sequence[Mapping[str, Any]], steps: int) -> None:
        """What the detectors saw in an evaluation, a row of the run's findings each."""
        for row in rows:
            self._write({f"Finding / {row['name']}": row["share"]}, steps)
            shown = f"; {row['replay']}" if row["replay"] else ""
            self._writer.add_text(
                f"Finding / {row['name']}", f"{row['message']}; evaluation seed {row['evaluation_seed']}{shown}", steps
            )

    def close(self) -> None:
        self._writer.close()

    def _write(self, scalars: Mapping[str, float], steps: int) -> None:
        """Those that are finite, as one event: sixty calls of ``add_scalar`` cost a hundredth of the training."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items() if math.isfinite(value)]
        self._writer._get_file_writer().add_summary(Summary(value=values), steps)
