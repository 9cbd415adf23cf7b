"""A PAC-Bayes bound that holds for a stochastic network (Dziugaite and Roy 2017).

A stochastic network draws its weights anew for every prediction, from a Gaussian Q of
independent weights. With probability `1 - delta` over the n training examples its test
error e and training error E are related, for all Q at once, by (Langford and Seeger
2001; Maurer 2004)

    kl(E, e) <= (KL(Q, P) + ln(n / delta_j)) / (n - 1)

where P is a Gaussian that does not depend on the examples: about the initial weights,
of one variance `C exp(-j / B)`. The variance may be chosen afterwards, among j = 1, 2,
..., if each has its share `delta_j = 6 delta / (pi j)^2` of delta (a union bound).
The mean of Q starts at trained weights, and all of Q is moved to make the bound small.
"""

import math

import keras
import numpy as np
from keras import ops

from common import pipelines

C, B = 0.1, 100  # the paper's; variances of the prior are C exp(-j / B)
DELTA = 0.025  # of the bound
DELTA_SAMPLES = 0.01  # of the estimate of the training error, over draws of weights
START = -3.0  # logarithm of all deviations, the prior's too: it costs nothing
BATCH = 128  # examples an update
CHUNK = 100 * BATCH
_UPDATES, _ESTIMATES = 505, 506  # RNG streams that nothing else uses


def gaussian_kl(mean, deviation, prior_mean, prior_variance, backend=ops):
    """KL(Q, P) of Gaussians with independent coordinates, in nats.

    Args:
        mean, deviation, prior_mean: `(d,)`, or arrays of one shape.
        prior_variance: Number, of every coordinate of P.
        backend: `keras.ops`, or NumPy.
    """
    variance = deviation**2 / prior_variance
    apart = (mean - prior_mean) ** 2 / prior_variance
    return 0.5 * backend.sum(variance - 1 - backend.log(variance) + apart)


def small_kl(q, p):
    """KL of two Bernoulli variables with means `q` and `p`, in nats."""
    terms = ((q, p), (1 - q, 1 - p))
    if any(a > 0 and b <= 0 for a, b in terms):
        return math.inf
    return sum(a * math.log(a / b) for a, b in terms if a > 0)


def inverse_small_kl(q, c):
    """Largest p in `[q, 1]` with `small_kl(q, p) <= c`, from above, by bisection."""
    low, high = q, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):  # neighbours among float64
            return high
        if small_kl(q, middle) <= c:
            low = middle
        else:
            high = middle


def prior_index(variance):
    """The j of 1, 2, ... whose variance `C exp(-j / B)` is nearest in logarithm."""
    return max(1, round(B * math.log(C / variance)))


def prior_variance(j):
    return C * math.exp(-j / B)


def complexity(kl, n, j, delta=DELTA):
    """`(KL + ln(n / delta_j)) / (n - 1)`, the right side of the bound."""
    return (kl + math.log(n * (math.pi * j) ** 2 / (6 * delta))) / (n - 1)


def sampled_bound(mean, draws, delta=DELTA_SAMPLES):
    """Upper bound of an expectation in [0, 1], from independent draws in [0, 1].

    `kl(mean, expectation) <= ln(2 / delta) / draws` with probability 1 - delta.
    """
    return inverse_small_kl(mean, math.log(2 / delta) / draws)


class StochasticNetwork(keras.Model):
    """A ReLU network with one output whose weights are drawn anew for every example.

    Its loss, when it is compiled with `logistic`, is that of Dziugaite and Roy: the
    logistic loss in bits, which is above the error, plus `sqrt(complexity / 2)`, with
    j as a real number. Trained are means, deviations, and the prior's variance.

    Args:
        initial: Kernel, bias, kernel, bias ... before training: the prior's means.
        trained: The same after training.
        n: Number of training examples.
        seed: Integer, of the draws.
    """

    def __init__(self, initial, trained, n, seed):
        super().__init__()
        self.n, self.draw = n, keras.random.SeedGenerator(seed)
        self.prior = [np.asarray(w, "float32") for w in initial]
        self.means = [keras.Variable(w) for w in trained]
        self.log_prior = keras.Variable(np.float32(START))  # of its deviation
        self.log_deviations = [
            keras.Variable(np.full(w.shape, START, "float32")) for w in trained
        ]

    def call(self, x, training=False):
        if training:
            self.add_loss(self.penalty())
        for i in range(0, len(self.means), 2):
            (kernel, bias), (spread, offset) = (
                values[i : i + 2] for values in (self.means, self.log_deviations)
            )
            # A unit's sum over independent Gaussian weights is Gaussian: drawing it
            # draws weights for every example, for a hundredth of the random numbers.
            variance = ops.matmul(ops.square(x), ops.exp(2 * spread))
            deviation = ops.sqrt(variance + ops.exp(2 * offset))
            mean = ops.matmul(x, kernel) + bias
            x = mean + deviation * keras.random.normal(ops.shape(mean), seed=self.draw)
            x = ops.relu(x) if i + 2 < len(self.means) else x
        return x

    def kl(self, variance):
        """KL(Q, P) in nats for a prior of this variance, in float64."""
        parts = zip(self.means, self.log_deviations, self.prior, strict=True)
        total = 0.0
        for m, s, p in parts:
            m, s = (ops.convert_to_numpy(v).astype(np.float64) for v in (m, s))
            total += float(gaussian_kl(m, np.exp(s), p, variance, np))
        return total

    def penalty(self):
        """`sqrt(complexity / 2)` at the prior as it is, a scalar tensor."""
        variance = ops.exp(2 * self.log_prior)
        # Where the variance reaches C there is no j any more.
        j = B * ops.maximum(math.log(C) - 2 * self.log_prior, 1e-2)
        logs = 2 * ops.log(j) + math.log(self.n * math.pi**2 / (6 * DELTA))
        parts = zip(self.means, self.log_deviations, self.prior, strict=True)
        kl = sum(gaussian_kl(m, ops.exp(s), p, variance) for m, s, p in parts)
        return ops.sqrt((kl + logs) / (2 * (self.n - 1)))


def logistic(labels, outputs):
    """Logistic loss in bits, at least 1 where a label is missed; labels 0 or 1."""
    signs = 2 * ops.cast(labels, outputs.dtype) - 1
    return ops.softplus(-signs * outputs) / math.log(2)


def compile_model(model, optimizer, metrics=()):
    """Compiles a network of one output for the logistic loss.

    Args:
        model: `keras.Model`, its weights there.
        optimizer: Name of Keras's.
        metrics: List of `keras.Metric`.
    """
    model.compile(optimizer, logistic, metrics=metrics, steps_per_execution=16)
    # Here, or TensorFlow would trace the first step twice, once to find the variables.
    model.optimizer.build(model.trainable_variables)


def train(model, x, y, epochs, seed, error=0.01):
    """Trains by Adam until the batches' error of an epoch is at most `error`.

    Args:
        model: Keras model with one output; its sign is the prediction.
        x: `(n, ...)` float32.
        y: `(n,)` labels 0 or 1.
        epochs: At most.
        seed: Integer, of the order: that of epoch e is
            `pipelines.plan(n, (), seed, e)["order"]`.

    Returns:
        Epochs taken.
    """
    right = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    compile_model(model, "adam", metrics=[right])
    labels = y.astype("float32")[:, None]
    for epoch in range(epochs):
        order = pipelines.plan(len(x), (), seed, epoch)["order"]
        found = model.fit(x[order], labels[order], BATCH, shuffle=False, verbose=0)
        if 1 - found.history["accuracy"][-1] <= error:
            break
    return epoch + 1


def tighten(network, x, y, updates, rate, seed, step):
    """Moves a compiled network's distribution for a number of updates.

    Args:
        network: `StochasticNetwork`, compiled.
        x, y: As of `train`.
        updates: How many, each on `BATCH` examples drawn with replacement.
        rate: Of RMSprop.
        seed, step: Integers, of the examples.
    """
    network.optimizer.learning_rate = rate
    rng = np.random.default_rng([seed, step, _UPDATES])
    rows = rng.integers(0, len(x), updates * BATCH)
    for i in range(0, len(rows), CHUNK):  # not all at once: a copy of the images
        part = rows[i : i + CHUNK]
        labels = y[part].astype("float32")[:, None]
        network.fit(x[part], labels, BATCH, shuffle=False, verbose=0)


def sampled_error(network, x, y, draws, seed, step):
    """Share of wrong predictions, over independent draws of weights and an example.

    Unbiased for the expected error on all of x, and independent of the examples that
    `tighten` draws: what `sampled_bound` needs.

    Args:
        network, x, y: As of `tighten`.
        draws: How many.
        seed, step: Integers, of the examples.
    """
    rng = np.random.default_rng([seed, step, _ESTIMATES])
    rows = rng.integers(0, len(x), draws)
    said = [
        ops.convert_to_numpy(network(x[rows[i : i + 1000]]))[:, 0] > 0
        for i in range(0, draws, 1000)
    ]
    return float(np.mean(np.concatenate(said) != y[rows].astype(bool)))


def terms(network, train_error, draws):
    """Returns the bound and what it is made of, as a dict.

    `bound` is of the test error, by the inverse of the small kl: never above 1.
    `pinsker` is the weaker `train_error_bound + sqrt(complexity / 2)`, whose excess
    over 1 says how far the bound is from saying anything. Both hold with probability
    `1 - DELTA - DELTA_SAMPLES`.
    """
    variance = math.exp(2 * float(ops.convert_to_numpy(network.log_prior)))
    j = prior_index(variance)
    kl = network.kl(prior_variance(j))
    right = complexity(kl, network.n, j)
    bound = sampled_bound(train_error, draws)
    return {
        "train_error_bound": bound,
        "kl": kl,
        "prior_deviation": math.sqrt(prior_variance(j)),
        "j": j,
        "complexity": right,
        "bound": inverse_small_kl(bound, right),
        "pinsker": bound + math.sqrt(right / 2),
    }
