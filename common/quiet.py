"""TensorFlow starts without a word, but for errors (imports nothing of ours)."""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile

# What it writes whatever TF_CPP_MIN_LOG_LEVEL is: that there is no GPU.
_NOTICE = re.compile(rb"I0000 |WARNING: All log messages before absl::InitializeLog")


class _Quietly:
    """Imports TensorFlow without its notices on stderr; errors come through."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(_Quietly)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_quietly(module):
                with _without_notices():
                    load(module)
                    module.config.list_physical_devices()  # looks for a GPU, once

            spec.loader.exec_module = load_quietly
        return spec


@contextlib.contextmanager
def _without_notices():
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)  # C++ writes there, whatever sys.stderr is
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            file.seek(0)
            for line in file:
                if not _NOTICE.match(line):
                    os.write(2, line)
            os.close(stderr)


def install():
    """Lets TensorFlow say nothing of its own when it is imported."""
    # Read by TensorFlow when it starts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Quietly)
