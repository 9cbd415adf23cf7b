"""What papers report: their tables, and the curves of their figures (no Keras)."""

import re
from pathlib import Path
from typing import NamedTuple

from common import records
from common.sweep import artefacts, commands

CERTAINTY = {  # how sure a value of common/report/paper.csv is
    "printed": "printed in the paper",
    "companion": "reported by the authors' companion script, not in the paper",
    "figure": "read from the vector paths of the paper's figures",
    "arithmetic": "follows by arithmetic from what is printed or drawn",
    "inferred": "inferred, not stated in the paper",
    "replication": "not the paper's: one seed of a careful public replication",
    "related": "of a later paper, named beside it; read from its figure, not checked",
}


class Paper(NamedTuple):
    """A value of the paper, and how sure it is (a key of `CERTAINTY`)."""

    value: float | str
    certainty: str


FEATURES = "double_descent_features"  # the artefact beside Belkin et al. (2019)
STEPS = 391  # an epoch of the paper's on CIFAR-10: ceil(50,000 / 128)


def lines():
    """Returns the lines of common/report/paper.csv, as dicts of strings."""
    return records.read_rows(Path(__file__).with_name("paper.csv"))


def of(artefact):
    """Returns `[(line, Paper)]` of one artefact's lines of common/report/paper.csv."""
    return [(x, _paper(x)) for x in lines() if x["artefact"] == artefact]


def curves():
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


def by_run():
    """Returns dict of run name (seed 0) -> metric -> `Paper`.

    A run of Table 1 keeps the paper's values wherever else it stands. Of Table 2 it
    is the top-1 accuracy that goes by its usual names.
    """
    regularizers = artefacts.ARTEFACTS["random_label_regularizers"].runs
    values = {}
    for line in lines():
        if line["artefact"] == "table_1":
            run = artefacts.TABLE_1[int(line["row"])]
        elif line["artefact"] == "table_2":
            run = artefacts.TABLE_2[int(line["row"])]
        elif line["artefact"] == "random_label_regularizers":
            run = regularizers[line["model"], line["setting"]]
        else:
            continue
        metric = line["metric"].removeprefix("top1_")
        said = values.setdefault(commands.name_of(run), {})
        said[metric] = _paper(line)
        if metric == "online_accuracy":
            said["train_accuracy"] = said[metric]
    return values


def features():
    """Returns what Belkin et al. (2019) report of random features.

    Returns:
        Dict of setting -> dict of N (0: the kernel itself) -> dict of metric ->
        `Paper`.
    """
    said = {}
    for line, value in of(FEATURES):
        of_setting = said.setdefault(line["setting"], {})
        of_setting.setdefault(int(line["row"]), {})[line["metric"]] = value
    return said


def unsure(paper):
    """How sure a `Paper` is, as text to put behind it; nothing where it is printed."""
    return "" if paper.certainty == "printed" else f" {paper.certainty}"
