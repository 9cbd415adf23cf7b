"""What the tests share: a backend, no GPU, a tiny data set."""

import os
import sys
from pathlib import Path

# Before Keras is first imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # plain `pytest` does not add it

from common.datasets import Data  # noqa: E402


@pytest.fixture
def data():
    """50 noise images of 32x32x3 and 20 to test on, in ten classes."""
    rng = np.random.default_rng(0)
    y_train = np.arange(50, dtype=np.int32) % 10
    return Data(
        name="tiny",
        x_train=rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8),
        y_train=y_train,
        x_test=rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        y_test=np.arange(20, dtype=np.int32) % 10,
        num_classes=10,
        y_train_true=y_train,
    )
