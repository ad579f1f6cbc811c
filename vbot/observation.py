"""The policy's observation: its layout, its computation and its mirror image, in this one place.

Training, evaluation and play all observe through here, so none of them can disagree with another.

Against the published 54 numbers: velocity command, heading error and the two ways of giving the distance are
replaced by the direction to the target and the distance on two ranges, because the first were functions of the
target that hid its bearing and the last used different divisors in training and play. The time and the clock of
reaching are new: rewards and episode ends depend on them, and a value function that cannot see them must average over
them. The time is told in seconds, not as the share of the task's limit that is left: robots trained for 20 s saw theirs
run out twice as fast in a contest of 10 s, as only the latest do in training, and crept to the target or stopped before
it. How long the robot has stood is left out on purpose: a success cuts the episode off, and what follows it is worth
what the value network makes of the observation of that moment. It must be one like many that the network has learned
from. With a clock of the stop it was the only one of its kind; its value fed on itself and rose a hundredfold over what
any robot had earned, until nothing but haste counted. New is a periodic clock too, see vbot.state.CLOCK_PERIOD_S. A
robot knows all of it at run time: velocities from its state estimator, the rest from encoders, gyro, the target it was
given and a clock.
"""

import torch
from torch import Tensor

from vbot.ppo.vec_env import Symmetry
from vbot.robot import Robot
from vbot.state import State

FAR_M = 12.0
"""Distance at which the far range of the distance reading saturates."""
NEAR_M = 1.0
"""Distance at which the near range saturates: it resolves the last steps."""
AFTER_REACH_S = 1.0
"""Time since the first reach at which its clock saturates."""
TIME_S = 20.0
"""What is left of this since the start is the time that is observed, whatever the task's limit."""


class Observation:
    """Builds observations (N, size) for robots with J joints; ``layout`` names every part and its width."""

    def __init__(self, robot: Robot) -> None:
        j = len(robot.joints)
        self._robot = robot
        self.layout: dict[str, int] = {
            "base_lin_vel_b": 3,
            "base_ang_vel_b": 3,
            "projected_gravity_b": 3,
            "joint_pos": j,
            "joint_vel": j,
            "action": j,
            "target_direction_b": 2,
            "distance_far": 1,
            "distance_near": 1,
            "reached": 1,
            "ever_reached": 1,
            "time_since_reach": 1,
            "time_to_20_s": 1,
            "clock": 2,
        }
        self.size = sum(self.layout.values())

    def __call__(self, s: State, ids: Tensor | None = None) -> Tensor:
        """Observation of every environment, (N, size) float32, or of environments ``ids`` (n,) alone, (n, size).

        Joint positions are relative to the standing pose.
        """

        def of(field: Tensor) -> Tensor:
            return field if ids is None else field.index_select(0, ids)

        phase, distance, reached = of(s.clock_phase), of(s.distance), of(s.reached)
        walking = (~reached).float()  # within the reach radius the clock is silent, for there the robot stands
        columns = torch.stack(
            (
                distance.clamp(max=FAR_M) / FAR_M,
                distance.clamp(max=NEAR_M) / NEAR_M,
                reached.float(),
                of(s.ever_reached).float(),
                of(s.time_since_reach).clamp(max=AFTER_REACH_S) / AFTER_REACH_S,
                (TIME_S - of(s.time_s)) / TIME_S,
                torch.sin(phase) * walking,
                torch.cos(phase) * walking,
            ),
            dim=1,
        )
        return torch.cat(
            (
                of(s.base_lin_vel_b),
                of(s.base_ang_vel_b),
                of(s.projected_gravity_b),
                of(s.joint_pos) - of(s.default_joint_pos),
                of(s.joint_vel),
                of(s.action),
                of(s.target_vec_b) / distance.clamp(min=1e-3).unsqueeze(1),
                columns,
            ),
            dim=1,
        )

    def min_std(self, device: torch.device) -> Tensor:
        """What an observation's standard deviation counts as at least, (size,), in the observation's own units; 0 of
        most.

        Of what tells of the reach it is 0.5, that of a fair coin and the largest that a flag can have. A robot that has
        hardly ever reached would else see its first reaches 10 deviations, where inputs are clipped, from all that it
        has learned from; some learned to stay out.
        """
        least = [
            0.5 if name in ("reached", "ever_reached", "time_since_reach") else 0.0
            for name, width in self.layout.items()
            for _ in range(width)
        ]
        return torch.tensor(least, device=device)

    def symmetry(self, device: torch.device) -> Symmetry | None:
        """The mirror image of observations and actions, or None if the robot states no symmetry.

        Mirroring left and right flips the lateral part of a vector, and of an axial vector (a rotation rate) the
        other two.
        """
        if self._robot.mirror_index is None or self._robot.mirror_sign is None:
            return None
        joints, signs = list(self._robot.mirror_index), list(self._robot.mirror_sign)
        flips = {
            "base_lin_vel_b": [1.0, -1.0, 1.0],
            "base_ang_vel_b": [-1.0, 1.0, -1.0],
            "projected_gravity_b": [1.0, -1.0, 1.0],
            "target_direction_b": [1.0, -1.0],
            "clock": [-1.0, -1.0],  # half a period later: left and right swap their parts in a symmetric gait
        }
        index: list[int] = []
        sign: list[float] = []
        for name, width in self.layout.items():
            start = len(index)
            of_joints = name in ("joint_pos", "joint_vel", "action")
            index += [start + k for k in (joints if of_joints else range(width))]
            sign += signs if of_joints else flips.get(name, [1.0] * width)
        return Symmetry(
            torch.tensor(index, device=device),
            torch.tensor(sign, device=device),
            torch.tensor(joints, device=device),
            torch.tensor(signs, device=device),
        )
