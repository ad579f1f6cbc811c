"""Diagonal Gaussians in closed form, shapes (B, A) for means and actions, (A,) for the logarithm of the deviation."""

import math

import torch
from torch import Tensor

_LOG_2PI = math.log(2 * math.pi)


def log_prob(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """(B,) log density: -1/2 sum(((a - mean) / std)^2) - sum(log std) - A/2 log(2 pi)."""
    return log_density(((actions - mean) * torch.exp(-log_std)).square(), log_std)


def log_density(squares: Tensor, log_std: Tensor) -> Tensor:
    """(B,) log density where ((a - mean) / std)^2 is ``squares``, (B, A)."""
    return -0.5 * squares.sum(-1) - (log_std.sum() + 0.5 * _LOG_2PI * log_std.numel())


def entropy(log_std: Tensor) -> Tensor:
    """() differential entropy: sum(log std) + A/2 (1 + log(2 pi))."""
    return log_std.sum() + 0.5 * (1 + _LOG_2PI) * log_std.numel()


def kl_divergence(mean_p: Tensor, log_std_p: Tensor, mean_q: Tensor, log_std_q: Tensor) -> Tensor:
    """(B,) KL(p || q) = sum(log(std_q / std_p) + (std_p^2 + (mean_p - mean_q)^2) / (2 std_q^2) - 1/2)."""
    precision_q = torch.exp(-2 * log_std_q)
    spread = (log_std_q - log_std_p + 0.5 * torch.exp(2 * log_std_p) * precision_q - 0.5).sum()
    return spread + 0.5 * ((mean_p - mean_q).square() * precision_q).sum(-1)
