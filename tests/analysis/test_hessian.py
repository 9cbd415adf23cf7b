"""Curvature against exact answers: explicit Hessians, differences, closed forms."""

import keras
import numpy as np
import pytest
import scipy.sparse.linalg
import tensorflow as tf

from common.analysis import hessian
from common.models.losses import cross_entropy, squared_error


def dense(units, activation=None):
    return keras.layers.Dense(units, activation, dtype="float64")


@pytest.fixture(scope="module")
def small():
    """A 4-5-3 tanh net in float64 (43 weights) on 40 examples."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,), dtype="float64")
    model = keras.Model(inputs, dense(3)(dense(5, "tanh")(inputs)))
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((40, 4)), rng.integers(0, 3, 40)


@pytest.fixture(scope="module")
def explicit(small):
    """Its Hessian, column by column, from TensorFlow's own Jacobian of the gradient."""
    model, x, y = small
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            log_p = tf.nn.log_softmax(model(x, training=False))
            loss = -tf.reduce_mean(tf.gather(log_p, y, axis=1, batch_dims=1))
        gradient = inner.gradient(loss, variables)
    rows = [outer.jacobian(g, variables) for g in gradient]
    blocks = [
        [tf.reshape(b, (np.prod(v.shape), -1)) for b in row]
        for row, v in zip(rows, variables, strict=True)
    ]
    return np.block([[b.numpy() for b in row] for row in blocks])


def test_products_are_columns_of_the_explicit_hessian(small, explicit):
    operator = hessian.Hessian(*small)
    np.testing.assert_allclose(operator @ np.eye(43), explicit, atol=1e-14)
    assert operator.num_products == 43


def test_product_does_not_depend_on_the_batch_size(small):
    vector = np.random.default_rng(2).standard_normal(43)
    whole, pieces = (hessian.Hessian(*small, batch_size=b) for b in (40, 7))
    np.testing.assert_allclose(whole @ vector, pieces @ vector, atol=1e-15)
    np.testing.assert_allclose(
        whole.loss_and_gradient()[1], pieces.loss_and_gradient()[1], atol=1e-15
    )


def test_kept_and_recomputed_graphs_agree(small):
    vector = np.random.default_rng(2).standard_normal(43)
    kept, recomputed = (hessian.Hessian(*small, batch_size=9) for _ in "kr")
    assert kept._keep
    recomputed._keep = False
    np.testing.assert_allclose(kept @ vector, recomputed @ vector, atol=1e-15)
    kept.loss_and_gradient(vector)  # moves the weights and puts them back
    np.testing.assert_allclose(kept @ vector, recomputed @ vector, atol=1e-15)


def test_one_layer_is_the_diagonal_block(small, explicit):
    layer = small[0].layers[1]
    block = hessian.Hessian(*small, layer=layer.name) @ np.eye(25)
    np.testing.assert_allclose(block, explicit[:25, :25], atol=1e-14)


@pytest.mark.parametrize("pooling", ["MaxPooling2D", "AveragePooling2D"])
def test_product_against_finite_differences_of_the_gradient(pooling):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2), dtype="float64")
    x = keras.layers.Conv2D(3, 3, padding="same", dtype="float64")(inputs)
    x = keras.layers.BatchNormalization(scale=False, dtype="float64")(x)
    x = keras.layers.Activation("softplus", dtype="float64")(x)
    x = getattr(keras.layers, pooling)(3, 2, "same", dtype="float64")(x)
    model = keras.Model(inputs, dense(4)(keras.layers.Flatten(dtype="float64")(x)))
    rng = np.random.default_rng(3)
    norm = model.layers[2]
    statistics = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    norm.moving_mean.assign(statistics[0])
    norm.moving_variance.assign(statistics[1])
    images, labels = rng.standard_normal((10, 8, 8, 2)), rng.integers(0, 4, 10)
    operator = hessian.Hessian(model, images, labels, batch_size=4)
    vector = rng.standard_normal(operator.shape[0])
    ahead, behind = (
        operator.loss_and_gradient(step * vector)[1] for step in (1e-5, -1e-5)
    )
    difference = (ahead - behind) / 2e-5
    error = np.linalg.norm(operator @ vector - difference) / np.linalg.norm(difference)
    assert error < 1e-8
    # The moving statistics are constants here, and nothing has moved.
    assert operator.shape[0] == model.count_params() - 6
    np.testing.assert_array_equal(norm.moving_mean, statistics[0])


def test_least_squares_has_the_hessian_of_the_normal_equations():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((30, 6)), rng.standard_normal((30, 1))
    inputs = keras.Input((6,), dtype="float64")
    layer = keras.layers.Dense(1, use_bias=False, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    for loss in (squared_error, lambda y, z: (z - y)[:, 0] ** 2 / 2):
        operator = hessian.Hessian(model, x, y, loss, batch_size=13)
        np.testing.assert_allclose(operator @ np.eye(6), x.T @ x / 30, atol=1e-14)


def test_embeddings_and_a_sequential_model():
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(7, 3, dtype="float64")
    rest = keras.Sequential([keras.layers.Flatten(dtype="float64"), dense(2, "tanh")])
    model = keras.Sequential([keras.Input((4,), dtype="int32"), embedding, rest])
    rng = np.random.default_rng(12)
    tokens, labels = rng.integers(0, 7, (9, 4)), rng.integers(0, 2, 9)
    operator = hessian.Hessian(model, tokens, labels)
    vector = rng.standard_normal(operator.shape[0])
    ahead, behind = (
        operator.loss_and_gradient(step * vector)[1] for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(operator @ vector, (ahead - behind) / 2e-5, atol=1e-9)


def test_float32_products_agree_with_float64(small, explicit):
    model, x, y = small
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, "tanh")(inputs)
    single = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    single.set_weights(model.get_weights())
    operator = hessian.Hessian(single, x, y)
    assert operator.dtype == np.float32
    np.testing.assert_allclose(operator @ np.eye(43, dtype="f"), explicit, atol=1e-6)


def test_cross_entropy_keeps_relative_accuracy():
    logits = np.array([[20.0, 0, 0], [0, 5, 1], [3, 1, 2], [1e3, 0, 0]])
    labels = np.array([0, 2, 0, 0])
    exact = np.log1p(
        [2 * np.exp(-20), np.exp(4) + np.exp(-1), np.exp(-2) + np.exp(-1), 0]
    )
    logits = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        losses = cross_entropy(labels, logits)
    np.testing.assert_allclose(losses, exact, rtol=1e-6)
    gradient = tape.gradient(losses, logits)[0].numpy()
    np.testing.assert_allclose(gradient[0], -2 * np.exp(-20), rtol=1e-6)


def test_float32_products_keep_their_accuracy_at_a_loss_near_zero(small):
    # Logits far apart, so that `probability - 1` would be lost in rounding.
    model, x, _ = small
    hidden, last = (layer.get_weights() for layer in model.layers[1:])
    nets = []
    for dtype in ("float64", "float32"):
        inputs = keras.Input((4,), dtype=dtype)
        first = keras.layers.Dense(5, "tanh", dtype=dtype)
        second = keras.layers.Dense(3, dtype=dtype)
        nets.append(keras.Model(inputs, second(first(inputs))))
        first.set_weights(hidden)
        second.set_weights([60 * last[0], last[1]])
    logits = nets[0].predict_on_batch(x)
    y = logits.argmax(1)
    sure = cross_entropy(y, tf.constant(logits)).numpy() < 1e-4
    exact, single = (hessian.Hessian(net, x[sure], y[sure]) for net in nets)
    assert sure.sum() > 5 and exact.loss_and_gradient()[0] < 1e-4
    identity = np.eye(43)
    exact, single = exact @ identity, single @ identity.astype("f")
    assert np.abs(single - exact).max() < 1e-5 * np.abs(exact).max()


def test_moved_operator_is_a_new_one(small):
    model, x, y = small
    operator = hessian.Hessian(model, x[:9], y[:9], batch_size=7)
    vector = np.random.default_rng(2).standard_normal(43)
    before, weights = operator @ vector, model.get_weights()
    model.set_weights([1.5 * w for w in weights])
    operator.move(x, y)
    moved, fresh = operator @ vector, hessian.Hessian(model, x, y) @ vector
    np.testing.assert_allclose(moved, fresh, atol=1e-14)
    model.set_weights(weights)
    operator.move(x[:9], y[:9])
    np.testing.assert_allclose(operator @ vector, before, atol=1e-14)
    with pytest.raises(ValueError, match="same number"):
        operator.move(x, y[:9])


def test_top_eigenvalues(small, explicit):
    exact = np.linalg.eigvalsh(explicit)[::-1]
    top = hessian.top_eigenvalues(hessian.Hessian(*small), k=6, tolerance=1e-10)
    np.testing.assert_allclose(top.values, exact[:6], rtol=1e-10)
    assert np.all(top.residuals < 1e-8)


def test_residuals_bound_the_error_of_a_loose_search(small, explicit):
    exact = np.linalg.eigvalsh(explicit)
    top = hessian.top_eigenvalues(hessian.Hessian(*small), k=3, tolerance=1e-1)
    nearest = np.abs(exact[None] - top.values[:, None]).min(axis=1)
    assert np.all(nearest <= top.residuals + 1e-14)


def test_trace_of_the_small_net(small, explicit):
    exact = np.trace(explicit)
    operator = hessian.Hessian(*small)
    estimate = hessian.trace(operator, num_products=30, seed=1)
    assert abs(estimate.value - exact) < 3 * estimate.standard_error < 0.5 * exact
    assert estimate.num_products == operator.num_products == 30
    # As many sketch vectors as weights: nothing is left to sample.
    assert hessian.trace(operator, 3 * 43).value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("decay", [0.0, 1.0])  # flat spectrum; a loss-like one
@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_trace_interval_covers_at_its_stated_rate(decay, confidence):
    rng = np.random.default_rng(5)
    size, seeds = 120, 200
    rotation, _ = np.linalg.qr(rng.standard_normal((size, size)))
    spectrum = (1.0 + np.arange(size)) ** -decay + 0.1 * rng.standard_normal(size)
    matrix = (rotation * spectrum) @ rotation.T
    operator = scipy.sparse.linalg.aslinearoperator(matrix)
    runs = [hessian.trace(operator, 30, confidence, seed) for seed in range(seeds)]
    covered = np.mean([run.low <= spectrum.sum() <= run.high for run in runs])
    # Three binomial standard deviations.
    assert abs(covered - confidence) < 3 * np.sqrt(
        confidence * (1 - confidence) / seeds
    )
    values = np.array([run.value for run in runs])
    errors = np.array([run.standard_error for run in runs])
    assert abs(values.mean() - spectrum.sum()) < 4 * values.std() / np.sqrt(seeds)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.15)


def test_density_moments_are_the_traces_of_powers(small, explicit):
    density = hessian.spectral_density(
        hessian.Hessian(*small), num_probes=200, num_steps=6
    )
    assert density.weights.sum() == pytest.approx(1)
    exact = np.linalg.eigvalsh(explicit)
    for power in (1, 2, 3):
        each = density.weights * density.nodes**power
        per_probe = each.reshape(200, -1).sum(axis=1) * 200
        error = per_probe.std(ddof=1) / np.sqrt(200)
        assert abs(each.sum() - np.mean(exact**power)) < 3 * error
        assert error < 0.1 * abs(np.mean(exact**power))


def test_quadrature_is_exact_for_one_direction(small, explicit):
    start = np.random.default_rng(6).standard_normal(43)
    nodes, weights = hessian._lanczos(hessian.Hessian(*small), start, 10)
    start /= np.linalg.norm(start)
    for power in range(20):  # a Gauss rule of 10 nodes is exact to degree 19
        exact = start @ np.linalg.matrix_power(explicit, power) @ start
        assert weights @ nodes**power == pytest.approx(exact, rel=1e-8, abs=1e-14)


def test_density_is_the_smoothed_spectrum():
    spectrum = np.repeat([-1.0, 0.0, 4.0], [10, 70, 20])
    operator = scipy.sparse.linalg.aslinearoperator(np.diag(spectrum))
    density = hessian.spectral_density(operator, num_probes=200, num_steps=20)
    assert density.deviation == pytest.approx(0.01 * 5)
    step = density.grid[1] - density.grid[0]
    assert density.density.sum() * step == pytest.approx(1, abs=1e-4)
    for eigenvalue in (-1, 0, 4):
        near = np.abs(density.grid - eigenvalue) < 0.25
        share = np.mean(spectrum == eigenvalue)
        assert density.density[near].sum() * step == pytest.approx(share, abs=0.02)


def test_box_sharpness_of_a_quadratic():
    rng = np.random.default_rng(7)
    x = rng.uniform(0.2, 1, (50, 4))  # all correlated: one pair of maxima
    weights = np.array([[1.0], [-2.0], [0.5], [3.0]])
    inputs = keras.Input((4,), dtype="float64")
    layer = keras.layers.Dense(1, use_bias=False, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    layer.kernel.assign(weights)
    operator = hessian.Hessian(model, x, x @ weights, squared_error)
    # A convex function is largest at a corner of the box: try all 16.
    bound = 1e-2 * (np.abs(weights[:, 0]) + 1)
    corners = np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T * bound
    largest = max(c @ (x.T @ x / 50) @ c / 2 for c in corners)
    found = hessian.box_sharpness(operator, epsilon=1e-2)
    assert found == pytest.approx(100 * largest, rel=1e-6)
    np.testing.assert_array_equal(layer.kernel, weights)


def linear_classifier(seed, features=6, classes=3):
    inputs = keras.Input((features,), dtype="float64")
    model = keras.Model(inputs, dense(classes)(inputs))
    kernel = np.random.default_rng(seed).standard_normal((features, classes))
    model.set_weights([kernel, np.zeros(classes)])
    return model, kernel


def test_jacobian_norm_of_a_linear_model_is_the_norm_of_its_weights():
    model, kernel = linear_classifier(8)
    x = np.random.default_rng(9).standard_normal((11, 6))
    norms = hessian.jacobian_norms(model, x, batch_size=4)
    np.testing.assert_allclose(norms, np.linalg.norm(kernel), rtol=1e-14)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(x @ kernel))
    exact = [
        np.linalg.norm(kernel @ (np.diag(p) - np.outer(p, p))) for p in probabilities
    ]
    found = hessian.jacobian_norms(model, x, batch_size=4, of="probabilities")
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_critical_samples_of_a_linear_classifier():
    # With two classes a point is critical when its margin is below radius |w|_1.
    model, kernel = linear_classifier(10, classes=2)
    normal, radius = kernel[:, 1] - kernel[:, 0], 0.1
    reach = radius * np.abs(normal).sum()
    share = np.concatenate([np.linspace(-0.8, 0.8, 31), [-1.01, 1.01, 2, 3, -4]])
    x = np.random.default_rng(11).standard_normal((len(share), 6))
    x += np.outer(share * reach - x @ normal, normal) / (normal @ normal)
    for batch_size in (5, 36):
        ratio = hessian.critical_sample_ratio(model, x, radius, 20, batch_size)
        assert ratio == pytest.approx(31 / 36)
    assert hessian.critical_sample_ratio(model, x[-3:], radius) == 0


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda m, x, y: hessian.Hessian(m, x, y[1:]), "same number"),
        (lambda m, x, y: hessian.jacobian_norms(m, x, of="loss"), "'loss'"),
        (lambda m, x, y: hessian.trace(hessian.Hessian(m, x, y), 5), "at least 6"),
    ],
)
def test_wrong_arguments_are_named(small, broken, message):
    with pytest.raises(ValueError, match=message):
        broken(*small)


def test_half_precision_is_refused():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, dtype="mixed_bfloat16")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(hidden))
    with pytest.raises(ValueError, match="rebuild it in float32"):
        hessian.Hessian(model, np.zeros((2, 4)), np.zeros(2, int))
