"""Which measure of a network predicts how well it generalizes?

  python measures.py --dataset mnist_5k --train-size 32 64 --widths 4 --seeds 2   # tiny
  python measures.py                                  # full: a grid of 24 networks
  python measures.py --widths 32 128 --batch-size 32 128   # 96, and two settings more

Trains a ReLU network for every combination of training-set size, width, depth, batch
size, label corruption and seed until its loss is 0.01, as in Jiang et al. (2020); takes
every measure of analyze.py; and ranks these by Kendall's tau with the generalization
gap, which is test error less training error: over all networks, and over pairs of
networks that differ in one setting alone (Dziugaite et al. 2020). Intervals are of the
bootstrap over settings. Networks of mnist_l2norm.py whose records lie in the same
folder are ranked beside, and so are the saved models of analysis.csv.

Writes results/NAME.csv (a line a network), results/NAME.json (with the ranking) and a
figure in results/figures/. Type it again to continue an interrupted run: finished
groups are kept.
"""

import functools
import itertools

from common import cli, command_line, records, resumable


def main(argv=None):
    """Returns the record."""
    settings, options = command_line.parse(__doc__, __file__, argv)
    measure = functools.partial(run, settings, options)
    return resumable.run("measures", options.name, options, measure, draw)


def draw(record, csv):
    """Draws the figure of a record; returns its path in a list."""
    from common.report import measure_figures  # here alone: it imports matplotlib

    return measure_figures.draw(record, csv)


def run(settings, options, paths, done):
    """Trains what is not `done`; returns the CSV's rows and the record's fields."""
    import pandas as pd
    from tqdm import tqdm

    from common.engine import backend
    from common.theory import measures as theory
    from common.theory import ranking as order

    backend.require_tensorflow()
    grid = theory.Grid(settings, options.data_dir)
    groups = [
        *itertools.product(
            settings.widths, settings.depths, settings.sizes, settings.batches
        )
    ]
    for group in tqdm(groups, "groups", disable=options.quiet or None):
        if str(group) not in done:
            done[str(group)] = resumable.timed(grid.part, *group)
    parts = [done[str(group)] for group in groups]
    rows = [row for part in parts for row in part["rows"]]
    table = pd.DataFrame(rows)
    tables = {"grid": (table, order.SETTINGS)}
    found = records.read_all(options.results_dir)
    for name, record in found.items():
        if record["script"] == "mnist_l2norm":
            lines = records.read_rows(paths.csv.with_name(f"{name}.csv"), record)
            if lines:
                tables[name] = order.of_l2norm(lines), order.SETTINGS_OF_L2NORM
    lines = records.read_rows(paths.csv.with_name("analysis.csv"))
    analyzed = order.of_analysis(lines, found)
    if len(analyzed):
        tables["analysis"] = analyzed, order.SETTINGS_OF_ANALYSIS
    ranking = [
        {"networks": name, **line}
        for name, (networks, changed) in tables.items()
        for line in order.ranking(networks, changed, settings.seed)
    ]
    columns = dict.fromkeys(name for row in rows for name in row)
    rows = [{name: row.get(name, "") for name in columns} for row in rows]
    return rows, {
        "settings": vars(settings),
        "ranking": ranking,
        "networks": {name: len(networks) for name, (networks, _) in tables.items()},
        "unfit": int((~table.reached).sum()),
        "verdict": order.verdict(ranking, table),
        "seconds": round(sum(part["seconds"] for part in parts), 1),
    }


if __name__ == "__main__":
    cli.run(main)
