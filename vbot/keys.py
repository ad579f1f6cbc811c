"""Dotted keys, the flat form of a configuration: ``ppo.learning_rate``, ``reward.terms.NAME.scale``."""

from collections.abc import Mapping
from typing import Any

from vbot.errors import UserError

TERMS = "reward.terms."
"""What the keys of every term begin with."""


def flatten(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Nested mappings as dotted keys. A term given as a bare scale becomes ``reward.terms.NAME.scale``."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping) and node:
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        elif prefix.startswith(TERMS) and prefix.count(".") == 2 and node is not None:
            flat[f"{prefix}.scale"] = node
        elif isinstance(node, Mapping):
            if not prefix:
                raise UserError(f"{origin}: it is empty")
        else:
            flat[prefix] = node

    walk("", content)
    return flat


def names_of(key: str) -> tuple[str, ...]:
    """Every name that a dotted key answers to in constraints and patterns, the shortest first.

    ``ppo.learning_rate`` is also ``learning_rate``; ``reward.terms.termination.scale`` is also ``termination``,
    ``termination.scale`` and, as in ``--set``, ``reward.terms.termination``.
    """
    if key.startswith(TERMS):
        term = key.removeprefix(TERMS)
        return tuple(dict.fromkeys((term.removesuffix(".scale"), term, key.removesuffix(".scale"), key)))
    return tuple(dict.fromkeys((key.partition(".")[2] or key, key)))
