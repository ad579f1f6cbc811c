"""rsl_rl's PPO and runner on vbot's batched environment: the same physics, another learner.

Its usual settings for legged robots (24 steps a rollout, adaptive learning rate, five epochs of four mini-batches,
observations normalised), with vbot's networks and initial noise. Rewards are multiplied by the control period, as is
custom with it, since its value loss is clipped in units of the reward. One torch thread while collecting and all of
them while learning. ``--mirror`` adds its symmetry augmentation.
"""

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from session import Session, learning_on, options, silence
from tensordict import TensorDict
from torch import Tensor

from vbot.config import PPOConfig
from vbot.env import Env
from vbot.evaluation import random_stream

ROLLOUT = 24
"""Control steps between two updates."""


class RslRobots(VecEnv):
    """vbot's environment as rsl_rl knows them."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.num_envs, self.num_actions, self.device = env.num_envs, env.num_actions, env.device
        self.max_episode_length = round(env.task.episode_limit_s / env.config.step_s)
        # Of no use to the runner here: the environment itself begins its first episodes at random times.
        self.episode_length_buf = torch.zeros(env.num_envs, dtype=torch.long)
        self.cfg: dict = {}
        self._obs = env.reset()

    def get_observations(self) -> TensorDict:
        return TensorDict({"policy": self._obs}, batch_size=[self.num_envs])

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict]:
        step = self.env.step(actions)
        self.env.take_episodes()
        self._obs = step.obs
        dones = (step.terminated | step.truncated).long()
        return self.get_observations(), step.reward * self.env.config.step_s, dones, {"time_outs": step.truncated}


def mirrored(env: RslRobots, obs: TensorDict | None, actions: Tensor | None) -> tuple[TensorDict | None, Tensor | None]:
    """Observations and actions, followed by their mirror images."""
    s = env.env.symmetry
    assert s is not None
    if obs is not None:
        both = torch.cat((obs["policy"], obs["policy"][:, s.obs_index] * s.obs_sign))
        obs = TensorDict({"policy": both}, batch_size=[len(both)])
    if actions is not None:
        actions = torch.cat((actions, actions[:, s.action_index] * s.action_sign))
    return obs, actions


def settings(initial_std: float, hidden: tuple[int, ...], discount: float, mirror: bool) -> dict:
    network = {"class_name": "MLPModel", "hidden_dims": list(hidden), "activation": "elu", "obs_normalization": True}
    noise = {"class_name": "GaussianDistribution", "init_std": initial_std}
    augmentation = {"use_data_augmentation": True, "data_augmentation_func": mirrored}
    return {
        "num_steps_per_env": ROLLOUT,
        "save_interval": 10**9,
        "check_for_nan": False,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "actor": {**network, "distribution_cfg": noise},
        "critic": dict(network),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 5,
            "num_mini_batches": 4,
            "learning_rate": 1e-3,
            "schedule": "adaptive",
            "desired_kl": 0.01,
            "gamma": discount,
            "lam": 0.95,
            "clip_param": 0.2,
            "entropy_coef": 0.005,
            "value_loss_coef": 1.0,
            "use_clipped_value_loss": True,
            "max_grad_norm": 1.0,
            "rnd_cfg": None,
            "symmetry_cfg": augmentation if mirror else None,
        },
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--mirror", action="store_true", help="with its symmetry augmentation")
    given = parser.parse_args()
    session = Session(given)
    torch.manual_seed(session.seed)
    torch.set_num_threads(1)
    env = Env(
        session.config,
        session.reward_set,
        generator=random_stream("training", session.seed),
        threads=session.threads,
        desynchronize=True,
    )
    ppo = PPOConfig()
    configured = settings(ppo.initial_std, ppo.policy_hidden_layer_sizes, session.discount, given.mirror)
    with silence():
        runner = OnPolicyRunner(RslRobots(env), configured, log_dir=None, device="cpu")
    runner.alg.update = learning_on(session.threads, runner.alg.update)

    @torch.no_grad()
    def policy(obs: Tensor) -> Tensor:
        return runner.alg.get_policy()(TensorDict({"policy": obs}, batch_size=[len(obs)]))

    steps = 0
    while session.go_on(steps, policy):
        with silence():
            runner.learn(1)
        steps += ROLLOUT * env.num_envs


if __name__ == "__main__":
    main()
