"""What a network does with each single example: memorized when, and suspicious how.

  python cifar10_mlp.py --dataset mnist_5k --label-corruption 0.2 --record-examples
  python examples.py                                # of every file in results/
  python examples.py cifar10_mlp_mnist_5k_labels0.2_seed0 --el2n-epoch 20

Of a training run with --record-examples: how well the scores of the literature (AUM,
EL2N, forgetting events, loss, margin) find the flipped labels after each epoch, when
memorization starts, and which training images are the most suspicious. Needs no Keras.
Definitions, with their sources: common/examples/scores.py, docs/examples.md.

Writes results/NAME_examples.csv (a line an example), results/NAME_examples.json (what
each score finds after each epoch) and four pictures in results/figures/.
"""

import sys
from pathlib import Path

from common import cli, datasets, records
from common.flag_types import file_path, folder_name, folder_path, integer

END = "_examples"


def parse(argv):
    """Reads the command line."""
    parser = cli.parser("examples", __doc__)
    text = "runs with --record-examples, or their files (default: all in --results-dir)"
    parser.add_argument("names", nargs="*", type=file_path, metavar="NAME", help=text)
    text = "records and files of examples; all is written there (default: results)"
    parser.add_argument(
        "--results-dir", type=folder_path, default="results", metavar="DIR", help=text
    )
    text = "where the data set lies, whose images are shown (default: ~/.keras)"
    parser.add_argument("--data-dir", type=folder_name, metavar="DIR", help=text)
    text = "epoch whose EL2N is in the CSV (default: 10, or the last)"
    parser.add_argument("--el2n-epoch", type=integer, metavar="E", help=text)
    arguments = parser.parse_args(argv)
    cli.existing(arguments.data_dir)
    return arguments


def images_of(record, index, data_dir):
    """Returns the images of some training examples, uint8; None of other data.

    Raises:
        MendableError: If the data set cannot be had.
    """
    name = record["regime"]["dataset"]
    if name not in datasets.NAMES:
        return None
    images = datasets.named(name, data_dir=data_dir).x_train
    if index.min() < 0 or index.max() >= len(images):
        raise cli.MendableError(f"{name} has no image number {index.max()}.")
    return images[index]


def examine(name, arguments, argv):
    """Writes CSV, JSON and pictures of one run; returns what the JSON holds."""
    from common.examples import files, scores, summary

    results = arguments.results_dir
    paths = records.paths(name, results)
    if not paths.json.exists():
        raise cli.MendableError(
            f"{paths.json} does not exist: of a file of examples its run's record has "
            "to lie beside it."
        )
    record = records.read(paths.json)
    examples = files.read(paths.examples, record)
    try:
        examples = scores.finite(examples)
    except ValueError as error:
        raise cli.MendableError(f"{paths.examples}: {error}.") from None
    epochs = len(examples.predicted)
    el2n_epoch = arguments.el2n_epoch or min(scores.EL2N_EPOCH, epochs)
    if el2n_epoch > epochs:
        raise cli.UsageError(f"--el2n-epoch {el2n_epoch}: {name} has {epochs} epochs.")
    found = scores.find(examples)
    said = summary.verdict(examples, found)
    made = {
        "schema": records.SCHEMA,
        "script": "examples",
        "of": name,
        "argv": list(argv),
        "says": said,
        "el2n_epoch": el2n_epoch,
        **summary.numbers(examples, found),
        "examples_sha256": record["examples"]["sha256"],
        "git": records.git_state(),
        "finished": records.now(),
    }
    table = results / f"{name}{END}.csv"
    _write(table, scores.table(examples, el2n_epoch))
    drawn = _draw(record, examples, found, made, arguments)
    records.write_json(results / f"{name}{END}.json", made)
    _show(name, found, said)
    print("Files:", *drawn, table, results / f"{name}{END}.json", flush=True)
    return made


def _write(path, columns):
    import pandas as pd  # here: a mistyped flag is told at once

    with records.replacing(path) as temporary:
        frame = pd.DataFrame(columns)
        frame.to_csv(temporary, index=False, float_format="%.5g")


def _draw(record, examples, found, made, arguments):
    from common.examples import summary
    from common.report import example_figures, names  # here alone: matplotlib

    try:
        images = images_of(record, examples.index, arguments.data_dir)
    except cli.MendableError as error:  # the rest needs none
        print(f"No picture of the most suspicious: {error}", file=sys.stderr)
        images = None
    regime = record["regime"]
    said = {"dataset": regime["dataset"], "what": names.run(record)}
    look = summary.looked_at(found, made["epochs"])
    folder = arguments.results_dir / "figures"
    course = made["courses"]
    return example_figures.draw(examples, found, course, images, look, said, folder)


def _show(name, found, said):
    print(f"\n{name}")
    if found:
        print(
            f"{'score':14}{'best AUC':>9}{'epoch':>7}{'found':>9}{'AUC at the end':>16}"
        )
    for each in found:
        line = f"{each.score:14}{each.best_auc:9.3f}{each.best_epoch:7}"
        print(f"{line}{100 * each.precision:7.1f} %{each.auc[-1]:16.3f}")
    print(f"\n{said}")


def main(argv=None):
    arguments = parse(argv)
    results = arguments.results_dir
    chosen = [
        path.name.removesuffix(".h5").removesuffix(END) for path in arguments.names
    ]
    there = sorted(Path(results).glob(f"[!.]*{END}.h5"))
    chosen = chosen or [path.name.removesuffix(f"{END}.h5") for path in there]
    if not chosen:
        raise cli.MendableError(
            f"{results} holds no NAME_examples.h5. Train with --record-examples: "
            "python cifar10_mlp.py --dataset mnist_5k --label-corruption 0.2 "
            f"--record-examples --results-dir {results}"
        )
    made, argv = {}, sys.argv[1:] if argv is None else argv
    for name in chosen:
        try:
            made[name] = examine(name, arguments, argv)
        except cli.MendableError as error:
            if len(chosen) == 1:
                raise
            records.left_out(error)
    if left_out := len(chosen) - len(made):
        raise cli.MendableError(f"{left_out} of {len(chosen)} runs were left out.")
    return made


if __name__ == "__main__":
    cli.run(main)
