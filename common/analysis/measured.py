"""All measures of one trained network: fit, norms, margins, bounds and curvature."""

from typing import NamedTuple

import keras
import numpy as np

from common import models
from common.analysis import bounds, hessian, norms, sensitivity, spectrum
from common.engine import evaluation
from common.models.losses import cross_entropy


class Measured(NamedTuple):
    """A network's row of a table, and what a figure shows of it."""

    row: dict
    eigenvalues: np.ndarray  # the largest, of the Hessian
    density: spectrum.SpectralDensity
    margins: np.ndarray  # of the training examples, in logits
    normalized_margins: np.ndarray


def fit(model, feed):
    """Returns `(row, logits)`: losses and accuracies on all examples of both splits.

    Args:
        model: `keras.Model` whose outputs are logits.
        feed: Has `x_train, y_train, x_test, y_test`, arrays as the model takes them.

    Returns:
        row: Mean cross-entropy, accuracy and error, as columns `train_*` and `test_*`.
        logits: Of the training examples, of shape (examples, classes).
    """
    logits = evaluation.outputs_of(model, feed.x_train)
    row = _fit(logits, feed.y_train, "train")
    row |= _fit(evaluation.outputs_of(model, feed.x_test), feed.y_test, "test")
    return row, logits


def _fit(logits, y, split):
    losses = cross_entropy(y, keras.ops.cast(logits, "float64"))
    accuracy = float((logits.argmax(1) == y).mean())
    return {
        f"{split}_loss": float(keras.ops.mean(losses)),
        f"{split}_accuracy": accuracy,
        f"{split}_error": 1 - accuracy,
    }


def measure(
    model,
    feed,
    logits,
    initial=None,
    examples=1000,
    eigenvalues=5,
    per_layer=False,
    radius=None,
    progress=False,
):
    """Measures a network by its weights and its training examples.

    Args:
        model: `keras.Model` whose outputs are logits.
        feed: As in `fit`.
        logits: As `fit` returns them.
        initial: The model before training, for distances, or None.
        examples: Curvature and sensitivity are of the first so many training examples.
        eigenvalues: How many of the Hessian's largest.
        per_layer: Whether curvature is measured of each layer's weights, too.
        radius: Of the box of `sensitivity.critical_sample_ratio`, in the inputs' unit
            (default: the paper's, which is in that of whitened images).
        progress: Whether to show progress bars.

    Returns:
        `Measured`. Sources and formulas of its columns: where each is computed.
    """
    margins = norms.margins_of(logits, feed.y_train)
    layers = norms.layer_norms(model, initial)
    total = norms.total_norms(layers)
    row = {key: value for key, value in total.items() if "stored" not in key}
    row |= norms.margin_summary(margins)
    paths = [norms.path_norm(model, p) for p in (1, 2)]
    row |= {"path_1": paths[0], "path_2": paths[1]}
    complexity = bounds.spectral_complexity(layers)
    normalized = bounds.normalized_margins(margins, complexity, feed.x_train)
    row["log10_spectral_complexity"] = complexity
    row["normalized_margin_10"] = float(np.quantile(normalized, 0.1))

    x, y = feed.x_train[:examples], feed.y_train[:examples]
    sigma = bounds.pacbayes_sigma(model, x, y)
    row["pacbayes_sigma"] = sigma
    row |= bounds.capacity(layers, row["margin_10"], *paths, len(margins), sigma)
    operator = hessian.Hessian(model, x, y, progress=progress)
    row["curvature_examples"] = len(x)
    curvature, largest = _curvature(operator, eigenvalues)
    row |= curvature
    density = spectrum.spectral_density(operator, num_probes=3, num_steps=40)
    row["box_sharpness"] = sensitivity.box_sharpness(operator)
    row["jacobian_norm"] = float(sensitivity.jacobian_norms(model, x).mean())
    box = {"radius": radius} if radius else {}
    row["critical_sample_ratio"] = sensitivity.critical_sample_ratio(model, x, **box)
    for layer in models.leaves(model) if per_layer else ():
        if any(len(weight.shape) > 1 for weight in layer.trainable_weights):
            block = hessian.Hessian(model, x, y, layer=layer.name, progress=progress)
            row |= _curvature(block, eigenvalues, f"{layer.name}_")[0]
    return Measured(row, largest, density, margins, normalized)


def _curvature(operator, eigenvalues, prefix=""):
    """Returns the largest eigenvalues and the trace as columns, and the eigenvalues."""
    largest = spectrum.top_eigenvalues(operator, eigenvalues).values
    trace = spectrum.trace(operator)
    row = {f"{prefix}eigenvalue_{i}": value for i, value in enumerate(largest, 1)}
    row[f"{prefix}trace"] = trace.value
    row[f"{prefix}trace_standard_error"] = trace.standard_error
    return row, largest
