"""What is measured after an epoch, how certain it is, and when a training stops."""

import itertools
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from common.engine import evaluation
from common.engine.history import History
from common.pipelines import measuring_order
from common.regime import Regime

CLASSES, SIZE = 10, 20_000


class Fits:
    """A network that misfits the given training examples, and counts what it is fed."""

    def __init__(self, misfitted):
        self.wrong = np.zeros(SIZE, bool)
        self.wrong[misfitted] = True
        self.asked = []

    def predict_on_batch(self, places):
        self.asked += [len(places)]
        label = np.where(self.wrong[places], 1, 0)
        return np.eye(CLASSES, dtype="f")[label] * 9


@pytest.fixture(scope="module")
def feed():
    labels = np.zeros(SIZE, np.int32)
    return SimpleNamespace(
        in_memory=True,
        x_train=np.arange(SIZE),
        y_train=labels,
        y_train_true=labels,
        x_test=np.arange(100),
        y_test=labels[:100],
        x_held_out=None,
        measuring_order=measuring_order(SIZE),
    )


def measured(misfitted, feed, target):
    model = Fits(misfitted)
    row = evaluation.measurer(model, feed, False)(lambda held_out: target)
    assert sum(model.asked) == row["measured"] + 100
    return row


@pytest.mark.parametrize("errors", [0, 199, 200, 201, 202, 300, 2_000, 20_000])
@pytest.mark.parametrize("where", ["first", "last", "spread"])
def test_reaching_the_target_is_never_an_estimate(errors, where, feed):
    order = feed.measuring_order
    places = {"first": order[:errors], "last": order[SIZE - errors :]}
    places["spread"] = np.random.default_rng(errors).permutation(SIZE)[:errors]
    row = measured(places[where], feed, 0.99)
    assert (row["train_accuracy"] >= 0.99) == (errors <= 200)
    if errors <= 200:  # of what was reached the number is exact
        assert row["measured"] == SIZE
        assert row["train_accuracy"] == 1 - errors / SIZE
    if errors == 20_000:
        assert row["measured"] == 2_500


def test_all_or_the_sample_can_be_asked_for(feed):
    half = np.arange(SIZE // 2)
    assert measured(half, feed, 0.0) == {
        "train_accuracy": 0.5,
        "train_cross_entropy": pytest.approx(4.5 + math.log1p(9 * math.exp(-9))),
        "val_accuracy": 0.0,
        "val_cross_entropy": pytest.approx(9 + math.log1p(9 * math.exp(-9))),
        "measured": SIZE,
    }
    row = measured([], feed, math.inf)
    assert (row["train_accuracy"], row["measured"]) == (1, 2_500)
    # Of 2,500 from half and half: within five standard errors.
    assert abs(measured(half, feed, math.inf)["train_accuracy"] - 0.5) < 0.05


@pytest.mark.parametrize(
    "examples, sample", [(100, 100), (5_000, 2_500), (50_000, 2_500), (10**6, 50_000)]
)
def test_a_twentieth_is_measured_but_never_too_few(examples, sample):
    assert evaluation.sample_size(examples) == sample


# When it stops, and what it asks to be told: with a network that only counts.


class Training:
    """Plays epochs through `History` without training anything."""

    def __init__(self, regime, rows, measure_all=False):
        weights = itertools.count()
        built = SimpleNamespace(get_weights=lambda: [next(weights)])
        self.targets, rows = [], iter(rows)

        def measure(target):
            row = {"train_cross_entropy": 1.0, "val_accuracy": 0.5, "measured": 9}
            row |= next(rows)
            self.targets.append(target(row.get("held_out_accuracy")))
            return row

        self.history = History(built, regime, measure, measure_all)
        model = SimpleNamespace(optimizer=SimpleNamespace(), stop_training=False)
        self.history.set_model(model)
        for epoch in range(regime.epochs):
            self.history.on_epoch_begin(epoch)
            self.history.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.5})
            if model.stop_training:
                break


def train(*values):
    return [{"train_accuracy": value} for value in values]


def test_all_are_measured_where_the_record_needs_it():
    usual = Training(Regime(epochs=5), train(0.5, 0.98, 0.992, 0.97, 1.0))
    # 0.99 has to be told from less until it is reached; the last epoch is reported.
    assert usual.targets == [0.99, 0.99, 0.99, math.inf, 0.0]
    stop = Training(Regime(epochs=9, stop_at=0.999), train(0.5, 0.995, 0.998, 0.9995))
    assert stop.targets == [0.99, 0.99, 0.999, 0.999]
    assert stop.history.stopped_because == "stop_at"
    low = Training(Regime(epochs=9, stop_at=0.9), train(0.5, 0.95))
    assert low.targets == [0.9, 0.9] and len(low.history.rows) == 2
    whole = Training(Regime(epochs=3), train(0.1, 0.2, 0.3), measure_all=True)
    assert whole.targets == [0.0] * 3


def test_of_equal_epochs_early_stopping_reports_the_first():
    held_out = (0.3, 0.5, 0.4, 0.5, 0.2, 0.1)
    rows = [{"train_accuracy": 0.6, "held_out_accuracy": value} for value in held_out]
    run = Training(Regime(epochs=50, early_stopping=3), rows)
    assert run.history.best_epoch == 2
    assert run.history.stopped_because == "early_stopping"
    assert run.history.final_row()["epoch"] == 2
    assert run.history.final_weights() == [1]  # taken after the second best so far
    # What may be reported in the end is measured on all examples.
    assert run.targets == [0.0, 0.0, 0.99, 0.99, 0.99]


def test_a_loss_that_is_no_number_ends_the_run():
    rows = [{"train_accuracy": 0.1, "train_cross_entropy": math.nan}]
    assert Training(Regime(), rows).history.stopped_because == "diverged"


def test_the_network_that_was_measured_is_the_one_that_is_kept(data):
    from common.pipelines import Feed

    feed = Feed(data, Regime(batch_size=10))
    model = keras.Sequential(
        [keras.Input(feed.input_shape), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    row = evaluation.measurer(model, feed, True)(lambda held_out: 0.0)
    logits = model.predict(feed.x_train, verbose=0)
    loss = keras.losses.sparse_categorical_crossentropy(
        feed.y_train, logits, from_logits=True
    )
    assert row["train_cross_entropy"] == pytest.approx(float(np.mean(loss)), rel=1e-5)
    assert row["train_accuracy"] == np.mean(logits.argmax(1) == feed.y_train)
    assert math.isnan(row["flipped_accuracy"])  # none is
