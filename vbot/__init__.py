"""vbot teaches a quadruped to walk to a target and stop there, and treats the reward as the thing engineered."""

__version__ = "0.1.0"
