"""Replicas against ordinary Keras training, and what mnist_l2norm.py leaves."""

import sys

import keras
import numpy as np
import pandas as pd
import pytest

import mnist_l2norm
from common import cli, corruptions, datasets, models, pipelines, records
from common.analysis import hessian
from common.engine import replicas
from common.models.mlp import mlp

N, BATCH, TARGET = 40, 16, 0.1  # the last batch of an epoch has 8
SEEDS = np.array([0, 0, 1, 1])  # true and random labels of each


@pytest.fixture(scope="module")
def problem():
    """(initial, x, y) of four small networks, with a replica axis."""
    data = datasets.load("mnist_5k", N)
    x = pipelines.prepare(data.x_train)[:, ::2, ::2]
    initial, y = [], []
    for i, seed in enumerate(SEEDS):
        keras.utils.set_random_seed(int(seed))
        initial.append(mlp(x.shape[1:], 10, (32, 32)).get_weights())
        y.append(corruptions.corrupt_labels(data.y_train, i % 2, 10, int(seed)))
    initial = [np.stack(w) for w in zip(*initial, strict=True)]
    return initial, np.repeat(x.reshape(1, N, -1), len(SEEDS), 0), np.stack(y)


def train(problem, members=slice(None), **settings):
    initial, x, y = problem
    settings = {"batch_size": BATCH, "target_loss": TARGET, **settings}
    weights = [w[members] for w in initial]
    return replicas.train(weights, x[members], y[members], SEEDS[members], **settings)


@pytest.fixture(scope="module")
def stops(problem):
    return train(problem)


class Plain:
    """One replica trained by `fit`, an epoch at a time, in the order of the plan."""

    def __init__(self, problem, replica, optimizer="adam"):
        initial, x, y = problem
        self.x, self.y, self.seed, self.epoch = (
            x[replica],
            y[replica],
            SEEDS[replica],
            0,
        )
        self.model = mlp((14, 14, 1), 10, (32, 32))
        self.model.set_weights([w[replica] for w in initial])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer, loss)

    def train(self, epochs):
        """Trains up to so many epochs; returns the weights."""
        images = self.x.reshape(N, 14, 14, 1)
        for epoch in range(self.epoch, epochs):
            order = pipelines.plan(N, (), int(self.seed), epoch)["order"]
            self.model.fit(
                *(images[order], self.y[order]),
                batch_size=BATCH,
                shuffle=False,
                verbose=0,
            )
        self.epoch = epochs
        return self.model.get_weights()

    def said(self):
        """Training accuracy and mean cross-entropy in float64."""
        logits = self.model.predict_on_batch(self.x.reshape(N, 14, 14, 1)).astype(float)
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        accuracy = (logits.argmax(1) == self.y).mean()
        return accuracy, -logits[np.arange(N), self.y].mean()


def same(ones, others, tolerance=1e-5):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("replica", [3])
def test_a_replica_is_an_ordinary_fit_frozen_at_its_stopping_points(
    problem, stops, replica
):
    accuracy, loss = stops[replica]
    plain = Plain(problem, replica)
    assert accuracy.reached and loss.reached and 1 < accuracy.epochs < loss.epochs
    plain.train(accuracy.epochs - 1)
    assert plain.said()[0] < 1
    same(plain.train(accuracy.epochs), accuracy.weights)
    assert plain.said()[0] == 1
    plain.train(loss.epochs - 1)
    assert plain.said()[1] > TARGET
    same(plain.train(loss.epochs), loss.weights)
    assert plain.said()[1] <= TARGET


def test_random_labels_take_longer(stops):
    for true, random in (stops[:2], stops[2:]):
        assert all(a.epochs < b.epochs for a, b in zip(true, random, strict=True))


def test_the_same_twice_bit_for_bit(problem, stops):
    again = train(problem)
    for one, other in zip(stops, again, strict=True):
        for stop, repeated in zip(one, other, strict=True):
            assert stop[:2] == repeated[:2]
            same(stop.weights, repeated.weights, tolerance=0)


def test_a_replica_does_not_feel_its_neighbours(problem, stops):
    (alone,) = train(problem, slice(2, 3))
    for one, other in zip(alone, stops[2], strict=True):
        assert one[:2] == other[:2]
        same(one.weights, other.weights)


def test_finished_replicas_are_dropped_and_the_others_go_on(
    problem, stops, monkeypatch
):
    loops, only = [], replicas._Loop.only
    monkeypatch.setattr(replicas, "WORTH_COMPILING", 0)
    monkeypatch.setattr(replicas, "CHUNK", 3 * N)
    monkeypatch.setattr(
        replicas._Loop, "only", lambda *a: loops.append(len(a[1])) or only(*a)
    )
    for one, other in zip(train(problem), stops, strict=True):
        for stop, kept in zip(one, other, strict=True):
            assert stop[:2] == kept[:2]
            same(stop.weights, kept.weights)
    assert loops and loops[0] <= 2


def test_out_of_epochs_is_censored_under_another_optimizer(problem):
    said = []
    result = train(
        problem,
        max_epochs=3,
        optimizer="rmsprop",
        target_loss=1e-9,
        report=lambda *numbers: said.append(numbers),
    )
    for accuracy, loss in result:
        assert (loss.epochs, loss.reached) == (3, False)
        assert accuracy.reached == (accuracy.epochs < 3) or accuracy.epochs == 3
    assert said[-1][0] == 3 and said[-1][2] == 0 and said[-1][3].shape == (4,)
    same(Plain(problem, 1, "rmsprop").train(3), result[1][1].weights)


def test_one_meter_measures_many_networks(problem, stops):
    initial, x, y = problem
    x = x.reshape(len(SEEDS), N, 14, 14, 1)
    meter = replicas.Meter(lambda: mlp((14, 14, 1), 10, (32, 32)))
    for i, stop in ((0, 1), (3, 0), (3, 1)):
        start, data = [w[i] for w in initial], (x[i], y[i])
        row = meter.measure(stops[i][stop].weights, start, data, data)
    model = keras.models.clone_model(meter.model)
    model.set_weights(stops[3][1].weights)
    assert row["train_loss"] == row["test_loss"] <= TARGET
    assert row["train_accuracy"] == 1 and row["margin_min"] > 0
    operator = hessian.Hessian(model, *data)
    top = hessian.top_eigenvalues(operator, 5).values
    np.testing.assert_allclose(
        [row[f"eigenvalue_{i}"] for i in range(1, 6)], top, rtol=1e-3
    )
    trace = hessian.trace(operator)
    assert row["trace"] == pytest.approx(trace.value, rel=1e-3)
    moved = [w - w0[3] for w, w0 in zip(model.get_weights(), initial, strict=True)]
    distance = np.sqrt(sum((w.astype(float) ** 2).sum() for w in moved[::2]))
    assert row["distance"] == pytest.approx(distance, rel=1e-5)


# The script.

FLAGS = "--dataset mnist_5k --size 32 16 --seeds 2 --target-loss 0.05 --quiet".split()
NAME = "mnist_l2norm_mnist_5k_loss0.05_seeds2_n16-32"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, record, table) of a run interrupted after a size, and continued."""
    path = tmp_path_factory.mktemp("l2norm")
    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path / "models")]
    one_size, trained = mnist_l2norm.one_size, []

    def interrupted(args, size, *others):
        if size == 32 and not trained.count(32):
            trained.append(size)
            raise KeyboardInterrupt
        trained.append(size)
        return one_size(args, size, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_l2norm, "one_size", interrupted)
        with pytest.raises(cli.Interrupted, match="1 by now.*mnist_l2norm.py --d"):
            mnist_l2norm.main(flags)
        assert not (path / f"{NAME}.json").exists()
        record = mnist_l2norm.main(flags)
    assert trained == [16, 32, 32]
    return path, record, pd.read_csv(path / f"{NAME}.csv")


def test_csv(finished):
    _, _, table = finished
    keys = ["size", "labels", "seed", "stop"]
    norms = [f"{kind}_{i}" for kind in ("l2_norm", "spectral_norm") for i in (1, 2, 3)]
    assert list(table.columns) == [
        *keys,
        *("reached", "epochs", "updates"),
        *("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        *("l2_norm", *norms[:3], "product_of_norms"),
        *(*norms[3:], "product_of_spectral_norms"),
        *("distance", "margin_min", "margin_10"),
        *("product_of_norms_per_margin", "product_of_spectral_norms_per_margin"),
        *(f"eigenvalue_{i}" for i in range(1, 6)),
        *("trace", "trace_standard_error", "jacobian_norm"),
    ]
    assert len(table) == len(table[keys].drop_duplicates()) == 2 * 2 * 2 * 2
    assert table.reached.all() and (table.train_accuracy == 1).all()
    assert (table.margin_min > 0).all() and (table.updates == table.epochs).all()
    late = table[table.stop == "loss"]
    assert (late.train_loss < 0.0501).all() and (late.distance > 0).all()
    assert table.eigenvalue_1.nunique() == table.trace.nunique() == len(table)
    # The trace is at least the top eigenvalues, but for what is negative.
    top = table[[f"eigenvalue_{i}" for i in range(1, 6)]]
    assert (np.diff(top) <= 1e-6).all() and (top.sum(axis=1) > 0.2 * table.trace).all()


def test_record_models_and_figures(finished):
    path, record, table = finished
    assert record == records.read(path / f"{NAME}.json")
    assert record["name"] == NAME and record["resumed_at"] == ["16"]
    assert record["settings"]["sizes"] == [16, 32] and record["replicas"] == 8
    assert record["censored"] == 0 and record["parameters"] == 55050
    assert "With random labels against true ones, 32 images take" in record["verdict"]
    saved = sorted(p.name for p in (path / "models").glob("*.h5"))
    assert len(saved) == 8 and f"{NAME}_16_random_loss_seed0.h5" in saved
    row = table.query("size == 32 and labels == 'true' and stop == 'accuracy'").iloc[0]
    model = models.load(path / f"models/{NAME}_32_true_accuracy_seed0.h5")
    kernels = model.get_weights()[::2]
    squares = [float((k.astype(float) ** 2).sum()) for k in kernels]
    assert row.l2_norm == pytest.approx(np.sqrt(sum(squares)), rel=1e-6)
    assert row.product_of_norms == pytest.approx(np.prod(squares), rel=1e-6)
    test = datasets.load("mnist_5k")
    said = model.predict_on_batch(test.x_test.astype(float) / 255).argmax(1)
    assert row.test_accuracy == pytest.approx((said == test.y_test).mean(), abs=0.002)
    figures = sorted(p.name for p in (path / "figures").iterdir())
    assert figures == [f"{NAME}_curvature.png", f"{NAME}_norms.png"]


def test_a_complete_run_is_not_run_again(finished, monkeypatch):
    path, record, _ = finished
    monkeypatch.setattr(mnist_l2norm, "one_size", None)
    figure = path / f"figures/{NAME}_norms.png"
    before = figure.read_bytes()
    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path / "models")]
    assert mnist_l2norm.main(flags) == record
    assert figure.read_bytes() == before


def test_names_tell_settings_apart():
    for flags, name in (
        ("", "mnist_l2norm"),
        ("--max-size 1024 --quiet --random-labels", "mnist_l2norm_random"),
        ("--no-random-labels --opt sgd", "mnist_l2norm_sgd_true"),
        ("--step 300 --max-size 700", "mnist_l2norm_n300-600"),
        ("--label-noise exclusive --seed 3", "mnist_l2norm_exclusive_seed3"),
        ("--inputs whitened --max-epochs 9", "mnist_l2norm_whitened_epochs9"),
    ):
        assert mnist_l2norm.parse(flags.split())[1] == name


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--size 4001 --dataset mnist_5k", "4000 to train on"),
        ("--dataset cifar11", "unknown data set"),
        ("--max-size 100", "no size is left"),
        ("--step 9 --max-size 8", "no size is left"),
        ("--size 1", "at least 2"),
        ("--target-loss 0", "more than 0"),
        ("--seeds 0", "at least 1"),
        ("--opt lamb", "invalid choice"),
        ("--label-noise pair", "invalid choice"),
        ("--rand", "unknown flag"),
    ],
)
def test_wrong_usage(flags, reason, tmp_path, monkeypatch, capsys):
    folders = ["--results-dir", str(tmp_path), "--models-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["mnist_l2norm.py", *flags.split(), *folders])
    with pytest.raises(SystemExit) as exit_:
        cli.run(mnist_l2norm.main)
    assert exit_.value.code == 2 and reason in capsys.readouterr().err
