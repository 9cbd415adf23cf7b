"""One measurement for many networks of the same architecture."""

import keras
import numpy as np

from common.analysis import hessian, norms, sensitivity, spectrum
from common.models.losses import cross_entropy


class Meter:
    """Measures networks of one architecture, each on its own training set.

    One model takes each network's weights in turn, so that a Hessian product is
    traced only once.

    Args:
        build: Function without arguments that returns such a network, with logits.
    """

    def __init__(self, build):
        self.model, self.start, self.hessian = build(), build(), None

    def measure(self, weights, initial, train, test):
        """Returns a dict of numbers: losses, norms, margins, curvature.

        Args:
            weights: Kernel, bias, kernel, bias ...
            initial: The same before training.
            train: `(x, y)`, images as the model takes them; `test` likewise.
        """
        self.model.set_weights(weights)
        self.start.set_weights(initial)
        (x, y), train, test = train, self._losses(*train), self._losses(*test)
        result = {f"train_{key}": value for key, value in train.items()}
        result |= {f"test_{key}": value for key, value in test.items()}
        return result | self._norms(x, y) | self._curvature(x, y)

    def _losses(self, x, y):
        logits = keras.ops.cast(self.model.predict_on_batch(x), "float64")
        loss = cross_entropy(y, logits).numpy().mean()
        return {"loss": loss, "accuracy": (logits.numpy().argmax(1) == y).mean()}

    def _norms(self, x, y):
        rows = norms.layer_norms(self.model, self.start)
        total = norms.total_norms(rows)
        margin = norms.margin_summary(norms.margins(self.model, x, y))
        with np.errstate(over="ignore"):  # of many layers it may be infinite
            frobenius = np.float64(10) ** (2 * total["log10_product_frobenius"])
            spectral = np.float64(10) ** (2 * total["log10_product_spectral"])
        tenth = margin["margin_10"]
        per_margin = tenth**-2 if tenth > 0 else np.nan
        return {
            "l2_norm": total["frobenius"],
            **{f"l2_norm_{i}": row["frobenius"] for i, row in enumerate(rows, 1)},
            "product_of_norms": frobenius,
            **{f"spectral_norm_{i}": row["spectral"] for i, row in enumerate(rows, 1)},
            "product_of_spectral_norms": spectral,
            "distance": total["distance"],
            "margin_min": margin["margin_min"],
            "margin_10": tenth,
            "product_of_norms_per_margin": frobenius * per_margin,
            "product_of_spectral_norms_per_margin": spectral * per_margin,
        }

    def _curvature(self, x, y):
        if self.hessian is None:
            self.hessian = hessian.Hessian(self.model, x, y)
        self.hessian.move(x, y)
        top = spectrum.top_eigenvalues(self.hessian, 5).values
        trace = spectrum.trace(self.hessian)
        return {
            **{f"eigenvalue_{i}": value for i, value in enumerate(top, 1)},
            "trace": trace.value,
            "trace_standard_error": trace.standard_error,
            "jacobian_norm": sensitivity.jacobian_norms(self.model, x).mean(),
        }
