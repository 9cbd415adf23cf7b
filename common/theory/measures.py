"""A grid of small networks, each with every measure of analyze.py."""

import functools

import keras
import numpy as np

from common import corruptions, datasets, pipelines
from common.analysis import bounds, norms, sensitivity
from common.analysis.meter import Meter
from common.engine import replicas
from common.models.mlp import mlp
from common.theory.ranking import GAP

TARGET = 0.01  # nats, where a training ends (Jiang et al. 2020)


class Grid:
    """Trains and measures the networks of a grid, a group at a time."""

    def __init__(self, settings, data_dir):
        self.settings = settings
        data = datasets.named(settings.dataset, data_dir=data_dir)
        self.data = data
        self.test = pipelines.prepare(data.x_test), data.y_test
        self.meter = functools.lru_cache(1)(self._meter)

    def _build(self, width, depth):
        shape = self.test[0].shape[1:]
        return mlp(shape, self.data.num_classes, (width,) * depth)

    def _meter(self, width, depth):
        return Meter(functools.partial(self._build, width, depth))

    def part(self, width, depth, size, batch):
        """Returns `rows`, a dict of numbers for every label corruption and seed."""
        s, classes = self.settings, self.data.num_classes
        who, initial, sets = [], [], []
        for seed in range(s.seed, s.seed + s.seeds):
            kept = datasets.balanced_order(self.data.y_train, seed)[:size]
            images = pipelines.prepare(self.data.x_train[kept])
            keras.utils.set_random_seed(seed)
            weights = self._build(width, depth).get_weights()
            for noise in s.noise:
                y = corruptions.corrupt_labels(
                    self.data.y_train[kept], noise, classes, seed, "uniform"
                )
                who.append((noise, seed))
                initial.append(weights)
                sets.append((images, y))
        stops = replicas.train(
            [np.stack(w) for w in zip(*initial, strict=True)],
            np.stack([x.reshape(size, -1) for x, _ in sets]),
            np.stack([y for _, y in sets]),
            np.array([seed for _, seed in who]),
            batch_size=batch,
            max_epochs=s.epochs,
            target_loss=TARGET,
        )
        meter, rows = self.meter(width, depth), []
        for (noise, seed), start, train, (_, stop) in zip(
            who, initial, sets, stops, strict=True
        ):
            row = {"size": size, "width": width, "depth": depth, "batch": batch}
            row |= {"noise": noise, "seed": seed, "reached": stop.reached}
            row |= {"epochs": stop.epochs, "parameters": meter.model.count_params()}
            row |= meter.measure(stop.weights, start, train, self.test)
            row[GAP] = row["train_accuracy"] - row["test_accuracy"]
            rows.append(row | more(meter, *train))
        return {"rows": rows}


def more(meter, x, y):
    """What analyze.py measures beside `Meter.measure`, of the network in the meter."""
    model = meter.model
    layers = norms.layer_norms(model, meter.start)
    paths = [norms.path_norm(model, p) for p in (1, 2)]
    margins = norms.margins(model, x, y)
    complexity = bounds.spectral_complexity(layers)
    normalized = bounds.normalized_margins(margins, complexity, x)
    sigma = bounds.pacbayes_sigma(model, x, y, num_samples=3, batch_size=len(x))
    tenth = float(np.quantile(margins, 0.1))
    return {
        "path_1": paths[0],
        "path_2": paths[1],
        "log10_spectral_complexity": complexity,
        "normalized_margin_10": float(np.quantile(normalized, 0.1)),
        "pacbayes_sigma": sigma,
        "pacbayes_origin": np.nan,  # where no noise is too much
        "pacbayes_init": np.nan,
        **bounds.capacity(layers, tenth, *paths, len(x), sigma),
        "box_sharpness": sensitivity.box_sharpness(meter.hessian),
        "critical_sample_ratio": sensitivity.critical_sample_ratio(model, x),
    }
