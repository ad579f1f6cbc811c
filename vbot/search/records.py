"""What a study was asked to do, and what it knows of each of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vbot.search.executor import State


@dataclass(frozen=True)
class Plan:
    """What a search was asked to do; it is the first event of the journal and never changes.

    Args:
        config: dotted key -> value of what is trained without a search, budget of a trial included.
        sampler, seed: who proposes, from which stream; the seed is also that of every trial's training.
        trials: points to try, the defaults among them.
        budget_s: s of search, over all resumes; None for no limit.
        plugins: files with reward terms.
        command: arguments of the process that began the search, the program first.
        began: when it began, ISO 8601.
    """

    config: Mapping[str, Any]
    sampler: str
    seed: int
    trials: int
    budget_s: float | None
    prune: bool = True
    jobs: int = 1
    plugins: Sequence[str] = ()
    command: Sequence[str] = ()
    began: str = ""


@dataclass
class RunRecord:
    """A training of a trial's point with one seed."""

    name: str
    trial: int
    seed: int
    state: State | None = None
    """None until it has ended for good."""
    stopped: bool = False
    """Whether it waits because of Ctrl-C or the end of the budget."""
    reason: str = ""
    failures: int = 0
    objective: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def label(self) -> str:
        """Its state as people read it; of a run that is under way, what it was before."""
        return str(self.state or (State.STOPPED if self.stopped else "WAITING"))
