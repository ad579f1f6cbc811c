"""Terms for reaching the target and stopping there. Scales and ranges: the published section001 sets."""

import torch

from vbot.rewards import LogUniform, State, Uniform, penalty, reward


def _stopping(s: State, max_speed: float, window_s: float) -> torch.Tensor:
    """(num_envs,) bool: slow, after the first reach and within window_s of it; the shared gate of the stop terms."""
    # A tenth of a step of slack: fifty float32 steps of 10 ms add up to a little less than 0.5 s.
    in_window = s.ever_reached & (s.time_since_reach < window_s - 0.1 * s.step_s)
    return in_window & (s.planar_speed < max_speed)


@reward(scale=100.0, search=Uniform(5.0, 200.0), kind="event", decay=True)
def arrival_bonus(s: State) -> torch.Tensor:
    """1 on the step of the first reach of the target; an event.

    Once per episode, so leaving and entering again earns nothing.
    """
    return s.first_reach.float()


@reward(scale=40.0, search=Uniform(10.0, 80.0), kind="event", decay=True)
def inner_fence_bonus(s: State) -> torch.Tensor:
    """1 on the step of the first entry into the inner fence; an event, once per episode."""
    return s.first_fence.float()


@reward(
    scale=5.0,
    search=Uniform(1.0, 12.0),
    tune={
        "max_speed": Uniform(0.1, 0.6),
        "window_s": Uniform(0.2, 2.0),
        "speed_sigma": LogUniform(0.05, 0.6),
        "yaw_sigma": LogUniform(0.05, 1.0),
    },
    decay=True,
)
def stop_scale(
    s: State, *, max_speed: float = 0.3, window_s: float = 0.5, speed_sigma: float = 0.2, yaw_sigma: float = 0.1
) -> torch.Tensor:
    """0.8 exp(-(v / speed_sigma)^2) + 1.2 exp(-(w_z / yaw_sigma)^4) while stopping; v in m/s, w_z in rad/s.

    Stopping is v < max_speed within window_s of the first reach: a window from each reach would pay leaving again.
    """
    slow = 0.8 * torch.exp(-((s.planar_speed / speed_sigma) ** 2))
    # Squares, because a general power is ten times slower.
    steady = 1.2 * torch.exp(-(s.base_ang_vel_b[:, 2] / yaw_sigma).square().square())
    return (slow + steady) * _stopping(s, max_speed, window_s)


@reward(
    scale=10.0,
    search=Uniform(2.0, 16.0),
    tune={"max_yaw_rate": LogUniform(0.01, 0.5), "max_speed": Uniform(0.1, 0.6), "window_s": Uniform(0.2, 2.0)},
    decay=True,
)
def zero_ang_bonus(
    s: State, *, max_yaw_rate: float = 0.05, max_speed: float = 0.3, window_s: float = 0.5
) -> torch.Tensor:
    """1 while stopping, as in stop_scale, with |w_z| < max_yaw_rate; w_z in rad/s."""
    return (_stopping(s, max_speed, window_s) & (s.base_ang_vel_b[:, 2].abs() < max_yaw_rate)).float()


@penalty(
    scale=-0.5,
    search=Uniform(-4.0, -0.1),
    tune={"radius": Uniform(0.3, 1.5), "slope": Uniform(0.0, 1.0), "high": Uniform(0.0, 1.0)},
)
def near_target_speed(
    s: State, *, radius: float = 0.5, slope: float = 0.0, low: float = 0.0, high: float = 0.0
) -> torch.Tensor:
    """Speed over the allowed one, max(v - clip(slope d, low, high), 0)^2 where d < radius; d in m, v in m/s.

    Keep the radius small: felt from 2 m on, it made robots stop about 1 m short of the target.
    """
    excess = (s.planar_speed - (slope * s.distance).clamp(low, high)).clamp(min=0.0)
    return excess.square() * (s.distance < radius)


@penalty(scale=-5.0, search=Uniform(-15.0, -1.0), tune={"min_speed": Uniform(0.1, 2.0)}, kind="event")
def departure_penalty(s: State, *, min_speed: float = 1.0) -> torch.Tensor:
    """Metres lost to the target in this step, after the first reach, where faster than min_speed (m/s).

    It makes flying through the target cost what the arrival has earned.
    """
    lost = s.distance - s.prev_distance
    return lost.clamp(min=0.0) * (s.ever_reached & (lost > min_speed * s.step_s))


@reward(scale=1.0, search=Uniform(0.2, 5.0), tune={"speed_sigma": LogUniform(0.05, 1.0)})
def stay(s: State, *, speed_sigma: float = 0.15) -> torch.Tensor:
    """Standing at the target, exp(-(v / speed_sigma)^2) within the reach radius; v in m/s.

    Without a window: success cuts the episode off and does not end it, so standing still is worth its pay for ever
    and moving again to collect more earns less.
    """
    return s.reached * torch.exp(-((s.planar_speed / speed_sigma) ** 2))
