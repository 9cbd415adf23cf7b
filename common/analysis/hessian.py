"""Curvature of the loss at a trained network, and its sensitivity to the input.

`Hessian(model, x, y)` is a SciPy linear operator: it multiplies vectors by the
second derivative of the mean loss and never forms the matrix. The functions below
it take any symmetric `scipy.sparse.linalg.LinearOperator`, so each is tested on
matrices whose answer is known. BatchNormalization is in inference mode, dropout is
off and weight-decay terms are left out: it is the curvature of the data's loss at
the function that predicts, not of the objective that was minimized.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np
import scipy.optimize
import scipy.sparse.linalg
import scipy.stats
from tqdm import tqdm

from common.models import leaves
from common.models.losses import cross_entropy

if keras.backend.backend() == "tensorflow":  # the scripts refuse the others
    import tensorflow as tf


class Hessian(scipy.sparse.linalg.LinearOperator):
    """Hessian of the mean loss in the trainable weights, as a linear operator.

    `hessian @ vector` sums reverse-over-reverse products over batches and divides
    by the number of examples, so the batch size changes memory and speed, never
    the result. The variables are flattened in the order of `trainable_variables`.
    Small networks without pooling keep the gradient's graph from product to product:
    1.4 times faster on MLP 1x512, while AlexNet, whose pooling then loses oneDNN's
    kernels, is faster recomputed. So the weights must not change while the operator is
    in use; after they have, call `move`.

    Args:
        model: Keras model on the TensorFlow backend, in one dtype (float32 or
            float64), whose outputs are logits.
        x: `(n, ...)` inputs as the model takes them; cast to its dtype.
        y: `(n,)` integer labels, or what `loss` takes.
        loss: Callable `(y, outputs) -> (n,)` in TensorFlow or Keras ops:
            `cross_entropy`, `squared_error` (`models.losses`) or another.
        layer: Name of the one layer whose block of the Hessian is meant; `None`
            for all trainable weights.
        batch_size: Examples per pass; `None` for what takes about a gigabyte.
        progress: Whether a tqdm bar counts the products.

    Attributes:
        num_products: Products computed so far.
    """

    def __init__(
        self,
        model,
        x,
        y,
        loss=cross_entropy,
        layer=None,
        batch_size=None,
        progress=False,
    ):
        named = {leaf.name: leaf for leaf in leaves(model)}
        if layer not in (None, *named):
            raise ValueError(f"No layer {layer!r}; there are {', '.join(named)}.")
        source = model if layer is None else named[layer]
        self._variables = [variable.value for variable in source.trainable_variables]
        if not self._variables:
            raise ValueError(f"{source.name!r} has no trainable weights.")
        dtype = _only_dtype(model)
        self._sizes = [int(np.prod(v.shape)) for v in self._variables]
        super().__init__(np.dtype(dtype), (sum(self._sizes), sum(self._sizes)))
        self._activations = _activations(model)
        self._pooling = any("Pool" in type(leaf).__name__ for leaf in named.values())
        # A product holds some ten copies of its batch's activations. On two cores 500
        # AlexNet images a time, or 2,000 for an MLP, do well.
        self._batch_size = batch_size or int(
            np.clip(50e6 // self._activations, 16, 2000)
        )
        self.move(x, y)
        self._compile(model, loss)
        self._bar = tqdm(desc="Hessian products", unit="", disable=not progress)

    def move(self, x, y):
        """Takes other examples, and the weights as they are now, tracing nothing anew.

        Args:
            x: As on construction; another number of examples is fine.
            y: Likewise.
        """
        if not len(x) or len(x) != len(y):
            raise ValueError(
                "`x` and `y` must hold the same number of examples, at least one. "
                f"Received: len(x)={len(x)}, len(y)={len(y)}"
            )
        self._batches = [
            (tf.cast(x[i : i + self._batch_size], self.dtype), tf.constant(part))
            for i in range(0, len(x), self._batch_size)
            for part in [y[i : i + self._batch_size]]
        ]
        self._num_examples = len(x)
        # A kept graph holds four copies of all activations.
        self._keep = len(x) * self._activations <= 100e6 and not self._pooling
        self._tapes, self.num_products = None, 0

    def _compile(self, model, loss):
        def gradient(x, y):
            with tf.GradientTape() as tape:
                outputs = model(tf.stop_gradient(x), training=False)
                value = tf.reduce_sum(loss(y, outputs))
            inner = tape.gradient(value, self._variables, unconnected_gradients="zero")
            return value, [tf.convert_to_tensor(g) for g in inner]  # embeddings: dense

        def flat_gradient(x, y):
            value, inner = gradient(x, y)
            return value, _flat(inner)

        def product(x, y, vector):
            # TensorFlow prunes the products of the inner pass that only the
            # gradient's value would need: 1.5 gradients on an MLP, not 2.
            with tf.GradientTape() as tape:
                _, inner = gradient(x, y)
            outer = tape.gradient(
                inner,
                self._variables,
                output_gradients=self._split(vector),
                unconnected_gradients="zero",
            )
            return _flat(outer)

        x, y = (tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in self._batches[0])
        vector = tf.TensorSpec(self.shape[:1], self.dtype)
        # No XLA: oneDNN is faster on a CPU, convolutions above all.
        self._product = tf.function(product, [x, y, vector], autograph=False)
        self._gradient = tf.function(flat_gradient, [x, y], autograph=False)

    def _split(self, vector):
        parts = tf.split(vector, self._sizes)
        return [
            tf.reshape(p, v.shape) for p, v in zip(parts, self._variables, strict=True)
        ]

    def _matvec(self, vector):
        vector = tf.constant(np.ravel(vector), self.dtype)
        if self._keep:
            self._tapes = self._tapes or [self._record(x, y) for x, y in self._batches]
            parts = [self._replay(*kept, vector) for kept in self._tapes]
        else:
            parts = [self._product(x, y, vector) for x, y in self._batches]
        self.num_products += 1
        self._bar.update()
        return tf.add_n(parts).numpy() / self.dtype.type(self._num_examples)

    def _record(self, x, y):
        # Outside a tf.function, so that its compiled gradient can be called again.
        with tf.GradientTape(persistent=True) as tape:
            _, gradient = self._gradient(x, y)
        return tape, gradient

    def _replay(self, tape, gradient, vector):
        outer = tape.gradient(
            gradient,
            self._variables,
            output_gradients=vector,
            unconnected_gradients="zero",
        )
        return _flat(outer)

    def _adjoint(self):
        return self

    def loss_and_gradient(self, offset=None):
        """Mean loss and its gradient, with the weights moved by `offset`.

        Args:
            offset: `(num_weights,)` added to the weights for this call only; zero
                where `None`.

        Returns:
            `(loss, gradient)`: a float, and a `(num_weights,)` array.
        """
        kept = [v.numpy() for v in self._variables]
        try:
            if offset is not None:
                for v, step in zip(
                    self._variables,
                    self._split(tf.cast(offset, self.dtype)),
                    strict=True,
                ):
                    v.assign_add(step)
            values, gradients = zip(
                *(self._gradient(x, y) for x, y in self._batches), strict=True
            )
            loss = float(tf.add_n(values)) / self._num_examples
            return loss, tf.add_n(gradients).numpy() / self.dtype.type(
                self._num_examples
            )
        finally:
            for v, value in zip(self._variables, kept, strict=True):
                v.assign(value)

    def weights(self):
        """The `(num_weights,)` weights themselves, in the operator's order."""
        return _flat(self._variables).numpy()


def _flat(tensors):
    return tf.concat([tf.reshape(t, [-1]) for t in tensors], axis=0)


def _activations(model):
    """Numbers that one example makes on its way through the model."""
    outputs = [t for leaf in leaves(model) for t in tf.nest.flatten(leaf.output)]
    return sum(int(np.prod([n or 1 for n in t.shape[1:]])) for t in outputs)


def _only_dtype(model):
    used = {leaf.compute_dtype for leaf in leaves(model)}
    if used & {"float16", "bfloat16"}:
        raise ValueError(
            "Derivatives are taken in float32 or float64 only. Received a model that "
            f"computes in {sorted(used)}: rebuild it in float32 and load its weights."
        )
    return keras.backend.standardize_dtype(model.trainable_variables[0].dtype)


class Eigenvalues(NamedTuple):
    values: np.ndarray  # (k,), largest first
    residuals: np.ndarray  # (k,), norm of H v - value v: some eigenvalue is that near


def top_eigenvalues(hessian, k=5, tolerance=1e-4, seed=0):
    """Largest eigenvalues, by ARPACK's implicitly restarted Lanczos method.

    The first one is the sharpness of Cohen et al. 2021 (arXiv 2103.00065).

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        k: How many, in `[1, p)`.
        tolerance: Relative accuracy asked of the eigenvalues.
        seed: Integer, of the starting vector.

    Returns:
        `Eigenvalues(values, residuals)`; `residuals` cost `k` further products.
    """
    start = np.random.default_rng(seed).standard_normal(hessian.shape[0])
    start = start.astype(hessian.dtype)
    try:
        values, vectors = scipy.sparse.linalg.eigsh(
            hessian, k, which="LA", v0=start, tol=tolerance
        )
    except scipy.sparse.linalg.ArpackError:  # of zeros, as of a layer nothing reads
        if hessian.matvec(start).any():
            raise
        return Eigenvalues(np.zeros(k), np.zeros(k))
    residuals = [
        np.linalg.norm(hessian.matvec(v) - value * v)
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return Eigenvalues(values[::-1].astype(float), np.array(residuals, float)[::-1])


class Trace(NamedTuple):
    value: float
    standard_error: float  # of the random part; 0 where the sketch caught everything
    low: float  # the confidence interval
    high: float
    num_probes: int  # independent samples behind the standard error
    num_products: int


def trace(hessian, num_products=60, confidence=0.95, seed=0):
    """Trace by Hutch++ (Meyer et al. 2021, arXiv 2010.09649, Algorithm 1).

    A third of the products finds a subspace that holds most of the trace, a third
    takes the trace in it exactly, and a third samples the rest with random signs.
    Given the subspace those samples are independent and unbiased, so the standard
    error is theirs, and the interval is Student's t with `num_probes - 1` degrees
    of freedom.

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        num_products: Matrix-vector products to spend, at least 6.
        confidence: Coverage of the interval, in `(0, 1)`.
        seed: Integer, of the sketch and the probes.

    Returns:
        `Trace`.
    """
    if num_products < 6:
        raise ValueError(
            "`num_products` must be at least 6, for a standard error. "
            f"Received: num_products={num_products}"
        )
    rng = np.random.default_rng(seed)
    size, third = hessian.shape[0], num_products // 3
    signs = rng.choice(np.array([-1, 1], hessian.dtype), (2 * third, size))
    sketch = np.stack([hessian.matvec(s) for s in signs[: min(third, size)]], axis=1)
    basis, _ = np.linalg.qr(sketch)
    exact = sum(q @ hessian.matvec(q) for q in np.ascontiguousarray(basis.T))
    probes = signs[third:]
    for _ in range(2):  # twice, for orthogonality to rounding
        probes = probes - (probes @ basis) @ basis.T
    samples = np.array([p @ hessian.matvec(p) for p in probes], float)
    value = float(exact + samples.mean())
    error = float(samples.std(ddof=1) / np.sqrt(third))
    reach = error * float(scipy.stats.t.ppf((1 + confidence) / 2, third - 1))
    products = 2 * third + basis.shape[1]
    return Trace(value, error, value - reach, value + reach, third, products)


class SpectralDensity(NamedTuple):
    grid: np.ndarray  # eigenvalue axis
    density: np.ndarray  # integrates to 1: times p, eigenvalues per unit
    deviation: float  # standard deviation of the Gaussian each node is smoothed by
    nodes: np.ndarray  # before smoothing: (num_nodes,) Ritz values
    weights: np.ndarray  # and the share of the spectrum at each; they sum to 1


def spectral_density(hessian, num_probes=10, num_steps=60, smoothing=0.01, seed=0):
    """Density of the eigenvalues by stochastic Lanczos quadrature.

    Ghorbani et al. 2019 (arXiv 1901.10159, section 2): from each random direction
    the Lanczos process gives a Gauss quadrature of the spectral measure; its nodes,
    averaged over directions, are smoothed by a Gaussian. `sum(weights * nodes**j)`
    estimates `trace(H**j) / p` without bias for every `j < 2 * num_steps`.
    Reorthogonalization is full, twice: `num_steps` vectors are held.

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        num_probes: Random directions averaged over.
        num_steps: Lanczos steps from each, one product a step.
        smoothing: Standard deviation of the Gaussian, as a fraction of the distance
            from the smallest to the largest node. A peak is never narrower.
        seed: Integer, of the directions.

    Returns:
        `SpectralDensity`, the grid reaching five deviations past the nodes.
    """
    rng = np.random.default_rng(seed)
    pairs = [
        _lanczos(hessian, rng.standard_normal(hessian.shape[0]), num_steps)
        for _ in range(num_probes)
    ]
    nodes = np.concatenate([nodes for nodes, _ in pairs])
    weights = np.concatenate([weights for _, weights in pairs]) / num_probes
    spread = np.ptp(nodes) or max(abs(nodes[0]), 1e-30)
    deviation = smoothing * spread
    low, high = nodes.min() - 5 * deviation, nodes.max() + 5 * deviation
    grid = np.linspace(low, high, max(1000, int(6 * (high - low) / deviation)))
    density = np.zeros_like(grid)
    for node, weight in zip(nodes, weights, strict=True):
        density += weight * scipy.stats.norm.pdf(grid, node, deviation)
    return SpectralDensity(grid, density, deviation, nodes, weights)


def _lanczos(operator, start, num_steps):
    """Gauss quadrature `(nodes, weights)` of the spectral measure of `start`."""
    num_steps = min(num_steps, operator.shape[0])
    basis = np.empty((num_steps, operator.shape[0]), operator.dtype)
    diagonal, beside = [], []
    vector = start / np.linalg.norm(start)
    for step in range(num_steps):
        basis[step] = vector
        image = np.asarray(operator.matvec(basis[step]))
        diagonal.append(float(basis[step] @ image))
        scale = np.linalg.norm(image)
        for _ in range(2):
            image = image - (basis[: step + 1] @ image) @ basis[: step + 1]
        beside.append(float(np.linalg.norm(image)))
        # Nothing new: the directions found span an invariant subspace.
        if beside[-1] <= 10 * np.finfo(operator.dtype).eps * scale:
            break
        vector = image / beside[-1]
    nodes, vectors = scipy.linalg.eigh_tridiagonal(
        diagonal, beside[: len(diagonal) - 1]
    )
    return nodes, vectors[0] ** 2


def box_sharpness(hessian, epsilon=1e-3, num_iterations=10):
    """Sharpness of Keskar et al. 2017 (arXiv 1609.04836, Metric 2.1), in percent.

    `100 (max L(w + z) - L(w)) / (1 + L(w))` over the box
    `|z_i| <= epsilon (|w_i| + 1)`, in the full space, the maximum sought by
    `num_iterations` of L-BFGS-B as in the paper: a lower bound of the true one.

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

    start, gradient = descend(np.zeros_like(bound))
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
    return 100 * max(start - best.fun, 0.0) / (1 - start)


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
        for images in _batches(x, batch_size, _only_dtype(model))
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
    dtype = _only_dtype(model)
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
    for _ in tqdm(range(num_steps), "adversarial search", disable=not progress):
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
