"""TensorFlow starts without a word, but for errors (imports nothing of ours)."""

import contextlib
import importlib.util
import os
import subprocess
import sys

# A process of its own passes on all but the notices that TensorFlow writes whatever
# TF_CPP_MIN_LOG_LEVEL is (that there is no GPU), so that even the last words of a
# TensorFlow that aborts are seen.
_FILTER = r"""
import re, sys
notice = re.compile(rb"I0000 |WARNING: All log messages before absl::InitializeLog")
for line in sys.stdin.buffer:
    if not notice.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


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
                with without_notices():
                    load(module)
                    module.config.list_physical_devices()  # looks for a GPU, once
                # Of many small networks in one process, as analyze.py has them.
                retraced = "triggered tf.function retracing"
                module.get_logger().addFilter(lambda x: retraced not in x.getMessage())

            spec.loader.exec_module = load_quietly
        return spec


@contextlib.contextmanager
def without_notices():
    """Leaves TensorFlow's notices out of what is written to stderr within it."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    command = [sys.executable, "-ISc", _FILTER]
    sieve = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stderr)
    os.dup2(sieve.stdin.fileno(), 2)  # C++ writes there, whatever sys.stderr is
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        sieve.stdin.close()
        sieve.wait()


@contextlib.contextmanager
def without_packages(*names):
    """Lets what is imported within it do without packages, though they are there."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # None: to import it is an ImportError
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def install():
    """Lets TensorFlow say nothing of its own when it is imported."""
    # Read by TensorFlow when it starts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Quietly)
