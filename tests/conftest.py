"""For every test: what trainings and searches archive goes where nobody looks, not into the checkout."""

import os
import tempfile

# At import: modules of tests keep the environment for their subprocesses when they are imported.
_LIBRARY = tempfile.TemporaryDirectory(prefix="vbot-library-")
os.environ["VBOT_LIBRARY"] = _LIBRARY.name
