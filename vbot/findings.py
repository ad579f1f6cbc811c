"""Findings: what the audit and the detectors say, and the names of the cheats they know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

CHEATS: Mapping[str, str] = {
    "lazy robot": "stands still and collects the pay for being alive",
    "standing dominance": "stands, for standing pays more per step than walking",
    "sprint-crash": "sprints, crashes, and begins again",
    "touch-and-die": "touches the target and falls",
    "fly-through": "crosses the target at speed",
    "deceleration moat": "stops about 1 m short of the target",
    "conservative hovering": "hovers just outside the target",
    "negative walk": "moves in ways that lower penalties only",
    "reach-and-farm": "leaves the target and enters it again",
    "die early": "ends the episode to escape what it costs",
    "hover near boundary": "stays near the boundary, where nothing is penalised",
}
"""The eleven ways in which policies were seen to cheat, and what each does."""

OTHERS: Mapping[str, str] = {
    "dead gradient": "nothing tells a robot at this distance where to go",
    "ghost term": "a scale or parameter that changes no reward",
    "alive dominance": "pay for being alive is most of the income",
    "discount": "the discount makes an arrival worth next to nothing at the start",
    "misalignment": "episodes that succeed are paid less than those that fail",
    "dead term": "a term that never paid or cost anything",
    "dominating term": "one term is nearly all of the income",
    "peak then decline": "success was better earlier in the run",
}
"""Other things that go wrong with rewards."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, with its evidence."""

    level: Level
    name: str
    """Of CHEATS or OTHERS."""
    message: str
    suggestion: str
    """One change that would mend it."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The evidence as plain values."""

    def __post_init__(self) -> None:
        if self.name not in CHEATS and self.name not in OTHERS:
            raise ValueError(f"a finding is named after a cheat of vbot.findings; got {self.name!r}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "name": self.name,
            "message": self.message,
            "suggestion": self.suggestion,
            "numbers": dict(self.numbers),
        }

    def __str__(self) -> str:
        return f"{self.level}: {self.name}: {self.message}; try {self.suggestion}"


def by_level(findings: list[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes, each in their order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
