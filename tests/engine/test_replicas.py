"""Replicas trained side by side against ordinary Keras training."""

import keras
import numpy as np
import pytest

from common import corruptions, datasets, pipelines
from common.engine import replicas
from common.models.mlp import mlp

N, BATCH, TARGET = 40, 16, 0.1  # the last batch of an epoch has 8
SEEDS = np.array([0, 0, 1, 1])  # true and random labels of each


@pytest.fixture(scope="module")
def problem():
    """(initial, x, y) of four small networks, with a replica axis."""
    data = datasets.named("mnist_5k", N)
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
    """One replica trained by Keras, batch by batch, in the order of the plan."""

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
            for index in np.split(order, range(BATCH, N, BATCH)):
                self.model.train_on_batch(images[index], self.y[index])
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


def test_squared_error_and_looks_are_those_of_an_ordinary_fit(problem):
    seen = {}

    def look(epoch, members, weights):
        seen[epoch] = members.tolist(), [w[-1] for w in weights]

    (stops,) = train(
        problem,
        slice(3, 4),
        max_epochs=6,  # another chunk of as many epochs: one program
        target_loss=0,
        loss="squared_error",
        look=look,
        look_at=[2, 4, 9],
    )
    plain = Plain(problem, 3)

    def loss(y, outputs):
        one_hot = keras.ops.one_hot(keras.ops.reshape(y, (-1,)), 10)
        return keras.ops.sum((one_hot - outputs) ** 2, axis=-1) / 2

    plain.model.compile("adam", loss)
    assert [*seen] == [2, 4] and seen[2][0] == [0]
    for epoch in (2, 4):
        same(plain.train(epoch), seen[epoch][1])
    same(plain.train(6), stops[1].weights)
    assert not stops[1].reached and stops[1].epochs == 6
