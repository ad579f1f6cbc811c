import torch
from torch.distributions import Independent, Normal, kl_divergence

from vbot.ppo import gaussian


def test_closed_forms_agree_with_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean_p, mean_q, actions = (torch.randn(7, 3, generator=generator) for _ in range(3))
    log_std_p, log_std_q = torch.tensor([-1.0, 0.2, 0.5]), torch.tensor([0.3, -0.7, 0.5])
    p, q = (
        Independent(Normal(mean, log_std.exp().expand(7, 3)), 1)
        for mean, log_std in ((mean_p, log_std_p), (mean_q, log_std_q))
    )
    torch.testing.assert_close(gaussian.log_prob(actions, mean_p, log_std_p), p.log_prob(actions))
    torch.testing.assert_close(gaussian.entropy(log_std_p).expand(7), p.entropy())
    torch.testing.assert_close(gaussian.kl_divergence(mean_p, log_std_p, mean_q, log_std_q), kl_divergence(p, q))
