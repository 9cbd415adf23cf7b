"""Redraw the tables and figures from the records in results/ (imports no Keras).

  python report.py         # results/README.md, results/figures/*.png, README's table

Every number comes from a record; a row without one reads "not yet run". The
paper's values stand beside ours, from common/paper.csv.
"""

import argparse
import csv
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no window: the files are the result
import matplotlib.pyplot as plt
import pandas as pd

from common import cli, records

ROOT = Path(__file__).resolve().parent
# Table 1 of the paper: row -> the command that makes it, and the name of its run.
TABLE_1 = {
    1: ("cifar10_inception.py --random-crop --wd 5e-4", "wd0.0005_crop"),
    2: ("cifar10_inception.py --random-crop", "crop"),
    3: ("cifar10_inception.py --wd 5e-4", "wd0.0005"),
    4: ("cifar10_inception.py", ""),
    5: ("cifar10_inception.py --random-labels", "labels1"),
    6: ("cifar10_inception.py --no-batch-norm --wd 5e-4", "nobn_wd0.0005"),
    7: ("cifar10_inception.py --no-batch-norm", "nobn"),
    8: ("cifar10_inception.py --no-batch-norm --random-labels", "labels1_nobn"),
    9: (
        "cifar10_alexnet.py --random-crop --wd 5e-4",
        "wd0.0005_crop",
    ),
    10: ("cifar10_alexnet.py --random-crop", "crop"),
    11: ("cifar10_alexnet.py --wd 5e-4", "wd0.0005"),
    12: ("cifar10_alexnet.py", ""),
    13: ("cifar10_alexnet.py --random-labels", "labels1"),
    14: ("cifar10_mlp.py --hidden 512 512 512 --wd 1e-4", "hidden512-512-512_wd0.0001"),
    15: ("cifar10_mlp.py --hidden 512 512 512", "hidden512-512-512"),
    16: (
        "cifar10_mlp.py --hidden 512 512 512 --random-labels",
        "labels1_hidden512-512-512",
    ),
    17: ("cifar10_mlp.py --wd 1e-4", "wd0.0001"),
    18: ("cifar10_mlp.py", ""),
    19: ("cifar10_mlp.py --random-labels", "labels1"),
}
# The picture at the top of README: network -> (colour, row true, row random).
MEMORIZATION = {"small AlexNet": ("#006BA4", 12, 13), "MLP 1x512": ("#FF800E", 18, 19)}

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "legend.frameon": False,
    "savefig.dpi": 200,
}


def run_name(row, seed=0):
    """Returns the name of the run behind a row of Table 1."""
    command, settings = TABLE_1[row]
    script = command.split(".py")[0]
    return "_".join(part for part in (script, settings, f"seed{seed}") if part)


def table_1(results):
    """Returns Table 1 as Markdown: measured beside printed, linked to its record."""
    with open(ROOT / "common" / "paper.csv", newline="") as file:
        paper = [line for line in csv.DictReader(file) if line["artefact"] == "table_1"]
    lines = [
        "| row | model | crop | weight decay | labels | train (paper) | test (paper) "
        "| first fitted | command |",
        "|--:|--|:-:|:-:|--|--:|--:|--:|--|",
    ]
    for train, test in zip(paper[::2], paper[1::2], strict=True):
        row = int(train["row"])
        command, name = TABLE_1[row][0], run_name(row)
        measured, epoch = ("not yet run", "not yet run"), ""
        if (results / f"{name}.json").exists():
            record = records.read(results / f"{name}.json")
            final = record["final"]
            keys = ("train_accuracy", "val_accuracy")
            measured = [f"**{100 * final[key]:.2f}**" for key in keys]
            epoch = record["epochs_to_fit"] or f"> {record['epochs']}"
            epoch = f"epoch {epoch}"
            command = f"[`{command}`]({name}.json)"
        else:
            command = f"`{command}`"
        cells = [row, train["model"], train["random_crop"], train["weight_decay"]]
        cells += [train["labels"], f"{measured[0]} ({train['value']})"]
        cells += [f"{measured[1]} ({test['value']})", epoch, command]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def draw_memorization(results, path):
    """Draws accuracy against epochs, true and random labels side by side."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.6), sharey=True, sharex=True)
        for axis, kind, column in zip(axes, ("true", "random"), (1, 2), strict=True):
            for network, choice in MEMORIZATION.items():
                file = results / f"{run_name(choice[column])}.csv"
                if not file.exists():
                    continue
                history = pd.read_csv(file)
                for key, dashes in (("train", "-"), ("val", ":")):
                    values = 100 * history[f"{key}_accuracy"]
                    label = f"{network}, {'training' if key == 'train' else 'test'}"
                    axis.plot(history.epoch, values, dashes, c=choice[0], label=label)
            axis.axhline(10, color="0.6", linewidth=0.7)
            axis.text(0.99, 11.5, "chance", ha="right", color="0.5", fontsize=7,
                      transform=axis.get_yaxis_transform())  # fmt: skip
            axis.set(xlabel="epochs", ylim=(0, 103))
            axis.text(0.5, 1.02, f"{kind} labels", ha="center",
                      transform=axis.transAxes)  # fmt: skip
        axes[0].set_ylabel("accuracy (%)")
        axes[1].legend(loc="center right")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Fixed metadata: redrawing an unchanged result changes no byte.
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def refresh_readme(table, path):
    """Puts the table between README's markers."""
    start, end = "<!-- table 1, by report.py -->\n", "\n<!-- end -->"
    table = table.replace("](cifar10", "](results/cifar10")
    pattern = re.escape(start) + ".*?" + re.escape(end)
    text = re.sub(pattern, lambda _: start + table + end, path.read_text(), flags=re.S)
    path.write_text(text)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--results-dir", default="results", metavar="DIR", type=Path)
    results = parser.parse_args(argv).results_dir
    table = table_1(results)
    text = (
        "# Results\n\nWritten by `python report.py` from the records in this folder.\n"
        "\n## Table 1: CIFAR-10 accuracy in %\n\n"
        "Ours in bold, the paper's in brackets; one seed. The paper's values are "
        "printed in it and cross-checked.\n\n" + table + "\n"
    )
    results.mkdir(parents=True, exist_ok=True)
    (results / "README.md").write_text(text)
    if results.resolve() == ROOT / "results":
        refresh_readme(table, ROOT / "README.md")
    picture = results / "figures" / "memorization.png"
    draw_memorization(results, picture)
    print(f"Wrote {results / 'README.md'} and {picture}")


if __name__ == "__main__":
    cli.run(main)
