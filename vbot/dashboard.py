"""TensorBoard: what is written under which tag, in this one place."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
        for name in _LOSSES:
            self._scalar(f"Loss / {name}", metrics[name], steps)
        self._scalar("Policy / Standard deviation", metrics["action_std"], steps)
        self._scalar("Learning / Learning rate", metrics["learning_rate"], steps)
        self._scalar("Speed / Control steps per second", metrics["steps_per_s"], steps)
        self._scalar("Reward / Instantaneous reward (mean)", metrics["reward_mean"], steps)

    def episodes(self, outcome: Mapping[str, Any], steps: int) -> None:
        """Outcomes of training episodes that ended in a rollout, and their income by term: keys of the metrics."""
        self._scalar("Reward / Total reward (mean)", outcome["return_mean"], steps)
        self._scalar("Episode / Duration (s)", outcome["duration_s"], steps)
        for name, income in outcome["term_sums"].items():
            self._scalar(f"Reward term, weighted / {name}", income, steps)
            self._scalar(f"Reward term, raw / {name}", outcome["term_raw_means"][name], steps)
        for name in ("success_rate", "reached_rate", "fall_rate", "timeout_rate"):
            self._scalar(f"Training episodes / {name}", outcome[name], steps)

    def evaluation(self, summary: Mapping[str, Any], steps: int) -> None:
        """A deterministic evaluation on held-out episodes."""
        for name, value in summary.items():
            if isinstance(value, (int, float)) and name not in ("episodes", "seed", "steps"):
                self._scalar(f"Evaluation / {name}", value, steps)

    def findings(self, rows: Sequence[Mapping[str, Any]], steps: int) -> None:
        """What the detectors saw in an evaluation, a row of the run's findings each."""
        for row in rows:
            self._scalar(f"Finding / {row['name']}", row["share"], steps)
            shown = f"; {row['replay']}" if row["replay"] else ""
            self._writer.add_text(
                f"Finding / {row['name']}", f"{row['message']}; evaluation seed {row['evaluation_seed']}{shown}", steps
            )

    def close(self) -> None:
        self._writer.close()

    def _scalar(self, tag: str, value: float, steps: int) -> None:
        if math.isfinite(value):
            self._writer.add_scalar(tag, value, steps)
