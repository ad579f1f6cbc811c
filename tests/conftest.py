"""For every test: what trainings and searches archive goes where nobody looks, not into the checkout."""

import os
import tempfile
from collections.abc import Iterator

import pytest

from vbot.rewards import REGISTRY

# At import: modules of tests keep the environment for their subprocesses when they are imported.
_LIBRARY = tempfile.TemporaryDirectory(prefix="vbot-library-")
os.environ["VBOT_LIBRARY"] = _LIBRARY.name


@pytest.fixture
def own_terms() -> Iterator[None]:
    """What a test registers is gone after it."""
    with REGISTRY.borrowed():
        yield
