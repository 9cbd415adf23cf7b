"""Networks of growing width through the interpolation threshold, many at once.

The settings of Belkin et al. (2019), with three changes: Adam in place of SGD with
momentum, hundreds of epochs in place of 6,000, and a rule that ends a training early.
"""

import base64

import numpy as np
from tqdm import tqdm

from common import corruptions, datasets, pipelines
from common.engine import replicas

# What a reused network's new weights are drawn from (Belkin et al.: variance 0.01).
NEW_DEVIATION = 0.1
# Half the squared error at which a training ends: a hundredth of that of outputs of 0.
TARGET = 5e-3
LOOKS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700]


def parameters(width, inputs, classes):
    """Number of weights, biases included."""
    return (inputs + 1) * width + (width + 1) * classes


class Descent:
    """Trains the networks of one width after the other.

    Args:
        settings: `experiments.double_descent.DoubleDescent`.
        data_dir: Where data sets lie, or None.
        quiet: Whether no progress is shown.
    """

    def __init__(self, settings, data_dir, quiet=True):
        self.settings, self.quiet = settings, quiet
        data = datasets.named(settings.dataset, data_dir=data_dir)
        self.data = data
        self.test = _flat(data.x_test), data.y_test
        self.inputs, self.classes = self.test[0].shape[1], data.num_classes
        self.threshold = settings.train_size * data.num_classes

    def part(self, width, narrower):
        """Trains the networks of a width.

        Args:
            width: Hidden units.
            narrower: Dict of `(noise, seed)` -> weights of the next narrower network
                that reused weights too; {} for the narrowest.

        Returns:
            Dict with `rows`, and packed `weights` for the next width.
        """
        s = self.settings
        count = parameters(width, self.inputs, self.classes)
        below = count < self.threshold
        starts = ("fresh", "reused") if below and width != s.widths[0] else ("fresh",)
        who = [
            (noise, seed, start)
            for noise in s.noise
            for seed in range(s.seed, s.seed + s.seeds)
            for start in starts
        ]
        sets = {seed: self._set(seed) for _, seed, _ in who}
        labels = [self._labels(sets[seed][1], noise, seed) for noise, seed, _ in who]
        initial = [
            self._grown(width, seed, narrower[noise, seed])
            if start == "reused"
            else self._fresh(width, seed)
            for noise, seed, start in who
        ]
        rows = []

        def add(epoch, members, weights, last=False):
            for i, values in zip(members, zip(*weights, strict=True), strict=True):
                noise, seed, start = who[i]
                row = {"width": width, "weights": count, "noise": noise, "seed": seed}
                row |= {"start": start, "epoch": epoch, "last": last}
                for name, x, y in (("train", sets[seed][0], labels[i]),
                                   ("test", *self.test)):  # fmt: skip
                    row |= _measured(name, values, x, y)
                rows.append(row)

        with tqdm(
            total=s.epochs, desc=f"width {width}", disable=self.quiet or None
        ) as bar:

            def report(epoch, fitted, finished, losses):
                bar.n = epoch
                bar.set_postfix_str(f"{fitted} fitted, {finished} finished")

            def look(epoch, members, weights):
                bar.n = epoch
                bar.refresh()
                add(epoch, members, weights)

            stops = replicas.train(
                [np.stack(w) for w in zip(*initial, strict=True)],
                np.stack([sets[seed][0] for _, seed, _ in who]),
                np.stack(labels),
                np.array([seed for _, seed, _ in who]),
                batch_size=s.batch_size,
                max_epochs=s.epochs,
                target_loss=TARGET,
                report=report,
                loss="squared_error",
                look=look,
                look_at=[epoch for epoch in LOOKS if epoch < s.epochs],
            )
        for i, (_, stop) in enumerate(stops):
            add(stop.epochs, [i], [w[None] for w in stop.weights], last=True)
        # Of the narrowest network the only one there is; of the others what reused.
        kept = {
            (noise, seed): stops[i][1].weights
            for i, (noise, seed, start) in enumerate(who)
            if below and start == starts[-1]
        }
        order = {name: i for i, name in enumerate(("noise", "seed", "start", "epoch"))}
        rows.sort(key=lambda row: [row[name] for name in order])
        return {"rows": rows, "weights": packed(kept)}

    def _set(self, seed):
        n = self.settings.train_size
        kept = datasets.balanced_order(self.data.y_train, seed)[:n]
        return _flat(self.data.x_train[kept]), self.data.y_train[kept]

    def _labels(self, y, noise, seed):
        return corruptions.corrupt_labels(y, noise, self.classes, seed, "uniform")

    def _fresh(self, width, seed):
        """Glorot uniform kernels and zero biases."""
        rng, weights = np.random.default_rng([seed, width]), []
        for a, b in ((self.inputs, width), (width, self.classes)):
            limit = np.sqrt(6 / (a + b))
            weights += [rng.uniform(-limit, limit, (a, b)), np.zeros(b)]
        return [w.astype(np.float32) for w in weights]

    def _grown(self, width, seed, narrow):
        """A narrower network's weights, and normal ones for what is new."""
        rng, grown = np.random.default_rng([seed, width, 1]), []
        for wide, old in zip(self._fresh(width, seed), narrow, strict=True):
            new = NEW_DEVIATION * rng.standard_normal(wide.shape)
            new[tuple(map(slice, old.shape))] = old
            grown.append(new.astype(np.float32))
        return grown


def _flat(images):
    return pipelines.prepare(images, "unit").reshape(len(images), -1)


def _measured(name, weights, x, y):
    """Half the squared error, and the share of wrong predictions, as columns."""
    kernel, bias, last, offset = weights
    outputs = np.maximum(x @ kernel + bias, 0) @ last + offset
    distance = np.square(outputs - np.eye(outputs.shape[1], dtype=np.float32)[y])
    return {
        f"{name}_loss": float(distance.sum(1).mean() / 2),
        f"{name}_error": float((outputs.argmax(1) != y).mean()),
    }


def packed(weights):
    """Weights as JSON takes them, bit for bit: dict of `noise seed` -> lists."""
    return {
        f"{noise!r} {seed}": [
            [list(w.shape), base64.b64encode(w.tobytes()).decode()] for w in arrays
        ]
        for (noise, seed), arrays in weights.items()
    }


def unpacked(kept):
    """What `packed` packed."""
    found = {}
    for key, arrays in kept.items():
        noise, seed = key.split()
        found[float(noise), int(seed)] = [
            np.frombuffer(base64.b64decode(text), np.float32).reshape(shape)
            for shape, text in arrays
        ]
    return found


def verdict(table, threshold):
    """What the networks reached, below, near and beyond the threshold."""
    said = []
    last = table[table["last"]]
    groups = last.groupby(["noise", "start", "weights"]).test_error.mean().mul(100)
    for noise in sorted(table.noise.unique()):
        fresh = groups[noise, "fresh"]
        end = f"{fresh.iloc[-1]:.1f} % with {fresh.index[-1]:,} weights"
        parts = []
        for start in ("reused", "fresh"):
            if (noise, start) not in groups.index.droplevel(2):
                continue
            below = groups[noise, start]
            below = below[below.index < 1.5 * threshold]
            if len(below):
                peak = below[below.index >= below.idxmin()]
                parts.append(
                    f"{start} weights, at least {below.min():.1f} % with "
                    f"{below.idxmin():,} and up to {peak.max():.1f} % with "
                    f"{peak.idxmax():,}"
                )
        labels = (
            f"{100 * noise:g} % of the labels corrupted" if noise else "true labels"
        )
        said.append(f"{labels}: {'; '.join([*parts, end])}")
    return (
        f"Test error about the threshold of {threshold:,} weights. "
        + ". ".join(text[0].upper() + text[1:] for text in said)
        + "."
    )
