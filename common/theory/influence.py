"""Memorization scores and influences, estimated from networks trained on subsets.

Feldman (2020, arXiv 1906.05271) and Feldman and Zhang (2020, arXiv 2008.03703). What a
kernel's closed form is to leaving out one example, these are to leaving out 30 %: the
training sets are smaller, and the expectation is over them too.
"""

import base64

import numpy as np

from common import corruptions, datasets, pipelines
from common.engine import replicas

AT_ONCE = 50  # networks in one program, each with images of its own
MEMORIZED = 0.25  # scores from here on are called memorized (Feldman and Zhang)
SHOWN = 12  # examples, and pairs, in the record
_MASKS, _INITIAL = 507, 508  # RNG streams that nothing else uses


class Subsets:
    """Trains networks on subsets of one set.

    Args:
        settings: `experiments.influence.Influence`.
        data_dir: Where data sets lie, or None.
    """

    def __init__(self, settings, data_dir):
        self.settings = settings
        data = datasets.named(settings.dataset, data_dir=data_dir)
        n, seed = settings.train_size, settings.seed
        kept = datasets.balanced_order(data.y_train, seed)[:n]
        self.images, self.true = data.x_train[kept], data.y_train[kept]
        self.y = corruptions.corrupt_labels(
            self.true, settings.label_corruption, data.num_classes, seed, "uniform"
        )
        self.x = pipelines.prepare(self.images, "unit").reshape(n, -1)
        self.data, self.kept = data, kept
        self.x_test = pipelines.prepare(data.x_test, "unit").reshape(
            len(data.x_test), -1
        )
        self.masks = masks(settings.networks, n, settings.share, seed)

    def part(self, start):
        """Trains the networks from `start` on; returns what they got right, packed."""
        s, classes = self.settings, self.data.num_classes
        members = range(start, min(start + AT_ONCE, s.networks))
        rows = [np.flatnonzero(self.masks[i]) for i in members]
        initial = [self._fresh(i, classes) for i in members]
        stops = replicas.train(
            [np.stack(w) for w in zip(*initial, strict=True)],
            np.stack([self.x[r] for r in rows]),
            np.stack([self.y[r] for r in rows]),
            s.seed * s.networks + np.array(members),  # other orders for another seed
            batch_size=s.batch_size,
            max_epochs=s.epochs,
            target_loss=np.inf,
        )
        right = [
            np.concatenate(
                [
                    predicted(stop.weights, self.x) == self.y,
                    predicted(stop.weights, self.x_test) == self.data.y_test,
                ]
            )
            for stop, _ in stops
        ]
        return {
            "right": [base64.b64encode(np.packbits(r)).decode() for r in right],
            "fitted": sum(stop.reached for stop, _ in stops),
        }

    def _fresh(self, network, classes):
        seed, width = self.settings.seed, self.settings.width
        rng, weights = np.random.default_rng([seed, network, _INITIAL]), []
        for a, b in ((self.x.shape[1], width), (width, classes)):
            limit = np.sqrt(6 / (a + b))
            weights += [rng.uniform(-limit, limit, (a, b)), np.zeros(b)]
        return [w.astype(np.float32) for w in weights]

    def summary(self, parts):
        """Returns the CSV's rows and the record's fields, from all `part`s."""
        n, tests = len(self.y), len(self.x_test)
        right = np.array(
            [
                np.unpackbits(
                    np.frombuffer(base64.b64decode(text), np.uint8), count=n + tests
                )
                for part in parts
                for text in part["right"]
            ],
            bool,
        )
        score, error, inside, outside = scores(self.masks, right[:, :n])
        found = {"score": score, "standard_error": error}
        found |= {"right_inside": inside, "right_outside": outside}
        rows = [
            {"example": int(self.kept[i]), "label": int(self.y[i])}
            | {"true_label": int(self.true[i])}
            | {name: _short(values[i]) for name, values in found.items()}
            | {"networks_outside": int((~self.masks[:, i]).sum())}
            for i in range(n)
        ]
        best = np.argsort(-score, kind="stable")[:SHOWN]
        pairs = strongest(self.masks, right[:, :n], right[:, n:], SHOWN)
        shown = [*best, *(pair["train"] for pair in pairs)]
        pictures = {f"train {i}": self.images[i] for i in shown}
        pictures |= {
            f"test {pair['test']}": self.data.x_test[pair["test"]] for pair in pairs
        }
        for pair in pairs:
            pair["label"] = int(self.y[pair["train"]])
            pair["test_label"] = int(self.data.y_test[pair["test"]])
        chance = 1 - 1 / self.data.num_classes
        wrong = self.y != self.true
        fields = {
            "mean_score": float(np.nanmean(score)),
            "mean_standard_error": standard_error_of_mean(self.masks, right[:, :n]),
            "memorized": float((score >= MEMORIZED).mean()),
            "mean_score_mislabelled": float(np.nanmean(score[wrong]))
            if wrong.any()
            else None,
            "chance": chance,
            "train_accuracy": float(np.nanmean(inside)),
            "test_accuracy": float(right[:, n:].mean()),
            "fitted": sum(part["fitted"] for part in parts),
            "best": [
                {"train": int(i), "label": int(self.y[i]), "score": float(score[i])}
                for i in best
            ],
            "pairs": pairs,
            "image_shape": list(self.images.shape[1:]),
            "images": {
                key: base64.b64encode(np.ascontiguousarray(picture)).decode()
                for key, picture in pictures.items()
            },
        }
        return rows, fields | {"verdict": self._verdict(fields)}

    def _verdict(self, found):
        s = self.settings
        text = (
            f"{s.networks} networks, each on {100 * s.share:g} % of {s.train_size:,} "
            f"examples ({self.data.name}): the memorization score is "
            f"{found['mean_score']:.3f} ± {found['mean_standard_error']:.2g} on "
            f"average, and at least {MEMORIZED} for {100 * found['memorized']:.1f} % "
            "of them."
        )
        if s.label_corruption == 1:
            text += f" With random labels {found['chance']:.3g} is expected."
        elif found["mean_score_mislabelled"] is not None:
            text += (
                f" Of those whose label was replaced it is "
                f"{found['mean_score_mislabelled']:.3f}."
            )
        return (
            f"{text} The networks reproduce {100 * found['train_accuracy']:.1f} % of "
            "the labels that they were trained on."
        )


def _short(value):
    """Four decimals; nothing of what no network says."""
    return round(float(value), 4) if np.isfinite(value) else ""


def masks(networks, n, share, seed):
    """Returns `(networks, n)` booleans: `round(share * n)` examples of each network."""
    found = np.zeros((networks, n), bool)
    for i, row in enumerate(found):
        rng = np.random.default_rng([seed, i, _MASKS])
        row[rng.permutation(n)[: round(share * n)]] = True
    return found


def predicted(weights, x):
    """Classes that a network with one hidden layer predicts."""
    kernel, bias, last, offset = weights
    return (np.maximum(x @ kernel + bias, 0) @ last + offset).argmax(1)


def scores(masks, right):
    """Memorization scores with their standard errors.

    Args:
        masks: `(networks, n)` booleans: was the example in the training set?
        right: `(networks, n)` booleans: is it predicted as labelled? If they are of
            other examples, which may be broadcast, the scores are influences on those.

    Returns:
        `(score, standard_error, inside, outside)`, each `(n,)`: the last two are the
        shares of right predictions with and without the example. NaN where an example
        was in the training set of all networks, or of none.
    """
    sides, variances = [], []
    for chosen in (masks, ~masks):
        count = chosen.sum(0)
        hits = (chosen & right).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            sides.append(hits / count)
        # Half a hit and half a miss more: no certainty from a few networks.
        p = (hits + 0.5) / (count + 1)
        variances.append(p * (1 - p) / np.maximum(count, 1))
    return sides[0] - sides[1], np.sqrt(sum(variances)), *sides


def standard_error_of_mean(masks, right):
    """Standard error of the mean score, by the jackknife over networks."""
    total = len(masks)
    means = []
    counts = [masks.sum(0), (~masks).sum(0)]
    hits = [(masks & right).sum(0), (~masks & right).sum(0)]
    for mask, found in zip(masks, right, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            inside = (hits[0] - (mask & found)) / (counts[0] - mask)
            outside = (hits[1] - (~mask & found)) / (counts[1] - ~mask)
        means.append(np.nanmean(inside - outside))
    return float(np.sqrt((total - 1) * np.var(means)))


def strongest(masks, right, right_tests, count):
    """The largest influences of memorized training examples on test examples.

    The largest of many estimates is too large. Therefore every second network chooses,
    examples with a score of `MEMORIZED` and for each the test example, and from the
    other networks alone the influence of what was chosen is estimated.

    Args:
        masks, right: As of `scores`, of the training examples.
        right_tests: `(networks, tests)` booleans.
        count: How many pairs, of different training examples.

    Returns:
        List of dicts `train`, `test`, `influence`, `standard_error`, as chosen: what is
        estimated need not fall.
    """
    first, rest = slice(0, None, 2), slice(1, None, 2)
    memorized = scores(masks[first], right[first])[0] >= MEMORIZED
    told = masks[rest].any(0) & ~masks[rest].all(0)
    chosen, found = [], []
    for i in np.flatnonzero(memorized & told):
        by = scores(masks[first, i, None], right_tests[first])[0]
        chosen.append((-by.max(), i, by.argmax()))
    for _, i, j in sorted(chosen)[:count]:
        value, error, *_ = scores(masks[rest, i], right_tests[rest, j])
        found.append(
            {"train": int(i), "test": int(j), "influence": float(value)}
            | {"standard_error": float(error)}
        )
    return found
