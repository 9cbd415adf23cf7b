"""Rows of tables: runs of one setting beside what the paper says (no Keras)."""

import collections
import math
import shlex
import statistics
from typing import NamedTuple

from common import records, regime
from common.datasets import FACTS
from common.report import published, stats
from common.sweep import artefacts, commands

TOLERANCE = 1.5  # points of accuracy: no larger difference is "as in the paper"
FINAL = {"train_accuracy": "train_accuracy", "test_accuracy": "val_accuracy"}


class Row(NamedTuple):
    """One row of a table: its command, its runs, the paper's values."""

    fields: dict  # what distinguishes it from the other rows -> value
    command: str
    runs: tuple  # of `reading.Run`, one a seed
    paper: dict  # metric -> `published.Paper`

    @property
    def online(self):
        """Whether the paper's training accuracy is of the batches while training."""
        return "online_accuracy" in self.paper

    def final(self, metric):
        """Returns the `stats.Stat` of a key of `FINAL` in %, or None without a run.

        The training accuracy is the fixed model's, or as the paper's if that is
        `online`.
        """
        online = self.online and metric == "train_accuracy"
        key = "accuracy" if online else FINAL[metric]
        return stats.stat([100 * run.record["final"][key] for run in self.runs])

    def interval(self):
        """Returns by how much ours and the paper's test accuracy may differ, in points.

        By two standard errors of their difference (`stats.two_errors`), but never by
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
        return min(TOLERANCE, stats.two_errors(ours.mean, paper.value, images, spread))

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


def said(value):
    """Returns what distinguishes a row as text: a level of corruption is `p = 0.2`."""
    return f"p = {value:g}" if isinstance(value, float) else str(value)


def of(artefact, runs, papers):
    """Returns the `Row`s of an artefact, in its order; one for each distinct run.

    Args:
        artefact: `artefacts.Artefact`.
        runs: Dict from `reading.load`.
        papers: Dict from `published.by_run`.
    """
    result = {}
    for key, run in artefact.runs.items():
        name = commands.name_of(run)
        if name in result:  # p = 0 is the row of true labels, p = 1 of random ones
            continue
        seeds = [name] if commands.runs_once(run) else _seeds(name, runs)
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
    said = {int(line["row"]): line for line, _ in published.of("table_1")}
    result = []
    for row in of(artefact, runs, papers):
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
    return stats.spread(stats.stat(epochs), 0) if epochs else ""


def gap(row):
    """Returns the `stats.Stat` of training less test accuracy in points."""
    finals = [run.record["final"] for run in row.runs]
    return stats.stat([100 * (x["train_accuracy"] - x["val_accuracy"]) for x in finals])


def seconds(row):
    """Returns how long a row's runs took on average, or None where no record says."""
    known = stats.stat([x.record["seconds"] for x in row.runs if "seconds" in x.record])
    return known.mean if known else None


def command(record):
    """Returns the command line that made a record, for a shell."""
    return shlex.join(["python", f"{record['script']}.py", *record["argv"]])


MOST_COLUMNS = 6  # of settings that vary; where more do, one column lists them


def by_setting(runs):
    """Groups every training of a folder by its settings, whatever the seed.

    Args:
        runs: Dict from `reading.load`.

    Returns:
        List of `Row`s. Their fields are the settings that vary in the folder; where
        more than `MOST_COLUMNS` do, a single field says in which a row differs from the
        defaults of its script. Of several folders (see
        `reading.collect`) the folder comes
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
