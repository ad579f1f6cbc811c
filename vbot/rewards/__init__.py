"""Reward terms as plugins. The door for term authors and for everything that reads the registry.

A file in this package that defines terms is found by itself; see ``vbot.rewards.tracking`` for what one looks like.
"""

import importlib
import pkgutil

from vbot.ranges import Choice, LogUniform, Uniform
from vbot.rewards.registry import REGISTRY, Registry, TermSpec, penalty, reward
from vbot.state import State

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["REGISTRY", "Choice", "LogUniform", "Registry", "State", "TermSpec", "Uniform", "penalty", "reward"]
