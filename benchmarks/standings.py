"""What the benchmark's turns come to: results.csv, the figure, and a line an aim.

A module of the benchmark; `bench.py` is what is started.
"""

import contextlib
import csv
import datetime
import fnmatch
import statistics
from importlib import metadata
from pathlib import Path

from common import records
from common.engine import machine

ROOT = Path(__file__).parents[1]
IMAGES, REVIEWS = (50_000, 10_000), (25_000, 25_000)  # training and test examples
QUIET = 0.1  # cores that others may have used
PACKAGES = "tensorflow", "tensorflow-cpu", "keras", "numpy", "torch"
ORDER = "train", "measure", "epoch"


class Table:
    """The rows of results.csv: one a contender and kind of turn of a line.

    Rows that were measured before stay, but those of a line that is measured again.

    Args:
        folder: Path of the folder of results.csv.
        quick: Whether the turns were short ones; they have a file of their own.
    """

    def __init__(self, folder, quick):
        stem = "quick" if quick else "results"
        self.csv, self.svg = folder / f"{stem}.csv", folder / f"{stem}.svg"
        self.rows = []
        if self.csv.exists():
            with open(self.csv, newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))
        self.measured = []
        self.same = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{machine.processor()}, {len(machine.cores())} cores",
            "versions": _versions(),
        }

    def add(self, line, unit, turns, missing, facts):
        """Adds a line's turns.

        Args:
            line, unit: Its name, and what is counted.
            turns: {(kind, contender): [(count, wall, CPU seconds, others), …]}.
            missing: {contender: why it was not measured}.
            facts: What the contenders say of themselves: `multiply_adds`, `precision`.
        """
        turns = turns | _composed(line, turns, facts)
        contenders = list(dict.fromkeys(name for _, name in turns))
        rows = []
        for (kind, name), taken in turns.items():
            row = {"line": line, "kind": kind, "contender": name, "unit": unit}
            row |= {"rounds": len(taken), **_rates(taken)}
            if name != contenders[0]:
                row |= _ratios(turns[kind, contenders[0]], taken)
            row["others"] = round(statistics.median(turn[3] for turn in taken), 2)
            row |= facts.get(name, {}) | self.same
            rows.append(row)
        rows += [
            {"line": line, "contender": name, "note": f"not measured: {why}"}
            | self.same
            for name, why in missing.items()
        ]
        self.rows = [row for row in self.rows if row["line"] != line]
        self.rows += [{k: str(v) for k, v in row.items()} for row in rows]
        self.measured.append(line)

    def write(self):
        """Writes the CSV and draws the figure."""
        columns = dict.fromkeys(key for row in self.rows for key in row)
        rows = [{key: row.get(key, "") for key in columns} for row in self.rows]
        records.write_csv(self.csv, rows)
        self._draw()

    def show(self):
        """Prints the lines that were measured, the aims, and the roofline."""
        print(
            f"{'':18} {'':18} {'contender':18} {'per CPU s':>10} {'per s':>10}"
            f"  {'ours by CPU':>20} {'by wall':>7}"
        )
        for row in self.rows:
            if row["line"] not in self.measured:
                continue
            head = f"{row['line']:18} {row.get('kind', ''):18} {row['contender']:18}"
            if row.get("note"):
                print(f"{head} {row['note']}")
                continue
            ratio = ""
            if row.get("ratio"):
                spread = f"({row['ratio_min']}-{row['ratio_max']})"
                ratio = f"{row['ratio']:>6} {spread:>13} {row['ratio_wall']:>7}"
            loaded = " loaded" if float(row["others"]) > QUIET else ""
            rates = (_short(row[key]) for key in ("per_cpu_second", "per_second"))
            print(f"{head} {' '.join(rates)}  {ratio:>28}{loaded}")
        print()
        for aim in self.verdicts():
            print(aim)
        for text in self._roofline():
            print(text)

    def verdicts(self):
        """Yields a line of text for each aim of aims.csv that was measured."""
        with open(Path(__file__).parent / "aims.csv", encoding="utf-8") as file:
            for aim in csv.DictReader(file):
                if aim["line"] in self.measured:
                    yield _verdict(aim, self._matching(aim))

    def _matching(self, aim):
        """The rows that an aim is about."""
        peers = aim["against"].split(";")
        return [
            row
            for row in self.rows
            if row["line"] == aim["line"]
            and fnmatch.fnmatch(row.get("kind", ""), aim["kind"])
            and not row.get("note")
            and (
                aim["by"] == "seconds"
                or (row["contender"] in peers or aim["against"] == "all")
                and row.get("ratio")
                and not row["contender"].startswith("ours")
            )
        ]

    def _roofline(self):
        peaks = {}
        for row in self.rows:
            if row["line"] == "peak" and not row.get("note"):
                precision = row["kind"].split()[-1]
                rate = float(row["per_cpu_second"])
                peaks[precision] = max(rate, peaks.get(precision, 0))
        for row in self.rows:
            if row.get("multiply_adds") and row.get("kind") == "train":
                peak = peaks.get(row["precision"])
                done = 2e-9 * float(row["multiply_adds"]) * float(row["per_cpu_second"])
                share = f"{done / peak:.0%} of {peak:.0f}" if peak else "of an unknown"
                yield (
                    f"{row['line']:18} {row['contender']:14} {row['precision']:9} "
                    f"{float(row['multiply_adds']) / 1e6:8.1f} million multiply-adds "
                    f"an image, {done:.0f} Gflop/s, {share} peak"
                )

    def _draw(self):
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot

        from common.report.style import INKS, STYLE

        rows = [r for r in self.rows if r.get("ratio") and r.get("kind") in ORDER]
        labels = list(dict.fromkeys((r["line"], r["kind"]) for r in rows))[::-1]
        names = list(dict.fromkeys(r["contender"] for r in rows))
        if not rows:
            return
        with pyplot.rc_context(STYLE):
            size = 6.4, 0.8 + 0.2 * len(labels)
            figure, axes = pyplot.subplots(figsize=size)
            for name, ink in zip(names, INKS, strict=False):
                mine = [r for r in rows if r["contender"] == name]
                middle = [float(r["ratio"]) for r in mine]
                ends = [[float(r[f"ratio_{e}"]) for r in mine] for e in ("min", "max")]
                spread = [
                    [max(0.0, m - a) for m, a in zip(middle, ends[0], strict=True)],
                    [max(0.0, b - m) for m, b in zip(middle, ends[1], strict=True)],
                ]
                heights = [labels.index((r["line"], r["kind"])) for r in mine]
                style = {"fmt": "o", "ms": 4, "lw": 1, "color": ink, "label": name}
                axes.errorbar(middle, heights, xerr=spread, **style)
            axes.axvline(1, color="black", lw=0.6)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_yticks(range(len(labels)), [f"{a}, {b}" for a, b in labels])
            axes.set_xlabel(
                "ours over the other, examples a CPU second (range of turns)"
            )
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
            figure.savefig(self.svg, metadata={"Date": None})
            pyplot.close(figure)


def _versions():
    found = []
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def _rates(taken):
    """Medians and range of a contender's rates, by CPU and by wall time."""
    found = {}
    for name, place in (("per_cpu_second", 2), ("per_second", 1)):
        rates = [turn[0] / turn[place] for turn in taken]
        found[name] = f"{statistics.median(rates):.5g}"
        found |= {
            f"{name}_min": f"{min(rates):.5g}",
            f"{name}_max": f"{max(rates):.5g}",
        }
    return found


def _ratios(base, taken):
    """Ours over another, round by round: neighbours in time met the same machine."""

    def ratios(place):
        pairs = zip(base, taken, strict=True)
        return [a[0] / a[place] / (b[0] / b[place]) for a, b in pairs]

    by_cpu, by_wall = ratios(2), ratios(1)
    return {
        "ratio": f"{statistics.median(by_cpu):.2f}",
        "ratio_min": f"{min(by_cpu):.2f}",
        "ratio_max": f"{max(by_cpu):.2f}",
        "ratio_wall": f"{statistics.median(by_wall):.2f}",
    }


def _composed(line, turns, facts):
    """Turns that nobody took: a finished epoch, the norms of MNIST as a whole.

    Their seconds are those of their parts, each by its measured rate.
    """
    found = {}
    names = dict.fromkeys(name for _, name in turns)
    for name in names:
        if ("measure", name) in turns and ("train", name) in turns:
            train, test = REVIEWS if line.startswith("text") else IMAGES
            seen = facts[name].get("measured", train)  # of the training set
            parts = {"train": train, "measure": test + seen}
            found["epoch", name] = _sums(turns, name, parts, train)
        elif line == "l2norm":
            parts = _epochs_of_norms()
            found["whole", name] = _sums(turns, name, parts, sum(parts.values()))
    return found


def _sums(turns, name, parts, count):
    rounds = zip(*(turns[kind, name] for kind in parts), strict=True)
    sizes = list(parts.values())

    def seconds(taken, place):
        pairs = zip(sizes, taken, strict=True)
        return sum(size * turn[place] / turn[0] for size, turn in pairs)

    return [
        (count, seconds(taken, 1), seconds(taken, 2), max(turn[3] for turn in taken))
        for taken in rounds
    ]


def _epochs_of_norms():
    """{kind: epochs that the networks of results/mnist_l2norm.csv took}."""
    epochs = {}
    with open(ROOT / "results/mnist_l2norm.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["stop"] == "loss":
                kind = f"n={row['size']}"
                epochs[kind] = epochs.get(kind, 0) + int(row["epochs"])
    return epochs


def _verdict(aim, rows):
    what = f"{aim['line']} {aim['kind']}".replace("*", "").strip()
    if not rows:
        return f"{what:28} not measured: {aim['bound'] or 'no such contender here'}"
    if aim["by"] == "seconds":
        worst = max(rows, key=lambda row: 1 / float(row["per_second"]))
        value, sign = 1 / float(worst["per_second"]), "at most"
        met, whom = value <= float(aim["aim"]), worst["kind"]
        shown = f"{value:.2f} s"
    else:
        column = "ratio" if aim["by"] == "cpu" else "ratio_wall"
        worst = min(rows, key=lambda row: float(row[column]))
        value, sign = float(worst[column]), "at least"
        met, whom = value >= float(aim["aim"]), f"against {worst['contender']}"
        shown = f"{value:.2f}x"
    loaded = ", loaded" if float(worst["others"]) > QUIET else ""
    end = "met" if met else f"MISSED. {aim['bound']}".strip()
    aimed = f"{sign} {aim['aim']} against {aim['against'].replace(';', ', ')}"
    aimed = aimed.removesuffix(" against ")
    return f"{what:28} {shown:>9} {whom}{loaded} ({aimed}): {end}"


def _short(text):
    return f"{float(text):>10,.4g}" if float(text) < 1000 else f"{float(text):>10,.0f}"
