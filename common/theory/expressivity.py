"""The experiments of expressivity.py, measured a line at a time.

Each is a class with `keys`, the parts to measure; `row(*key)`, which measures one and
returns its line as a dict, or `{"lines": [...]}` of several; `verdict(table)`, a
sentence or two on the finished `pandas.DataFrame`; and `saved`, what the models that it
saved were trained on.
"""

import keras
import numpy as np

from common import cli, corruptions, datasets, models, pipelines
from common.engine import evaluation
from common.experiments.expressivity import POOL
from common.models.interpolant import interpolant, units_of_widest
from common.models.mlp import mlp
from common.theory import memorization, pac_bayes, rademacher, theorem


class Theorem:
    """Lines (n, depth): the network of Theorem 1 on n images with random labels."""

    def __init__(self, settings, data_dir, model_path):
        self.settings, self.model_path = settings, model_path
        sizes, depths = settings["sizes"], settings["depths"]
        self.keys = [(n, 2) for n in sizes]
        self.keys += [(sizes[-1], depth) for depth in depths if depth > 2]
        self.data, self.kept = _images(settings, data_dir, sizes[-1])
        self.x = pipelines.prepare(self.data.x_train[self.kept])
        self.x_test = pipelines.prepare(self.data.x_test)
        self.saved = {
            self._path(*key).stem: {
                "dataset": settings["dataset"],
                "train_size": key[0],
                "data_seed": settings["seed"],
                "label_corruption": 1.0,
            }
            for key in self.keys
        }

    def _path(self, n, depth):
        path = self.model_path
        return path.with_name(f"{path.stem}_{n}_depth{depth}.h5")

    def row(self, n, depth):
        k, seed = self.data.num_classes, self.settings["seed"]
        y = corruptions.corrupt_labels(
            self.data.y_train[self.kept[:n]], 1.0, k, seed, "uniform"
        )
        x = self.x[:n].reshape(n, -1)
        try:
            solution = theorem.construct(x, np.eye(k)[y], seed)
        except ValueError as error:  # equal images with different labels
            raise cli.MendableError(f"{error} Choose another --dataset.") from None
        z = solution.projections

        def build(dtype="float64"):
            return interpolant(self.x.shape[1:], solution, depth, dtype)

        models.save(build, build().get_weights(), self._path(n, depth))
        model = models.load(self._path(n, depth))
        error, accuracy = _fit(model, self.x[:n], y, n)
        rough_error, rough_accuracy = _fit(build("float32"), self.x[:n], y, n)
        return {
            "n": n,
            "depth": depth,
            "width": units_of_widest(len(z), k, depth),
            "weights": model.count_params(),
            "train_accuracy": accuracy,
            "test_accuracy": _fit(model, self.x_test, self.data.y_test, n)[1],
            "max_error": error,
            "float32_train_accuracy": rough_accuracy,
            "float32_max_error": rough_error,
            "condition": theorem.condition(z, solution.knots),
            "condition_midway": theorem.condition(z, theorem.knots(z, 0.5)),
            "smallest_gap": np.diff(z).min(),
            "weight_norm": np.linalg.norm(solution.weights),
            "largest_weight": np.abs(solution.weights).max(),
        }

    def verdict(self, table):
        row, deep = list(table[table.depth == 2].itertuples())[-1], table.iloc[-1]
        return (
            f"Built, not trained: two layers with {row.weights:,} weights reproduce "
            f"{100 * row.train_accuracy:.4g} % of {row.n:,} random labels "
            f"({self.data.name}; largest error {row.max_error:.1e}). Test accuracy "
            f"{100 * row.test_accuracy:.1f} % (chance {100 / self.data.num_classes:g} "
            f"%). The same weights in float32: {100 * row.float32_train_accuracy:.1f} "
            f"%. Depth {deep.depth:.0f} takes {deep.width:,.0f} units a layer."
        )


def _fit(model, x, y, units):
    """Largest error against one-hot values, and accuracy."""
    size = max(1, 16_000_000 // units)  # 128 MB of hidden units
    # Not `predict`: it would compile every model for a few batches, and round float64.
    values = np.concatenate(
        [
            keras.ops.convert_to_numpy(model(x[i : i + size], training=False))
            for i in range(0, len(x), size)
        ]
    )
    error = np.abs(values - np.eye(values.shape[1])[y]).max()
    return float(error), float((values.argmax(axis=1) == y).mean())


class Signs:
    """Lines (n, width): Rademacher estimates; width None is the closed form."""

    saved = {}

    def __init__(self, settings, data_dir, model_path):
        self.settings = settings
        self.x = _components(settings, data_dir)
        widths = [None, *settings["widths"]]
        self.keys = [(n, width) for n in settings["sizes"] for width in widths]

    def row(self, n, width):
        s, x = self.settings, self.x[:n]
        sigma = rademacher.signs(s["draws"], n, s["seed"])
        row = {"class": class_name(width), "n": n, "weights": "", "low": "", "high": ""}
        row |= {"exact_low": "", "exact_high": "", "fitted": "", "separable": ""}
        if width is None:
            bound = 1 / np.linalg.norm(x, axis=1).max()
            suprema = rademacher.linear_sup(x, sigma, bound)
            row["exact_low"], row["exact_high"] = rademacher.linear_limits(x, bound)
        else:
            found = memorization.accuracies(
                x, (sigma + 1) // 2, width, s["restarts"], s["epochs"], s["seed"]
            )
            suprema = 2 * found - 1
            row["weights"] = memorization.parameters(width, x.shape[1])
            row["fitted"] = (found == 1).mean()
            if not width:
                row["separable"] = rademacher.separable(n, x.shape[1])
        estimate = rademacher.estimate(suprema)
        row |= {"estimate": estimate.mean, "low": estimate.low, "high": estimate.high}
        row["gap_bound"] = rademacher.gap_bound(estimate.mean, n)
        return row

    def verdict(self, table):
        last = table[table.n == table.n.max()]
        said = [
            f"{row['class']} {row.estimate:.2f} ({_bound(row)})"
            for _, row in last.iterrows()
        ]
        return (
            f"Rademacher complexity on {last.n.iloc[0]:,} examples, and the bound on "
            f"the gap between test and training error by it: {', '.join(said)}. Of "
            "trained networks both are estimated from below."
        )


class Memorize:
    """Lines (width,): the largest n of which random labels are reproduced.

    By training, a lower bound; of the linear classifier exactly too (`separable_n`).
    """

    saved = {}

    def __init__(self, settings, data_dir, model_path):
        self.settings = settings
        self.x = _components(settings, data_dir)
        self.keys = [(width,) for width in settings["widths"]]

    def row(self, width):
        s = self.settings
        labels = (rademacher.signs(s["draws"], len(self.x), s["seed"]) + 1) // 2
        asked = {}  # n: fraction of the draws that were reproduced

        def holds(n):
            found = memorization.accuracies(
                self.x[:n], labels[:, :n], width, s["restarts"], s["epochs"], s["seed"]
            )
            asked[n] = (found == 1).mean()
            return asked[n] >= 0.5

        weights = memorization.parameters(width, self.x.shape[1])
        n = memorization.largest(holds, weights, len(self.x), tolerance=0.05)
        refused = [other for other in asked if other > n]
        exact = ""
        if not width:
            exact = memorization.largest(
                lambda n: self._separable(labels[:, :n]) >= 0.5, n, len(self.x)
            )
        return {
            "class": class_name(width),
            "width": width,
            "weights": weights,
            "largest_n": n,
            "fitted": asked.get(n, ""),
            "refused_n": min(refused) if refused else "",  # none: all there are
            "n_per_weight": n / weights,
            "separable_n": exact,
            "cover": 2 * weights if not width else "",
            "asked": len(asked),
        }

    def _separable(self, labels):
        x = self.x[: labels.shape[1]]
        return np.mean([memorization.separates(x, drawn) for drawn in labels])

    def verdict(self, table):
        *_, row = table.rename(columns={"class": "name"}).itertuples()
        text = (
            f"{row.name} ({row.weights:,} weights) reproduces random labels of "
            f"{row.largest_n:,} examples, {row.n_per_weight:.2f} a weight."
        )
        if not table.width.iloc[0]:
            linear = table.iloc[0]
            text += (
                " The linear classifier, whose answer is known, reproduces those of "
                f"{linear.largest_n:.0f} by training and of {linear.separable_n:.0f} "
                f"by linear programming (Cover: {linear.cover:.0f})."
            )
        return text[0].upper() + text[1:] + " Training may miss some: lower bounds."


class Bound:
    """Lines (labels, n, width, updates): a PAC-Bayes bound as it is made smaller.

    Of two classes, the first half of the data set's classes and the second.
    """

    saved = {}
    # The paper's rates of RMSprop: random labels are lost at the larger one.
    RATES = {"true": 1e-3, "random": 1e-4}

    def __init__(self, settings, data_dir, model_path):
        self.settings = settings
        largest = settings["sizes"][-1]
        self.data, kept = _images(settings, data_dir, largest)
        sets = self.data.x_train[kept], self.data.x_test
        self.x, self.x_test = (
            pipelines.prepare(images, "unit").reshape(len(images), -1)
            for images in sets
        )
        half = self.data.num_classes // 2
        y = (self.data.y_train[kept] >= half).astype(int)
        self.y_test = (self.data.y_test >= half).astype(int)
        noise = corruptions.corrupt_labels(y, 1.0, 2, settings["seed"], "uniform")
        self.y = {"true": y, "random": noise}
        self.keys = [
            (labels, n, width)
            for n in settings["sizes"]
            for width in settings["widths"]
            for labels in self.y
        ]

    def row(self, labels, n, width):
        s = self.settings
        x, y = self.x[:n], self.y[labels][:n]
        keras.utils.set_random_seed(s["seed"])
        model = mlp(x.shape[1:], 1, (width,) if width else ())
        initial = model.get_weights()
        fixed = {"labels": labels, "n": n, "width": width}
        fixed["weights"] = model.count_params()
        fixed["epochs"] = pac_bayes.train(model, x, y, s["epochs"], s["seed"])
        sets = {"train": (x, y), "test": (self.x_test, self.y_test)}
        for name, (images, given) in sets.items():
            said = evaluation.outputs_of(model, images)[:, 0] > 0
            fixed[f"trained_{name}_error"] = float((said != given).mean())
        network = pac_bayes.StochasticNetwork(
            initial, model.get_weights(), n, s["seed"]
        )
        pac_bayes.compile_model(network, "rmsprop")
        lines, steps = [], 8
        ends = [s["updates"] * i // steps for i in range(steps + 1)]
        for i, end in enumerate(ends):
            rate = self.RATES[labels] * (0.1 if i > 0.75 * steps else 1)
            if i:
                updates = end - ends[i - 1]
                pac_bayes.tighten(network, x, y, updates, rate, s["seed"], i)
            draws = s["draws"] if i == steps else max(2, s["draws"] // 10)
            found = {
                f"{name}_error": pac_bayes.sampled_error(
                    network, images, given, draws, s["seed"], i
                )
                for name, (images, given) in sets.items()
            }
            lines.append(
                fixed
                | {"updates": end, "draws": draws}
                | found
                | pac_bayes.terms(network, found["train_error"], draws)
            )
        return {"lines": lines}

    def verdict(self, table):
        last = table[
            (table.n == table.n.max()) & (table.updates == table.updates.max())
        ]
        last = last[last.width == last.width.max()].set_index("labels")
        true, random = last.loc["true"], last.loc["random"]
        return (
            f"{self.data.name} in two classes, {int(true.n):,} examples, "
            f"{int(true.weights):,} "
            f"weights: with true labels the stochastic network errs on "
            f"{100 * true.test_error:.1f} % of the test set, and on at most "
            f"{100 * true.bound:.1f} % by its PAC-Bayes bound; with random labels it "
            f"errs on {100 * random.train_error:.1f} % of its own training set, and "
            f"the bound is {random.pinsker:.3g} (a network that guesses: 0.5)."
        )


EXPERIMENTS = {
    "theorem": Theorem,
    "rademacher": Signs,
    "memorize": Memorize,
    "bound": Bound,
}


def class_name(width):
    """What a class of functions is called in tables and figures."""
    if width is None:
        return "linear, bounded norm"
    return f"width {width}" if width else "linear"


def _bound(row):
    if row.gap_bound >= 1:
        return "vacuous"
    closed = row["class"] == class_name(None)
    return f"{'gap at most' if closed else 'bound at least'} {row.gap_bound:.2f}"


def _images(settings, data_dir, count):
    """The data set, and indices of its first `count` training images, balanced."""
    data = datasets.named(settings["dataset"], data_dir=data_dir)
    return data, datasets.balanced_order(data.y_train, settings["seed"])[:count]


def _components(settings, data_dir):
    """Principal components of at most `POOL` training images."""
    data = datasets.named(settings["dataset"], data_dir=data_dir)
    kept = datasets.balanced_order(data.y_train, settings["seed"])[:POOL]
    images = pipelines.prepare(data.x_train[kept])
    try:
        return memorization.components(images, settings["components"])
    except ValueError as error:
        raise cli.UsageError(f"--components: {error} ({data.name}).") from None
