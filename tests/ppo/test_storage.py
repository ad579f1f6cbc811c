import torch

from vbot.ppo.storage import generalized_advantages


def test_three_steps_by_hand() -> None:
    """gamma 0.5, lambda 0.5; env 0 goes on, env 1 is terminated at t = 1, env 2 truncated at t = 1."""
    column = torch.ones(3)
    rewards = torch.stack((1 * column, 2 * column, 3 * column))
    values = torch.stack((4 * column, 2 * column, 6 * column))
    next_values = torch.stack((2 * column, 6 * column, 8 * column))
    terminated, truncated = torch.zeros(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    terminated[1, 1] = truncated[1, 2] = True
    advantages = generalized_advantages(rewards, values, next_values, terminated, truncated, 0.5, 0.5)
    # Deltas: t=0: 1 + 0.5*2 - 4 = -2;  t=1: 2 + 0.5*6 - 2 = 3, terminated 2 - 2 = 0;  t=2: 3 + 0.5*8 - 6 = 1.
    # Then from the back, carry 0.25 unless the episode ended.
    expected = torch.tensor([[-2 + 0.25 * 3.25, -2.0, -2 + 0.25 * 3], [3 + 0.25 * 1, 0.0, 3.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(advantages, expected)


def test_agrees_with_a_sum_over_each_episode() -> None:
    """A_t = sum over k of (gamma lambda)^k delta_{t+k}, up to the end of the episode or of the rollout."""
    generator = torch.Generator().manual_seed(1)
    steps, envs, gamma, lambda_ = 20, 5, 0.97, 0.9
    rewards, values, next_values = (torch.randn(steps, envs, generator=generator).double() for _ in range(3))
    terminated = torch.rand(steps, envs, generator=generator) < 0.15
    truncated = (torch.rand(steps, envs, generator=generator) < 0.15) & ~terminated
    assert terminated.any()
    assert truncated.any()
    expected = torch.zeros(steps, envs, dtype=torch.float64)
    for n in range(envs):
        for t in range(steps):
            weight = 1.0
            for later in range(t, steps):
                future = 0.0 if terminated[later, n] else gamma * next_values[later, n].item()
                expected[t, n] += weight * (rewards[later, n].item() + future - values[later, n].item())
                if terminated[later, n] or truncated[later, n]:
                    break
                weight *= gamma * lambda_
    actual = generalized_advantages(rewards, values, next_values, terminated, truncated, gamma, lambda_)
    torch.testing.assert_close(actual, expected)


def test_a_broken_value_after_termination_is_not_read() -> None:
    nan, ended = torch.full((1, 1), torch.nan), torch.ones(1, 1, dtype=torch.bool)
    one = torch.ones(1, 1)
    assert generalized_advantages(one, 3 * one, nan, ended, ~ended, 0.9, 0.9).item() == -2
