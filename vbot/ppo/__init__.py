"""Proximal policy optimisation on a batched environment that it knows only through the `VecEnv` protocol."""

from vbot.ppo.algorithm import PPO
from vbot.ppo.model import ActorCritic
from vbot.ppo.trainer import Trainer
from vbot.ppo.vec_env import Step, Symmetry, VecEnv

__all__ = ["PPO", "ActorCritic", "Step", "Symmetry", "Trainer", "VecEnv"]
