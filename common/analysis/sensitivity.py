"""Sensitivity of a network: of the loss to its weights, of its outputs to the input."""

import functools

import keras
import numpy as np
import scipy.optimize
from tqdm import tqdm

from common.analysis import hessian
from common.models.losses import cross_entropy

if keras.backend.backend() == "tensorflow":  # the scripts refuse the others
    import tensorflow as tf


def box_sharpness(hessian, epsilon=1e-3, num_iterations=10):
    """Sharpness of Keskar et al. 2017 (arXiv 1609.04836, Metric 2.1), in percent.

    `100 (max L(w + z) - L(w)) / (1 + L(w))` over the box
    `|z_i| <= epsilon (|w_i| + 1)`, in the full space, the maximum sought by
    `num_iterations` of L-BFGS-B. **A lower bound**: the paper's ten iterations, the
    default, end 2.5 to 3.7 times below what 300 find in networks of Table 1. It
    compares networks that were searched alike.

    Args:
        hessian: A `Hessian`; its weights are moved and put back.
        epsilon: Size of the box; the paper uses 1e-3 and 5e-4.
        num_iterations: Iterations of L-BFGS-B.

    Returns:
        Float, percent.
    """
    bound = epsilon * (np.abs(hessian.weights().astype(float)) + 1)

    def descend(unit):  # in units of the box, where all weights count alike
        loss, gradient = hessian.loss_and_gradient(unit * bound)
        return -loss, -gradient.astype(float) * bound

    minus_loss, gradient = descend(np.zeros_like(bound))
    loss = -minus_loss
    # At a minimum the first step would be lost in rounding: begin a little uphill.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(bound))
    uphill = np.where(gradient == 0, signs, -np.sign(gradient))
    best = scipy.optimize.minimize(
        descend,
        0.1 * uphill,
        jac=True,
        method="L-BFGS-B",
        bounds=scipy.optimize.Bounds(-np.ones_like(bound), np.ones_like(bound)),
        options={"maxiter": num_iterations},
    )
    return 100 * max(-best.fun - loss, 0.0) / (1 + loss)


def jacobian_norms(model, x, batch_size=250, of="logits"):
    """Frobenius norm of the Jacobian of the outputs in the input, per example.

    The sensitivity of Novak et al. 2018 (arXiv 1802.08760), whose outputs are
    class probabilities: `of="probabilities"`. One backward pass per class.

    Args:
        model: Keras model with `(n, num_classes)` logits.
        x: `(n, ...)` inputs; the norm is per unit of them (whitened pixels here).
        batch_size: Examples per pass; it does not change the result.
        of: `"logits"` or `"probabilities"`.

    Returns:
        `(n,)` array; its mean is the measure.
    """
    if of not in ("logits", "probabilities"):
        raise ValueError(f"`of` must be 'logits' or 'probabilities'. Received: {of!r}")
    squared = _squared_gradients(model, of)
    norms = [
        sum(squared(images, tf.constant(c)) for c in range(model.output_shape[-1]))
        for images in _batches(x, batch_size, hessian.dtype_of(model))
    ]
    return np.sqrt(np.concatenate(norms))


@functools.lru_cache(1)  # one model is often measured many times, at other weights
def _squared_gradients(model, of):
    @tf.function(reduce_retracing=True, autograph=False)
    def squared(images, label):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=False)
            if of == "probabilities":
                outputs = tf.nn.softmax(outputs)
            output = tf.gather(outputs, label, axis=1)
        gradient = tape.gradient(output, images)
        return tf.reduce_sum(gradient**2, axis=range(1, gradient.shape.rank))

    return squared


def critical_sample_ratio(
    model, x, radius=0.005, num_steps=20, batch_size=250, seed=0, progress=False
):
    """Fraction of examples with another prediction within `radius` (max norm).

    Arpit et al. 2017 (arXiv 1706.05394, section 4.1, Algorithm 1): Langevin
    adversarial sample search, repeated steps of 0.25 / 0.3 `radius` along the sign
    of the gradient plus 0.2 / 0.3 `radius` of Gaussian noise, kept in the box; the
    paper's constants, at its radius of 0.3 of 255 grey levels. A gray level is
    1 / (255 s) whitened units in an image of standard deviation s (of pixels / 255),
    so the default is the paper's radius at s = 0.235, typical of CIFAR-10. The
    gradient is that of the cross-entropy of the model's own prediction, taken at the
    moving point. A search misses some: the ratio is a lower bound that grows with
    `num_steps`.

    Args:
        model: Keras model with `(n, num_classes)` logits.
        x: `(n, ...)` inputs.
        radius: Half the side of the box, in units of `x`: whitened ones by default,
            0.3 / 255 for pixels over 255.
        num_steps: Steps of the search.
        batch_size: Examples per pass; it does not change the noise.
        seed: Integer, of the noise.
        progress: Whether a tqdm bar counts the steps.

    Returns:
        Float in `[0, 1]`.
    """
    dtype = hessian.dtype_of(model)
    x, rng = np.asarray(x, dtype), np.random.default_rng(seed)

    @tf.function(reduce_retracing=True, autograph=False)
    def search(center, point, label, noise):
        with tf.GradientTape() as tape:
            tape.watch(point)
            loss = cross_entropy(label, model(point, training=False))
        uphill = tf.sign(tape.gradient(loss, point))
        point += radius / 0.3 * (0.25 * uphill + 0.2 * noise)
        point = tf.clip_by_value(point, center - radius, center + radius)
        return point, predict(point) != label

    def predict(images):
        return tf.argmax(model(images, training=False), axis=-1)

    labels = np.concatenate([predict(b) for b in _batches(x, batch_size, dtype)])
    point, pending = x.copy(), np.arange(len(x))
    for _ in tqdm(range(num_steps), "adversarial search", disable=not progress or None):
        noise = rng.standard_normal(x.shape).astype(dtype)
        kept = []
        for i in range(0, len(pending), batch_size):
            part = pending[i : i + batch_size]
            arrays = (tf.constant(a[part]) for a in (x, point, labels, noise))
            point[part], found = search(*arrays)
            kept.append(part[~found.numpy()])
        pending = np.concatenate(kept) if kept else pending
    return 1 - len(pending) / len(x)


def _batches(x, batch_size, dtype):
    for i in range(0, len(x), batch_size):
        yield tf.cast(x[i : i + batch_size], dtype)
