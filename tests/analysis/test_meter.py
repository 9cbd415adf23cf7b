"""One meter for many networks, against the functions it is made of."""

import numpy as np
import pytest
import scipy.special

from common.analysis import bounds, hessian, meter, sensitivity, spectrum
from common.models.mlp import mlp


def build():
    return mlp((4, 4, 1), 3, (6, 5))


def network(seed):
    """`(weights, initial, train, test)`; the network fits its own training set."""
    rng = np.random.default_rng(seed)
    model = build()
    draws = [[rng.standard_normal(w.shape) for w in model.get_weights()] for _ in "wi"]
    model.set_weights(draws[0])
    x, other = rng.standard_normal((2, 20, 4, 4, 1)).astype(np.float32)
    y = model.predict_on_batch(x).argmax(1)
    return *draws, (x, y), (other, rng.integers(0, 3, 20))


def test_one_meter_measures_many_networks():
    one = meter.Meter(build)
    one.measure(*network(0))
    weights, initial, (x, y), (other, labels) = network(1)
    row = one.measure(weights, initial, (x, y), (other, labels))

    model = build()
    model.set_weights(weights)
    for split, images, classes in (("train", x, y), ("test", other, labels)):
        logits = model.predict_on_batch(images).astype(float)
        log_p = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
        loss = -log_p[np.arange(20), classes].mean()
        assert row[f"{split}_loss"] == pytest.approx(loss, rel=1e-5)
        accuracy = (logits.argmax(1) == classes).mean()
        assert row[f"{split}_accuracy"] == accuracy
    assert row["train_accuracy"] == 1 > row["test_accuracy"]
    given = np.sort(model.predict_on_batch(x), axis=1)
    margins = given[:, -1] - given[:, -2]
    assert row["margin_min"] == pytest.approx(margins.min(), rel=1e-4)
    tenth = np.quantile(margins, 0.1)
    kernels, start = weights[::2], initial[::2]
    squares = [(w**2).sum() for w in kernels]
    assert row["l2_norm"] == pytest.approx(np.sqrt(sum(squares)))
    assert row["product_of_norms"] == pytest.approx(np.prod(squares))
    per_margin = np.prod(squares) / tenth**2
    assert row["product_of_norms_per_margin"] == pytest.approx(per_margin, rel=1e-4)
    spectral = [np.linalg.norm(w, 2) ** 2 for w in kernels]
    found = row["product_of_spectral_norms"]
    assert found == pytest.approx(np.prod(spectral), rel=1e-5)
    moved = sum(((w - w0) ** 2).sum() for w, w0 in zip(kernels, start, strict=True))
    assert row["distance"] == pytest.approx(np.sqrt(moved), rel=1e-5)

    operator = hessian.Hessian(model, x, y)
    top = spectrum.top_eigenvalues(operator, 5).values
    eigenvalues = [row[f"eigenvalue_{i}"] for i in range(1, 6)]
    np.testing.assert_allclose(eigenvalues, top, rtol=1e-3)
    trace = spectrum.trace(operator)
    assert row["trace"] == pytest.approx(trace.value, rel=1e-3)
    jacobian = sensitivity.jacobian_norms(model, x).mean()
    assert row["jacobian_norm"] == pytest.approx(jacobian, rel=1e-5)


def test_a_product_over_many_layers_may_be_infinite(monkeypatch):
    """10 to the power of 310.5 is beyond float64: of 150 layers, for example."""
    total = {"log10_product_frobenius": 155.25, "log10_product_spectral": 0.5}
    total |= {"frobenius": 1.0, "distance": 1.0}
    monkeypatch.setattr(meter.norms, "layer_norms", lambda *_: [])
    monkeypatch.setattr(meter.norms, "total_norms", lambda rows: total)
    monkeypatch.setattr(meter.norms, "margins", lambda *_: np.array([2.0, 2.0]))
    found = meter.Meter(lambda: None)._norms(None, None)
    assert found["product_of_norms"] == np.inf
    assert found["product_of_spectral_norms"] == pytest.approx(10)
    assert found["product_of_norms_per_margin"] == np.inf
    assert found["product_of_spectral_norms_per_margin"] == pytest.approx(2.5)
    x = np.ones((2, 3))
    assert not bounds.normalized_margins(np.array([2.0, 1.0]), 310.5, x).any()
