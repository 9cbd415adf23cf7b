"""What was measured beside what the paper says: the rows of every table (no Keras)."""

import collections
import math
import os
import re
import shlex
import statistics
from pathlib import Path
from typing import NamedTuple

from common import records, regime
from common.cli import MendableError
from common.datasets import FACTS
from common.sweep import artefacts

TOLERANCE = 1.5  # points of accuracy: no larger difference is "as in the paper"
ERRORS = 2  # nor one of more standard errors
FINAL = {"train_accuracy": "train_accuracy", "test_accuracy": "val_accuracy"}
CERTAINTY = {  # how sure a value of common/report/paper.csv is
    "printed": "printed in the paper",
    "companion": "reported by the authors' companion script, not in the paper",
    "figure": "read from the vector paths of the paper's figures",
    "arithmetic": "follows by arithmetic from what is printed or drawn",
    "inferred": "inferred, not stated in the paper",
    "replication": "not the paper's: one seed of a careful public replication",
    "related": "of a later paper, named beside it; read from its figure, not checked",
}


class Run(NamedTuple):
    """One record, with the curves of its CSV (empty where there is none)."""

    name: str
    record: dict
    history: dict  # column -> list of floats, one an epoch


class Stat(NamedTuple):
    """A mean over seeds, with the smallest and the largest value."""

    mean: float
    low: float
    high: float
    n: int


class Paper(NamedTuple):
    """A value of the paper, and how sure it is (a key of `CERTAINTY`)."""

    value: float | str
    certainty: str


class Row(NamedTuple):
    """One row of a table: its command, its runs, the paper's values."""

    fields: dict  # what distinguishes it from the other rows -> value
    command: str
    runs: tuple  # of `Run`, one a seed
    paper: dict  # metric -> `Paper`

    @property
    def online(self):
        """Whether the paper's training accuracy is of the batches while training."""
        return "online_accuracy" in self.paper

    def final(self, metric):
        """Returns the `Stat` of a key of `FINAL` in %, or None without a run.

        The training accuracy is the fixed model's, or as the paper's if that is
        `online`.
        """
        online = self.online and metric == "train_accuracy"
        key = "accuracy" if online else FINAL[metric]
        return stat([100 * run.record["final"][key] for run in self.runs])

    def interval(self):
        """Returns by how much ours and the paper's test accuracy may differ, in points.

        By two standard errors of their difference (see `two_errors`), but never by
        more than `TOLERANCE`. None where either is missing.
        """
        paper, ours = self.paper.get("test_accuracy"), self.final("test_accuracy")
        if not ours or not paper:
            return None
        spread = 0.0
        if ours.n > 1:  # of one seed nothing is known
            values = [100 * run.record["final"]["val_accuracy"] for run in self.runs]
            spread = statistics.stdev(values) * math.sqrt(1 + 1 / ours.n)
        imagenet = self.runs[0].record["script"] == "imagenet_inception_v3"
        images = FACTS["imagenet" if imagenet else "cifar10"].test
        return min(TOLERANCE, two_errors(ours.mean, paper.value, images, spread))

    def difference(self, metric):
        """Returns ours less the paper's, as shown (two decimals), or None."""
        paper, ours = self.paper.get(metric), self.final(metric)
        if not ours or not paper or isinstance(paper.value, str):
            return None
        return round(ours.mean - paper.value, 2)

    @property
    def trains(self):
        """Whether its runs are trainings (not of scripts of many small parts)."""
        return all("regime" in run.record for run in self.runs)


def two_errors(ours, paper, images, spread=0.0):
    """Returns two standard errors of the difference of two shares, in points.

    Args:
        ours, paper: Accuracies or errors in %.
        images: That each was measured on: their binomial standard error is
            sqrt(x (1 - x) / images), 0.43 points for 76 % of 10,000. The two are
            taken as independent; measured on the same images they differ by less.
        spread: Standard error of the difference over seeds, in points.
    """
    variances = [x * (100 - x) / images for x in (ours, paper)]
    return round(ERRORS * math.sqrt(sum(variances) + spread**2), 2)


def stat(values):
    """Returns the `Stat` of some numbers, or None of none."""
    if not values:
        return None
    return Stat(sum(values) / len(values), min(values), max(values), len(values))


def load(results):
    """Reads every record of a folder, and its curves.

    What is no record, or lies beside the CSV of another run, is named on stderr and
    left out.

    Args:
        results: `Path` of the folder.

    Returns:
        Dict from name to `Run`, ordered by name.
    """
    runs = {}
    for name, record in records.read_all(results).items():
        try:
            runs[name] = Run(name, record, curves(results / f"{name}.csv", record))
        except MendableError as error:
            records.left_out(error)
    return runs


def collect(folders):
    """Reads the records of several folders, such as those of a class.

    Args:
        folders: List of `Path`s.

    Returns:
        `(parent, runs)`: the folder that holds them all, and dict from name to `Run`. A
        name begins with its folder as seen from there: `ada/cifar10_mlp_seed0`.

    Raises:
        MendableError: If one of them is no folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise MendableError(f"--collect {folder}: there is no such folder.")
    whole = [folder.resolve() for folder in folders]
    parent = Path(os.path.commonpath([folder.parent for folder in whole]))
    runs = {}
    for folder in dict.fromkeys(whole):
        for name, run in load(folder).items():
            name = f"{folder.relative_to(parent).as_posix()}/{name}"
            runs[name] = run._replace(name=name)
    return parent, runs


def curves(path, record):
    """Returns the CSV of a training as dict of column -> list of floats, else {}.

    Empty cells are NaN.

    Args:
        path: `Path` of the CSV.
        record: Dict of the run.

    Raises:
        MendableError: If the CSV is damaged, or of another run.
    """
    if record.get("script") == "examples":  # a line an example: long, and no curves
        return {}
    rows = records.read_rows(path, record)
    if "regime" not in record or not rows:
        return {}
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def paper_lines():
    """Returns the lines of common/report/paper.csv, as dicts of strings."""
    return records.read_rows(Path(__file__).with_name("paper.csv"))


def paper_of(artefact):
    """Returns `[(line, Paper)]` of one artefact's lines of common/report/paper.csv."""
    return [(x, _paper(x)) for x in paper_lines() if x["artefact"] == artefact]


STEPS = 391  # an epoch of the paper's on CIFAR-10: ceil(50,000 / 128)


def paper_curves():
    """Returns the curves of the paper's figures: common/report/paper_curves.csv.

    Returns:
        Dict of panel (`1a` to `2b`) -> dict of curve -> list of (x, y). x is the epoch
        in 1a and 2b, label corruption p in 1b and 1c, thousand steps in 2a; y is nats
        in 1a, times the epochs at p = 0 in 1b, a share from 0 to 1 in the others.
    """
    curves = {}
    for line in records.read_rows(Path(__file__).with_name("paper_curves.csv")):
        x, y = float(line["x"]), float(line["y"])
        if line["figure"] in ("1a", "2b"):  # there in thousand steps
            x *= 1000 / STEPS
        panel = curves.setdefault(line["figure"], {})
        panel.setdefault(line["curve"], []).append((round(x, 3), y))
    return curves


def _paper(line):
    text = line["value"]
    number = re.fullmatch(r"-?[\d.]+", text)
    return Paper(float(text) if number else text, line["certainty"])


def paper_by_run():
    """Returns dict of run name (seed 0) -> metric -> `Paper`.

    A run of Table 1 keeps the paper's values wherever else it stands. Of Table 2 it
    is the top-1 accuracy that goes by its usual names.
    """
    regularizers = artefacts.ARTEFACTS["random_label_regularizers"].runs
    values = {}
    for line in paper_lines():
        if line["artefact"] == "table_1":
            run = artefacts.TABLE_1[int(line["row"])]
        elif line["artefact"] == "table_2":
            run = artefacts.TABLE_2[int(line["row"])]
        elif line["artefact"] == "random_label_regularizers":
            run = regularizers[line["model"], line["setting"]]
        else:
            continue
        metric = line["metric"].removeprefix("top1_")
        said = values.setdefault(artefacts.name_of(run), {})
        said[metric] = _paper(line)
        if metric == "online_accuracy":
            said["train_accuracy"] = said[metric]
    return values


def rows(artefact, runs, papers):
    """Returns the `Row`s of an artefact, in its order; one for each distinct run.

    Args:
        artefact: `artefacts.Artefact`.
        runs: Dict from `load`.
        papers: Dict from `paper_by_run`.
    """
    result = {}
    for key, run in artefact.runs.items():
        name = artefacts.name_of(run)
        if name in result:  # p = 0 is the row of true labels, p = 1 of random ones
            continue
        seeds = [name] if artefacts.runs_once(run) else _seeds(name, runs)
        found = tuple(runs[seed] for seed in seeds if seed in runs)
        fields = dict(zip(artefact.columns, key, strict=True))
        result[name] = Row(fields, f"python {run}", found, papers.get(name, {}))
    return list(result.values())


def _seeds(name, runs):
    """Names of one run's records under every seed, in the order of the seeds."""
    if not name.endswith("_seed0"):  # of a script that has several seeds in one record
        return [name]
    stem = name.removesuffix("0")
    seeds = [n[len(stem) :] for n in runs if n.startswith(stem)]
    return [f"{stem}{seed}" for seed in sorted(filter(str.isdigit, seeds), key=int)]


def table_1(runs, papers, artefact=artefacts.ARTEFACTS["table_1"]):
    """Returns Table 1's `Row`s, with what the paper's table says of each."""
    said = {int(line["row"]): line for line, _ in paper_of("table_1")}
    result = []
    for row in rows(artefact, runs, papers):
        line = said[row.fields["row"]]
        fields = {
            "row": row.fields["row"],
            "model": line["model"],
            "crop": "no" if line["augmentation"] == "no" else "yes",
            "weight decay": line["weight_decay"],
            "labels": line["labels"],
        }
        result.append(row._replace(fields=fields))
    return result


def kernels(rows):
    """Returns the last line of every run of min_norm.py, beside the paper's values.

    Args:
        rows: `Row`s of the artefact `kernels`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts; a setting with several
        ridges has a line without and one with the largest. What is not printed in
        the paper says how sure it is.
    """
    paper = {(x["setting"], x["metric"]): v for x, v in paper_of("kernels")}
    head = ["setting", "images", "train error %", "test error %", "paper", "Δ"]
    head += ["verdict", "norm", "paper's norm"]
    lines = []
    for row in rows:
        solved = row.runs[0].record["rows"] if row.runs else []
        last = {x["ridge"]: x for x in solved if "test_error" in x}
        for ridge in sorted({min(last, default=0.0), max(last, default=math.inf)}):
            line = last.get(ridge)
            setting = row.fields["setting"] + ", with l2" * (ridge > 0)
            known = [paper.get((setting, m)) for m in ("test_error", "l2_norm")]
            if not line and not any(known):
                continue
            texts = [f"{x.value:g}{unsure(x)}" if x else "" for x in known]
            cells = ["", "", "not yet run", texts[0], "", "not yet run", "", texts[1]]
            if line:
                cells = [str(row.runs[0].record["train_size"])]
                cells += [percent(100 * line[k]) for k in ("train_error", "test_error")]
                gap, said = "", ""
                if known[0]:
                    error = 100 * line["test_error"]
                    gap = round(error - known[0].value, 2)
                    images = FACTS["mnist"].test  # CIFAR-10 has as many
                    within = min(TOLERANCE, two_errors(error, known[0].value, images))
                    said = "within" if abs(gap) <= within else "outside"
                    said, gap = f"{said} ±{within:.2f}", f"{gap:+.2f}"
                cells += [texts[0], gap, said, f"{line['rkhs_norm']:.4g}", texts[1]]
            lines.append([setting, *cells])
    return head, lines


def unsure(paper):
    """How sure a `Paper` is, as text to put behind it; nothing where it is printed."""
    return "" if paper.certainty == "printed" else f" {paper.certainty}"


_TOP = {  # a metric of the paper's Table 2 -> the key of a record's final values
    "top1_train": "train_accuracy",
    "top1_test": "val_accuracy",
    "top5_train": "train_top5_accuracy",
    "top5_test": "val_top5_accuracy",
}


def table_2(rows):
    """Returns Table 2 beside the paper's values: top-1 and top-5 accuracy in %.

    Args:
        rows: `Row`s of the artefact `table_2`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts. The paper's running best
        is in brackets; what is not printed in the paper says how sure it is.
    """
    settings = ("labels", "augmentation", "dropout", "weight_decay")
    head = ["row", *(name.replace("_", " ") for name in settings)]
    for metric in _TOP:
        head += [f"{metric.replace('top', 'top-').replace('_', ' ')} %", "paper", "Δ"]
    said, paper = {}, {}
    for line, value in paper_of("table_2"):
        said[int(line["row"])] = line
        paper[int(line["row"]), line["metric"]] = value
    lines = []
    for row in rows:
        number = row.fields["row"]
        cells = [str(number), *(said[number][name] for name in settings)]
        for metric, key in _TOP.items():
            finals = [run.record["final"].get(key) for run in row.runs]
            ours = stat([100 * value for value in finals if value is not None])
            value = paper[number, f"{metric}_accuracy"]
            best = paper.get((number, f"{metric}_best"))
            text = f"{value.value:.2f}" + (f" ({best.value:.2f})" if best else "")
            gap = f"{ours.mean - value.value:+.2f}" if ours else ""
            cells += [spread(ours) if ours else "not yet run", text + unsure(value)]
            cells.append(gap)
        lines.append(cells)
    return head, lines


FEATURES = "double_descent_features"


def published_features():
    """Returns what Belkin et al. (2019) report of random features.

    Returns:
        Dict of setting -> dict of N (0: the kernel itself) -> dict of metric ->
        `Paper`.
    """
    said = {}
    for line, value in paper_of(FEATURES):
        of_setting = said.setdefault(line["setting"], {})
        of_setting.setdefault(int(line["row"]), {})[line["metric"]] = value
    return said


def random_features(rows):
    """Returns the errors and norms of every number of features, over the draws.

    Args:
        rows: `Row`s of the artefact `double_descent_features`.

    Returns:
        `(head, lines)`: names of columns, and lists of texts. Without label corruption
        the published values stand beside.
    """
    head = ["setting", "label corruption", "features", "draws", "train error %"]
    head += ["test error %", "published", "Δ", "norm", "published norm"]
    lines, published = [], published_features()
    for row in rows:
        groups = {}
        for line in row.runs[0].record["rows"] if row.runs else ():
            key = line.get("label_corruption", 0.0), line.get("num_features", 0)
            groups.setdefault(key, []).append(line)
        for (p, count), members in sorted(groups.items()):
            train, test, norm = (
                stat([scale * line[name] for line in members])
                for name, scale in (
                    ("train_error", 100),
                    ("test_error", 100),
                    ("rkhs_norm", 1),
                )
            )
            known = {} if p else published.get(row.fields["setting"], {})
            said = known.get(count, {})
            texts = [
                f"{said[x].value:g}" if x in said else ""
                for x in ("test_error", "norm")
            ]
            gap = f"{test.mean - said['test_error'].value:+.2f}" if texts[0] else ""
            drawn = [str(count), str(len(members))] if count else ["the kernel", ""]
            cells = [row.fields["setting"], f"{p:g}", *drawn]
            cells += [spread(train), spread(test), texts[0], gap]
            lines.append([*cells, _short_spread(norm), texts[1]])
    return head, lines


def measures(rows):
    """Returns Kendall's tau of every measure with the generalization gap.

    Args:
        rows: `Row`s of the artefact `measures`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts, the largest tau over all
        networks of the grid first; in brackets its 95 % interval.
    """
    found = [x for row in rows for run in row.runs for x in run.record["ranking"]]
    columns = dict.fromkeys((x["networks"], x["over"]) for x in found)
    ours = [(name, over) for name, over in columns if name == "grid" or over == "all"]
    lines = {}
    for x in found:
        lines.setdefault(x["measure"], {})[x["networks"], x["over"]] = x
    first = ("grid", "all")
    order = sorted(lines, key=lambda x: -lines[x].get(first, {"tau": -2})["tau"])
    head = ["measure"]
    for name, over in ours:
        head.append(over if name == "grid" else name.replace("_", " "))
    return head, [
        [
            measure.replace("_", " "),
            *(_tau(lines[measure].get(column), column == first) for column in ours),
        ]
        for measure in order
    ]


def _tau(line, interval):
    if not line:
        return ""
    ends = f" ({line['low']:.2f} to {line['high']:.2f})" if interval else ""
    return f"{line['tau']:.2f}{ends}"


# Artefacts whose table has columns of its own.
TABLES = {
    "kernels": kernels,
    "table_2": table_2,
    FEATURES: random_features,
    "measures": measures,
}


def verdict(row):
    """Says how a row stands to the paper.

    Returns:
        `within` (the test accuracy differs by no more than `Row.interval`, and the
        training labels are reproduced as in the paper: 99 % of them, or, where the
        paper's are fewer, as many to `TOLERANCE`),
        `outside`, `did not fit` (a seed's network does not reproduce 99 % of its
        training labels), `fitted` (the paper gives no number) or `not yet run`.
    """
    if not row.runs:
        return "not yet run"
    # With early stopping the network reported may be one before the first that fits.
    unfit = any(run.record["epochs_to_fit"] is None for run in row.runs)
    unfit |= row.final("train_accuracy").low < 100 * records.FIT_THRESHOLD
    said = row.paper.get("train_accuracy")  # on ImageNet the paper's is lower, too
    fits = not said or said.value >= 100 * records.FIT_THRESHOLD
    if fits and unfit:
        return "did not fit"
    if "outcome" in row.paper:
        return "outside"
    test = row.difference("test_accuracy")
    if said is None and test is None:
        return "fitted"
    near = fits or abs(row.difference("train_accuracy")) <= TOLERANCE
    return "within" if near and abs(test or 0) <= (row.interval() or 0) else "outside"


def rests_on(row):
    """Returns what a verdict rests on, as text: `±1.18`; "" without a test accuracy."""
    known = verdict(row) in ("within", "outside") and row.interval() is not None
    return f"±{row.interval():.2f}" if known else ""


def epochs_to_fit(row):
    """Returns the first fitted epoch as text; a run that never fitted is `> N`."""
    epochs = [run.record["epochs_to_fit"] for run in row.runs]
    if None in epochs:  # censored: no mean exists, so every seed is shown
        shown = [
            f"> {run.record['epochs']}" if epoch is None else str(epoch)
            for run, epoch in zip(row.runs, epochs, strict=True)
        ]
        return ", ".join(shown if len(set(shown)) > 1 else shown[:1])
    return spread(stat(epochs), 0) if epochs else ""


def percent(value):
    """Returns a share in % with two decimals, as every table shows it.

    It is rounded to the nearest, but never to what it has not reached: 99.998 is not
    "100.00", which says all, 0.002 not "0.00", which says none, and 98.996 not
    "99.00", which says fitted.
    """
    shown = round(value, 2)
    if shown in (100 * records.FIT_THRESHOLD, 100) and shown - value > 1e-9:
        shown -= 0.01
    if shown == 0 and value > 1e-9:
        shown = 0.01
    return f"{shown + 0:.2f}"  # + 0: no "-0.00"


def spread(value, digits=2):
    """Returns `mean (low–high)` of a `Stat`; the mean alone where the two are equal.

    Args:
        value: `Stat`.
        digits: 2 for shares in % (see `percent`), 0 for counts.
    """
    mean, low, high = (
        percent(x) if digits else f"{x:.0f}"
        for x in (value.mean, value.low, value.high)
    )
    if low == high:
        return low
    return f"{mean if digits else f'{value.mean:.1f}'} ({low}–{high})"


MOST_COLUMNS = 6  # of settings that vary; where more do, one column lists them


def by_setting(runs):
    """Groups every training of a folder by its settings, whatever the seed.

    Args:
        runs: Dict from `load`.

    Returns:
        List of `Row`s. Their fields are the settings that vary in the folder; where
        more than `MOST_COLUMNS` do, a single field says in which a row differs from the
        defaults of its script. Of several folders (see `collect`) the folder comes
        first.
    """
    groups = {}  # a run's name says its settings, and its seed last
    for run in runs.values():
        if "regime" in run.record and run.history:
            name = run.name.removesuffix(f"_seed{run.record['regime']['seed']}")
            groups.setdefault(name, []).append(run)
    groups = dict(sorted(groups.items()))
    settings, scripts = [], []
    for members in groups.values():
        record = members[0].record
        texts = {name: _setting(value) for name, value in record["regime"].items()}
        settings.append(texts)
        scripts.append(record["script"])
    values = collections.defaultdict(set)
    for setting in settings:  # an older record may lack a setting
        for name, text in setting.items():
            values[name].add(text)
    varied = [name for name in values if len(values[name]) > 1 and name != "seed"]
    fields = [
        {name.replace("_", " "): setting.get(name, "") for name in varied}
        for setting in settings
    ]
    if len(varied) > MOST_COLUMNS:
        fields = [{"differs by": text} for text in _differences(fields, scripts)]
    if any("/" in name for name in groups):
        folders = [name.rpartition("/")[0] for name in groups]
        fields = [{"folder": x} | y for x, y in zip(folders, fields, strict=True)]
    return [
        Row(field, command(members[0].record), tuple(members), {})
        for field, members in zip(fields, groups.values(), strict=True)
    ]


def _setting(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _differences(fields, scripts):
    """Says in which settings each run differs from its script's defaults.

    Args:
        fields: List of dicts of name -> text.
        scripts: List of the names of their scripts.
    """
    found = []
    for field, script in zip(fields, scripts, strict=True):
        usual = vars(regime.DEFAULTS[script]) if script in regime.DEFAULTS else {}
        usual = {k.replace("_", " "): _setting(value) for k, value in usual.items()}
        differing = {k: v for k, v in field.items() if v != usual.get(k, "")}
        found.append(", ".join(f"{k} {v or 'none'}" for k, v in differing.items()))
    return found


def setting_name(row):
    """Returns what the names of a row's runs begin with: all but the seed."""
    run = row.runs[0]
    return run.name.removesuffix(f"_seed{run.record['regime']['seed']}")


def gap(row):
    """Returns the `Stat` of training less test accuracy in points."""
    finals = [run.record["final"] for run in row.runs]
    return stat([100 * (x["train_accuracy"] - x["val_accuracy"]) for x in finals])


def seconds(row):
    """Returns how long a row's runs took on average, or None where no record says."""
    known = stat([x.record["seconds"] for x in row.runs if "seconds" in x.record])
    return known.mean if known else None


def command(record):
    """Returns the command line that made a record, for a shell."""
    return shlex.join(["python", f"{record['script']}.py", *record["argv"]])


_KEYS = ("size", "labels", "stop")
_MEASURES = (
    "epochs",
    "test_accuracy",
    "l2_norm",
    "product_of_norms",
    "eigenvalue_1",
    "trace",
)


def grouped(lines):
    """Summarizes the CSV of a script of many small parts.

    Args:
        lines: List of dicts of strings. With a column `seed`, lines that differ in
            it are one row, with the mean and the range of what is measured, and the
            count that `reached` their stopping point; else every line is a row.

    Returns:
        `(head, rows)`: names of columns, and lists of texts.
    """
    if not lines or not {"seed", *_KEYS} <= lines[0].keys():
        return list(lines[0]) if lines else [], [
            [short(cell) for cell in line.values()] for line in lines
        ]
    measures = [name for name in _MEASURES if name in lines[0]]
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line[key] for key in _KEYS), []).append(line)
    rows_ = []
    for key, members in groups.items():
        row = [*key, str(len(members))]
        if "reached" in members[0]:
            reached = sum(line["reached"] in ("True", "1") for line in members)
            row.append(f"{reached} of {len(members)}")
        for name in measures:
            value = stat([float(line[name]) for line in members if line[name]])
            row.append(_short_spread(value) if value else "")
        rows_.append(row)
    reached = ["reached"] if "reached" in lines[0] else []
    return [*_KEYS, "n", *reached, *measures], rows_


def _short_spread(value):
    mean, low, high = (short(v, 3) for v in (value.mean, value.low, value.high))
    return mean if value.n == 1 else f"{mean} ({low}–{high})"


def short(text, digits=4):
    """Returns a number in a few digits, counts in full; any other text as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    countable = value.is_integer() and abs(value) < 1e7
    whole = countable or 1000 <= abs(value) < 1e5  # 3006, not 3.01e+03
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"
