"""Penalties for leaving the platform and for falling. Scales and ranges: the published section001 sets."""

import torch

from vbot.rewards import Choice, State, Uniform, penalty


@penalty(scale=-3.0, search=Uniform(-10.0, -0.5), tune={"margin": Uniform(0.0, 3.0)})
def boundary_penalty(s: State, *, margin: float = 1.0) -> torch.Tensor:
    """Distance past the safe circle, max(r - (R - margin), 0), r from the middle of the course, R the platform; m."""
    return (s.radius - (s.platform_radius - margin)).clamp(min=0.0)


@penalty(scale=-200.0, search=Choice(-500.0, -300.0, -200.0, -150.0, -100.0, -75.0, -50.0), kind="event")
def termination(s: State) -> torch.Tensor:
    """1 on a fall; an event."""
    return s.fallen.float()
