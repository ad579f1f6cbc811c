"""Joint search over reward scales, term parameters and PPO hyperparameters, judged by held-out success."""
