"""What tests of searches share."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from vbot.search.study import Study


@contextlib.contextmanager
def _ctrl_c_in_trial_1() -> Iterator[None]:
    begin = Study._begin

    def interrupted(self, run):
        begin(self, run)
        if run.name == "001":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Study, "_begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.fixture
def ctrl_c_in_trial_1() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Within it a search is to be interrupted as soon as its second trial has begun."""
    return _ctrl_c_in_trial_1
