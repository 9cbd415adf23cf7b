"""`analyze.py` on models made elsewhere: their inputs, and those that fail."""

import keras
import numpy as np
import pandas as pd
import pytest

import analyze
from common import cli, datasets
from common.analysis import bounds, spectrum

FLAGS = ["--dataset", "mnist_5k", "--examples", "5", "--eigenvalues", "1", "--quiet"]


def nearest_mean(rescaling, path):
    """Saves a classifier by the nearest class mean of raw pixels, as one layer."""
    data = datasets.named("mnist_5k")
    x = data.x_train.reshape(len(data.x_train), -1) / 255
    means = np.array([x[data.y_train == i].mean(0) for i in range(10)])
    layers = [keras.Input((28, 28, 1)), *rescaling, keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    model.layers[-1].set_weights([means.T, -(means**2).sum(1) / 2])
    model.save(path)


def test_others_are_measured_where_one_fails(tmp_path, capsys, monkeypatch):
    nearest_mean([keras.layers.Rescaling(1 / 255)], tmp_path / "rescaling.h5")
    start = keras.Input((28, 28, 1))
    last = keras.layers.Dense(10, kernel_initializer="zeros")
    keras.Model(start, last(keras.layers.Flatten()(start))).save(tmp_path / "zero.h5")
    whole = analyze.analyze

    def failing(path, arguments):
        if path.stem == "bad":
            raise RuntimeError("x\ny")
        return whole(path, arguments)

    monkeypatch.setattr(analyze, "analyze", failing)
    monkeypatch.setattr(bounds, "pacbayes_sigma", lambda *args: 1.0)  # the slowest
    trace, density = spectrum.trace, spectrum.spectral_density
    monkeypatch.setattr(spectrum, "trace", lambda operator: trace(operator, 6))
    monkeypatch.setattr(
        spectrum, "spectral_density", lambda operator, **_: density(operator, 1, 3)
    )
    paths = [str(tmp_path / f"{name}.h5") for name in ("bad", "rescaling", "zero")]
    with pytest.raises(cli.MendableError, match="1 of 3 models were left out"):
        analyze.main([*paths, *FLAGS, "--results-dir", str(tmp_path)])
    said = capsys.readouterr().err
    assert "bad.h5 cannot be measured (RuntimeError: x)" in said
    assert "zero.h5 is at chance" in said and "--inputs" in said
    assert "rescaling.h5 is at chance" not in said
    rescaling, zero = pd.read_csv(tmp_path / "analysis.csv").itertuples()
    # It reads raw pixels, and divides them itself.
    assert rescaling.train_accuracy > 0.7 and "raw pixels" in rescaling.notes
    assert zero.train_accuracy < 0.2


@pytest.mark.parametrize("k", [1, 2, 3])
def test_as_many_eigenvalues_as_weights(k):
    import scipy.sparse.linalg

    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    found = spectrum.top_eigenvalues(scipy.sparse.linalg.aslinearoperator(matrix), k)
    exact = np.linalg.eigvalsh(matrix)[::-1][:k]
    np.testing.assert_allclose(found.values, exact, rtol=1e-4)
    assert len(found.residuals) == len(exact) and found.residuals.max() < 1e-3
