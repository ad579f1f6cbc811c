"""Terms that lead the robot to the target. Scales and ranges: the published section001 sets (``sets/*.yaml``)."""

import torch

from vbot.rewards import LogUniform, State, Uniform, reward


@reward(scale=1.5, search=Uniform(0.5, 5.0), tune={"sigma": LogUniform(0.5, 10.0)}, decay=True)
def position_tracking(s: State, *, sigma: float = 5.0) -> torch.Tensor:
    """Closeness to the target, exp(-d / sigma); d and sigma in m."""
    return torch.exp(-s.distance / sigma)


@reward(
    scale=8.0,
    search=Uniform(0.5, 15.0),
    tune={"sigma": LogUniform(0.1, 2.0), "radius": Uniform(0.5, 5.0)},
    decay=True,
)
def fine_position_tracking(
    s: State, *, sigma: float = 0.5, radius: float = 2.5, after_reach: bool = False
) -> torch.Tensor:
    """Closeness near the target, exp(-d / sigma) where d < radius; d, sigma and radius in m.

    ``after_reach`` pays only after the first reach: hovering just outside would else earn nearly all of reaching.
    """
    near = s.distance < radius
    paid = near & s.ever_reached if after_reach else near
    return torch.exp(-s.distance / sigma) * paid


@reward(scale=1.0, search=Uniform(0.1, 2.0), tune={"sigma": LogUniform(0.1, 2.0)}, decay=True)
def heading_tracking(s: State, *, sigma: float = 0.5) -> torch.Tensor:
    """Facing the target, exp(-|bearing error| / sigma), before the first reach; angles in rad."""
    return torch.exp(-s.bearing_error.abs() / sigma) * ~s.ever_reached


@reward(
    scale=0.8,
    search=Uniform(0.0, 2.5),
    tune={"max_speed": Uniform(0.3, 2.0), "min_speed": Uniform(-2.0, 0.0)},
    decay=True,
)
def forward_velocity(s: State, *, max_speed: float = 0.6, min_speed: float = -1.0) -> torch.Tensor:
    """Velocity towards the target clipped to [min_speed, max_speed], before the first reach; m/s.

    The cap keeps a sprint that ends in a crash from paying more than a walk.
    """
    return s.target_speed.clamp(min_speed, max_speed) * ~s.ever_reached


@reward(scale=1.5, search=Uniform(0.5, 3.0), tune={"low": Uniform(-1.0, 0.0), "high": Uniform(0.5, 1.0)}, decay=True)
def distance_progress(s: State, *, low: float = -0.5, high: float = 1.0) -> torch.Tensor:
    """Share of the way covered, clip(1 - d / d0, low, high), before the first reach; d and d0 (at spawn) in m."""
    covered = 1.0 - s.distance / s.initial_distance.clamp(min=1e-6)
    return covered.clamp(low, high) * ~s.ever_reached


@reward(scale=5.0, search=Uniform(2.0, 50.0), kind="event", clip=(0.0, 1.0), decay=True)
def approach_scale(s: State) -> torch.Tensor:
    """Metres gained on the target in this step, before the first reach; m, the weighted value clipped to [0, 1]."""
    return (s.prev_distance - s.distance) * ~s.ever_reached


@reward(scale=0.15, search=Uniform(0.05, 0.5), decay=True)
def alive_bonus(s: State) -> torch.Tensor:
    """1 before the first reach; no unit.

    Paid for the whole episode it outweighs the arrival, and a robot that stands still collects it: the lazy robot.
    """
    return (~s.ever_reached).float()


@reward(
    scale=30.0,
    search=Uniform(5.0, 100.0),
    tune={"max_speed": Uniform(0.5, 3.0), "charge": Uniform(0.0, 10.0)},
    kind="event",
)
def progress(s: State, *, max_speed: float = 1.5, charge: float = 1.0) -> torch.Tensor:
    """Metres gained on the target in this step; what exceeds max_speed is not paid but charged, charge-fold; m, m/s.

    The difference of a potential (Ng, Harada & Russell, "Policy invariance under reward transformations", 1999), so
    that over an episode only the way covered is paid: no detour, circle or hovering earns anything. A sprint pays less
    than a run, for it ends in a fall: with a mere cap robots went on to gain speed, since arriving sooner pays too.
    """
    gained = s.prev_distance - s.distance
    return gained - (1 + charge) * (gained - max_speed * s.step_s).clamp(min=0)


@reward(scale=0.2, search=LogUniform(0.02, 1.0))
def trot(s: State) -> torch.Tensor:
    """Share of feet in time with the clock, minus a half, before the first reach; no unit.

    In the clock's first half period feet 0 and 3 are to be in the air and 1 and 2 on the ground, then the reverse:
    diagonal pairs, in the order of feet FR, FL, RR, RL.
    """
    first_half = torch.sin(s.clock_phase) > 0
    swings = torch.stack((first_half, ~first_half, ~first_half, first_half), dim=1)
    return ((s.foot_contact != swings).float().mean(1) - 0.5) * ~s.ever_reached
