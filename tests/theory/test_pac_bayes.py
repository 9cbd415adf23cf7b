"""Every term of the PAC-Bayes bound, by another computation than ours."""

import itertools
import math
import types

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from common.models.mlp import mlp
from common.theory import pac_bayes


def test_kl_of_gaussians_against_sampling():
    rng = np.random.default_rng(0)
    mean, prior = rng.standard_normal((2, 5))
    deviation, variance = rng.uniform(0.2, 2, 5), 1.7
    ours = float(pac_bayes.gaussian_kl(mean, deviation, prior, variance, np))
    w = mean + deviation * rng.standard_normal((200_000, 5))
    log_q = scipy.stats.norm.logpdf(w, mean, deviation).sum(1)
    log_p = scipy.stats.norm.logpdf(w, prior, math.sqrt(variance)).sum(1)
    ratio = log_q - log_p
    error = ratio.std() / math.sqrt(len(ratio))
    assert ours == pytest.approx(ratio.mean(), abs=4 * error) and error < 0.01 * ours
    same = pac_bayes.gaussian_kl(prior, np.full(5, math.sqrt(variance)), prior, 1.7, np)
    assert same == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("q", [0.0, 1e-6, 0.03, 0.3, 0.9])
@pytest.mark.parametrize("c", [1e-6, 0.09, 1.0])
def test_inverse_of_the_small_kl_against_root_finding(q, c):
    def too_far(p):
        return scipy.special.rel_entr([q, 1 - q], [p, 1 - p]).sum() - c

    root = scipy.optimize.brentq(too_far, q, 1 - 1e-12, xtol=1e-15, rtol=1e-14)
    ours = pac_bayes.inverse_small_kl(q, c)
    assert ours == pytest.approx(root, rel=1e-9)
    assert ours <= q + math.sqrt(c / 2) + 1e-12  # Pinsker
    assert pac_bayes.inverse_small_kl(q, 0.0) == pytest.approx(q, abs=1e-7)


def test_the_published_bound_follows_from_its_published_terms():
    """Dziugaite and Roy's network of 600 units: 0.161 by 5144 nats, 1.352 by 201131."""
    n, j = 55_000, round(100 * math.log(0.1 / math.exp(-6)))
    bounds = [
        pac_bayes.inverse_small_kl(error, pac_bayes.complexity(5144, n, j))
        for error in (0.0275, 0.0285)  # printed as 0.028
    ]
    assert bounds[0] - 5e-4 <= 0.161 <= bounds[1] + 5e-4
    random = math.sqrt(pac_bayes.complexity(201_131, n, j) / 2)
    assert random == pytest.approx(1.352, abs=1e-3)


def test_the_shares_of_delta_add_up_to_it():
    """`complexity` without KL is ln(n / delta_j) / (n - 1)."""
    n, delta = 100, 0.05
    parts = [n / math.exp(pac_bayes.complexity(0, n, j, delta) * (n - 1))
             for j in range(1, 20_000)]  # fmt: skip
    assert sum(parts) == pytest.approx(delta, rel=1e-4) and sum(parts) <= delta


def test_the_prior_is_one_of_the_grid():
    for j in (1, 7, 450):
        assert pac_bayes.prior_index(pac_bayes.prior_variance(j)) == j
    assert pac_bayes.prior_index(50.0) == 1
    assert pac_bayes.prior_variance(pac_bayes.prior_index(0.01)) == pytest.approx(
        0.01, rel=0.005
    )


def test_the_sampled_bound_covers_at_the_stated_rate():
    """Of binomial draws, whose tail is known exactly."""
    truth, draws, delta = 0.1, 200, 0.05
    hits = np.arange(draws + 1)
    missed = [
        pac_bayes.sampled_bound(hit / draws, draws, delta) < truth for hit in hits
    ]
    share = scipy.stats.binom.pmf(hits, draws, truth)[missed].sum()
    assert 0 < share <= delta


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = mlp((6,), 1, (4,))
    initial = model.get_weights()
    trained = [w + 0.1 for w in initial]
    return pac_bayes.StochasticNetwork(initial, trained, 50, 0)


def test_penalty_is_the_complexity_at_the_grid(network):
    j = 300
    network.log_prior.assign(0.5 * math.log(pac_bayes.prior_variance(j)))
    kl = 0.0
    for mean, log_deviation, prior in zip(
        network.means, network.log_deviations, network.prior, strict=True
    ):
        kl += _kl(mean.numpy(), np.exp(log_deviation.numpy()), prior, j)
    assert network.kl(pac_bayes.prior_variance(j)) == pytest.approx(kl, rel=1e-6)
    expected = math.sqrt(pac_bayes.complexity(kl, 50, j) / 2)
    assert float(network.penalty()) == pytest.approx(expected, rel=1e-5)
    found = pac_bayes.terms(network, 0.1, 100)
    assert found["j"] == j and found["kl"] == pytest.approx(kl, rel=1e-6)
    estimate = 0.1 + math.sqrt(math.log(200) / 200)  # Hoeffding is weaker
    assert 0.1 < found["train_error_bound"] < estimate
    assert found["bound"] <= min(1, found["pinsker"])


def _kl(mean, deviation, prior, j):
    """KL to the prior by entropy and cross-entropy, weight by weight."""
    scale = math.sqrt(pac_bayes.prior_variance(j))
    entropy = scipy.stats.norm.entropy(mean, deviation).sum()
    expected = np.log(scale * math.sqrt(2 * math.pi))
    expected = expected + (deviation**2 + (mean - prior) ** 2) / (2 * scale**2)
    return expected.sum() - entropy


def test_draws_are_those_of_a_network_with_gaussian_weights(network):
    """Against weights drawn one by one."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 6)).astype("float32")
    kernel, bias, last, offset = (
        mean.numpy()
        + np.exp(spread.numpy()) * rng.standard_normal((40_000, *mean.shape))
        for mean, spread in zip(network.means, network.log_deviations, strict=True)
    )
    hidden = np.maximum(np.einsum("i,nij->nj", x[0], kernel) + bias, 0)
    expected = np.einsum("ni,nij->nj", hidden, last)[:, 0] + offset[:, 0]
    ours = np.asarray(network(np.repeat(x, 40_000, 0)))[:, 0]
    assert len(np.unique(ours)) > 39_000  # weights are drawn for every example
    assert scipy.stats.ks_2samp(ours, expected).pvalue > 1e-3
    error = pac_bayes.sampled_error(network, x, np.array([1]), 40_000, 0, 1)
    assert error == pytest.approx((expected <= 0).mean(), abs=0.02)


def test_without_deviation_it_is_the_network_of_its_means(network):
    x = np.random.default_rng(1).standard_normal((9, 6)).astype("float32")
    kept = [v.numpy() for v in network.log_deviations]
    for variable in network.log_deviations:
        variable.assign(variable * 0 - 40)
    model = mlp((6,), 1, (4,))
    model.set_weights([v.numpy() for v in network.means])
    np.testing.assert_allclose(network(x), model(x), atol=1e-5)
    y = (np.asarray(model(x))[:, 0] < 0).astype(int)  # every one missed
    assert pac_bayes.sampled_error(network, x, y, 1500, 0, 1) == 1
    for variable, value in zip(network.log_deviations, kept, strict=True):
        variable.assign(value)


def test_logistic_loss_is_above_the_error():
    outputs = np.array([[-3.0], [-0.1], [0.0], [2.0]], "float32")
    loss = np.asarray(pac_bayes.logistic(np.ones((4, 1)), outputs))
    expected = np.log2(1 + np.exp(-outputs.astype(float)))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert (loss >= (outputs <= 0)).all()


def test_errors_are_estimated_on_other_draws_than_those_of_the_updates():
    """`sampled_bound` holds for draws that are independent of the network."""
    x, y = np.arange(1000)[:, None], np.arange(1000) % 2
    seen, taken = [], []

    class Network:
        optimizer = types.SimpleNamespace()

        def fit(self, x, *_, **__):
            taken.extend(x[:, 0])

        def __call__(self, x):
            seen.append(x[:, 0])
            return x

    for step in (1, 2):
        pac_bayes.tighten(Network(), x, y, 1, 0.1, 0, step)
        pac_bayes.sampled_error(Network(), x, y, pac_bayes.BATCH, 0, step)
    draws = [*np.reshape(taken, (2, -1)), *seen]
    for a, b in itertools.combinations(draws, 2):
        assert (a == b).mean() < 0.1


def test_every_epoch_of_training_has_an_order_of_its_own():
    orders = []

    class Model:
        optimizer = types.SimpleNamespace(build=lambda variables: None)
        trainable_variables = ()

        def compile(self, *_, **__): ...

        def fit(self, x, y, *_, shuffle, **__):
            assert not shuffle and (x == y).all()  # Keras: one order for all epochs
            orders.append(x[:, 0])
            last = 0.9 if len(orders) < 3 else 0.995
            return types.SimpleNamespace(history={"accuracy": [last]})

    x = np.arange(200.0)
    assert pac_bayes.train(Model(), x[:, None], x, 9, 0) == 3
    assert len({order.tobytes() for order in orders}) == 3
    assert all((np.sort(order) == x).all() for order in orders)
