"""stable-baselines3's PPO on single robots, in processes (SubprocVecEnv) or one after another (DummyVecEnv).

Set up as somebody who knows it would for this task: observations and rewards normalised, rollouts of about 16,000
samples in four mini-batches, two hidden layers of 128, the learning rate falling to a hundredth, one torch thread while
collecting and all of them while learning. Processes are forked: they share the libraries' memory and start at once.
"""

import math

import numpy as np
import torch
from gym_robot import GymRobot
from session import Session, learning_on, options
from single import SingleRobot
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch import Tensor

SAMPLES = 16_384
"""Of a rollout, over all environments."""
MINI_BATCHES = 4


class Ask(BaseCallback):
    """Asks the session between updates."""

    def __init__(self, session: Session, env: VecNormalize) -> None:
        super().__init__()
        self._session, self._env = session, env
        self._go_on = True

    def policy(self, obs: Tensor) -> Tensor:
        actions, _ = self.model.predict(self._env.normalize_obs(obs.numpy()), deterministic=True)
        return torch.from_numpy(actions)

    def _on_rollout_start(self) -> None:
        self._go_on = self._session.go_on(self.num_timesteps, self.policy)

    def _on_step(self) -> bool:
        return self._go_on


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--envs", type=int, required=True)
    parser.add_argument("--processes", action="store_true", help="SubprocVecEnv instead of DummyVecEnv")
    given = parser.parse_args()
    session = Session(given)
    torch.set_num_threads(1)

    def make(number: int) -> GymRobot:
        seed = int(np.random.SeedSequence((session.seed, number)).generate_state(1)[0])
        return GymRobot(SingleRobot(session.config, session.reward_set, seed), seed)

    makers = [lambda number=number: make(number) for number in range(given.envs)]
    envs = SubprocVecEnv(makers, start_method="fork") if given.processes else DummyVecEnv(makers)
    env = VecNormalize(envs, gamma=session.discount)
    rollout = max(1, SAMPLES // given.envs)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=rollout,
        batch_size=rollout * given.envs // MINI_BATCHES,
        n_epochs=4,
        learning_rate=lambda _: 1e-3 * (1 - 0.99 * session.share),
        gamma=session.discount,
        gae_lambda=0.95,
        clip_range=0.2,
        ent_coef=0.005,
        max_grad_norm=1.0,
        policy_kwargs={
            "net_arch": {"pi": [128, 128], "vf": [128, 128]},
            "activation_fn": torch.nn.ReLU,
            "log_std_init": math.log(0.6),
        },
        seed=session.seed,
        device="cpu",
    )
    model.train = learning_on(session.threads, model.train)
    model.learn(10**12, callback=Ask(session, env))
    env.close()


if __name__ == "__main__":
    main()
