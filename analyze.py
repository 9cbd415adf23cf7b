"""Norms, margins, capacity and curvature of saved models.

  python analyze.py saved_models/cifar10_mlp_seed0.h5 --results-dir one     # a minute
  python analyze.py saved_models/*.h5 --examples 32    # compare those that come with it
  python analyze.py other.h5 --dataset cifar10 --inputs unit --results-dir other

One line a model on the terminal, all measures in results/analysis.csv
(results/analysis.json says how it was made), and a figure. A model of this project
is measured on the data of its record, with the labels it was trained on; any other
Keras classifier (.h5 or .keras) of images, whole or their 28x28 centre, flat or not,
needs --dataset and, where its pixels were not whitened, --inputs. A table that has
other models is kept, unless --overwrite is given. NAME_init.h5 beside
NAME.h5 (--save-init) adds distances from initialization. Definitions, formulas and
sources: common/analysis/norms.py and common/analysis/hessian.py.
"""

import math
import sys

import numpy as np
from tqdm import tqdm

from common import cli, corruptions, datasets, records
from common.flag_types import file_path, folder_name, folder_path, integer
from common.regime import Regime

SHOWN = {  # on the terminal, and their headings there; the CSV has all
    "model": "model",
    "train_accuracy": "train",
    "test_accuracy": "test",
    "frobenius": "norm",
    "log10_product_spectral": "log10 spectral",
    "margin_10": "margin",
    "eigenvalue_1": "eigenvalue",
    "trace": "trace",
    "jacobian_norm": "Jacobian",
}


def parse(argv):
    """Reads the command line."""
    parser = cli.parser("analyze", __doc__)
    parser.add_argument(
        "models",
        nargs="+",
        type=file_path,
        metavar="MODEL.h5",
        help=".h5 or .keras files",
    )
    parser.add_argument(
        "--dataset",
        choices=datasets.NAMES,
        help="measure on this data, with true labels (default: the record's)",
    )
    parser.add_argument(
        "--inputs",
        choices=("whitened", "unit", "raw"),
        help="pixels whitened image by image, divided by 255, or as they are, 0 to 255 "
        "(default: as in the model's record, else raw where it begins with Rescaling, "
        "else whitened)",
    )
    parser.add_argument(
        "--examples",
        type=integer,
        default=1000,
        metavar="N",
        help="training examples for curvature and sensitivity, the first N "
        "(default: 1000); norms, margins and accuracy use all",
    )
    parser.add_argument(
        "--eigenvalues",
        type=integer,
        default=5,
        metavar="K",
        help="largest eigenvalues of the Hessian (default: 5)",
    )
    parser.add_argument(
        "--per-layer", action="store_true", help="curvature of each layer too"
    )
    parser.add_argument(
        "--results-dir",
        type=folder_path,
        default="results",
        metavar="DIR",
        help="where analysis.csv is written (default: results). A model's record is "
        "looked for there, beside the model, and in `results` beside its folder",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an analysis.csv that has models of other names",
    )
    parser.add_argument(
        "--data-dir",
        type=folder_name,
        metavar="DIR",
        help="where data sets lie (default: ~/.keras)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    arguments = parser.parse_args(argv)
    cli.existing(arguments.data_dir)
    return arguments


def records_of(path, results_dir):
    """Returns the folder with a model's record, or None.

    The record of that very file goes before one of its name.
    """
    digest, named = records.sha256_of(path), None
    for folder in (results_dir, *records.beside(path)):
        try:
            trained, recorded = records.of_model(path, folder)
        except cli.MendableError:
            if folder == results_dir:
                raise
            continue  # a JSON of that name which is no record of ours
        if recorded == digest:
            return folder
        if trained and named is None:
            named = folder
    return named


def trained_on(path, folder, arguments):
    """Returns `(Regime, inputs)`: what the record in `folder` says, or --dataset.

    `inputs` is `whitened`, `unit` for pixels over 255 (see `pipelines.prepare`) or
    `raw` for pixels; None where neither says it.
    """
    kept, _ = records.of_model(path, folder) if folder else (None, None)
    recorded = None if kept is None else kept.get("inputs", "whitened")
    inputs = arguments.inputs or recorded
    if arguments.dataset:
        return Regime(dataset=arguments.dataset), inputs
    if kept is None:
        folders = (arguments.results_dir, *records.beside(path))
        raise cli.MendableError(
            f"{path}: no record says what it was trained on, in "
            f"{', '.join(map(str, folders))}. Name the "
            "folder of its record with --results-dir, or the data with --dataset."
        )
    if kept.get("words"):
        raise cli.MendableError(
            f"{path} reads words, and what is measured here needs images: norms of "
            "dense and convolutional layers, derivatives with respect to pixels. Leave "
            "it out."
        )
    return Regime(**{k: v for k, v in kept.items() if hasattr(Regime, k)}), inputs


def examples(path, regime, inputs, shape, data_dir):
    """Returns a `Feed` of the examples as the model was trained and tested on.

    Args:
        path: Of the model.
        regime: `regime.Regime`.
        inputs: As from `trained_on`.
        shape: Of one input of the model.
        data_dir: Where data sets lie, or None.

    Raises:
        MendableError: If images cannot be brought into that shape.
    """
    from common.augmentations import centre_crop
    from common.pipelines import SIZE, Feed, prepare

    data = corruptions.corrupt(datasets.load(regime, data_dir), regime)
    side, _, channels = data.x_train.shape[1:]
    for size in (SIZE, side):
        shapes = [(size, size, channels), (size * size * channels,)]
        if shape in shapes or (shape, channels) == ((size, size), 1):
            break
    else:
        raise cli.MendableError(
            f"{path} takes inputs of shape {shape}, but images of {data.name} are "
            f"{side}x{side}x{channels}, whole or their {SIZE}x{SIZE} centre, flat or "
            "not: choose another --dataset."
        )

    class Shaped(Feed):
        def _prepared(self, images):
            if inputs == "raw":
                images = centre_crop(images, size).astype(np.float32)
            else:
                images = prepare(images, inputs, size)
            return images.reshape(len(images), *shape)

    return Shaped(data, regime)


def analyze(path, arguments):
    """Measures one model, on what `trained_on` says; returns a `measured.Measured`."""
    from common import models
    from common.analysis import measured

    folder = records_of(path, arguments.results_dir) if path.is_file() else None
    try:
        model, notes = models.logits_of(models.load(path, folder))
    except ValueError as error:
        raise cli.MendableError(f"{path}: {error}") from None
    regime, inputs = trained_on(path, folder, arguments)
    if inputs is None:
        inputs = "raw" if _rescales(model) else "whitened"
        if inputs == "raw":
            notes.append("raw pixels, which the model rescales itself")
    shape = model.input_shape[1:]
    feed = examples(path, regime, inputs, shape, arguments.data_dir)
    if model.output_shape[-1] != feed.num_classes:
        raise cli.MendableError(
            f"{path} tells {model.output_shape[-1]} classes apart, and "
            f"{feed.data.name} has {feed.num_classes}: choose another --dataset."
        )
    fit, logits = measured.fit(model, feed)
    _warn_of_chance(path, fit["train_accuracy"], feed, inputs)
    initial = path.with_name(f"{path.stem}_init.h5")
    found = measured.measure(
        model,
        feed,
        logits,
        initial=models.load(initial) if initial.exists() else None,
        examples=arguments.examples,
        eigenvalues=arguments.eigenvalues,
        per_layer=arguments.per_layer,
        radius={"unit": 0.3 / 255, "raw": 0.3}.get(inputs),  # the same grey levels
        progress=not arguments.quiet,
    )
    row = {
        "model": path.stem,
        "dataset": feed.data.name,
        "label_corruption": regime.label_corruption,
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "notes": "; ".join(notes),
    }
    return found._replace(row=row | fit | found.row)


def _warn_of_chance(path, accuracy, feed, inputs):
    chance = np.bincount(feed.y_train).max() / len(feed.y_train)
    if accuracy < chance + 3 * math.sqrt(chance * (1 - chance) / len(feed.y_train)):
        tqdm.write(
            f"Warning: {path} is at chance on its training data, with an accuracy of "
            f"{accuracy:.3f}. Did it learn from {inputs} inputs of {feed.data.name}? "
            "See --inputs and --dataset.",
            file=sys.stderr,
        )


def _rescales(model):
    """Whether a model brings pixels from 0 to 255 into a small range by itself."""
    import keras

    from common import models

    return any(
        isinstance(leaf, keras.layers.Rescaling) and np.abs(leaf.scale).max() < 0.05
        for leaf in models.leaves(model)
    )


def _kept_of(file, paths, overwrite):
    """The models of a table that is there, which a new one has to have, too.

    Raises:
        MendableError: If one of them is not measured now, or the file is no such table.
    """
    if overwrite or not all(path.exists() for path in paths):
        return set()
    rows = records.read_rows(file)
    if any("model" not in row for row in rows):
        raise cli.MendableError(
            f"{file} is no table of analyze.py: write elsewhere with --results-dir "
            "FOLDER, or replace it with --overwrite."
        )
    kept = {row["model"] for row in rows}
    if others := kept - {path.stem for path in paths}:
        raise cli.MendableError(
            f"{file} has {len(others)} other model{'s' if len(others) > 1 else ''}, "
            f"such as {min(others)}: name all of them, write elsewhere with "
            "--results-dir FOLDER, or replace it with --overwrite."
        )
    return kept


def main(argv=None):
    arguments = parse(argv)
    paths = [path for path in arguments.models if not path.stem.endswith("_init")]
    if not paths:
        raise cli.UsageError("only *_init.h5 were given: name the trained models.")
    file, git = arguments.results_dir / "analysis.csv", records.git_state()
    kept = _kept_of(file, paths, arguments.overwrite)
    import pandas as pd  # here, as Keras below: what is wrong is told at once

    from common.engine import backend

    backend.require_tensorflow()
    measured, told = [], set()
    arguments.results_dir.mkdir(parents=True, exist_ok=True)
    for path in tqdm(
        paths, "models", disable=arguments.quiet or len(paths) == 1 or None
    ):
        try:
            measured.append(analyze(path, arguments))
        except Exception as error:  # of one model: the others are measured
            if not isinstance(error, (cli.MendableError, cli.UsageError)):
                if len(paths) == 1 and not isinstance(error, ValueError):
                    raise
                reason = (str(error).splitlines() or [""])[0][:200]
                error = cli.MendableError(
                    f"{path} cannot be measured ({type(error).__name__}: {reason})"
                )
            if len(paths) == 1:
                raise error from None
            if str(error) not in told:  # once, where a data set is lacking
                tqdm.write(f"Left out: {error}", file=sys.stderr)
            told.add(str(error))
            continue
        table = pd.DataFrame([model.row for model in measured])
        if kept - set(table.model):
            continue  # what is there is replaced when nothing of it is lost
        file.with_suffix(".json").unlink(missing_ok=True)  # it is of another table
        with records.replacing(file) as temporary:  # Ctrl-C keeps what is measured
            table.to_csv(temporary, index=False)
    if not measured:
        raise cli.MendableError("none of the models can be measured; why is above.")
    if lost := kept - set(table.model):
        raise cli.MendableError(
            f"{file} stays as it was: it has {min(lost)}, which cannot be measured now "
            "(why is above). --overwrite replaces it."
        )
    from common.report import model_figures  # here alone: it imports matplotlib

    picture = arguments.results_dir / "figures" / "analysis.png"
    model_figures.draw(measured, picture)
    record = {"schema": records.SCHEMA, "script": "analyze"}
    record |= {"argv": sys.argv[1:] if argv is None else argv}
    record |= backend.environment() | {"git": git, "finished": records.now()}
    records.write_json(file.with_suffix(".json"), record)
    shown = table[list(SHOWN)].rename(columns=SHOWN)
    print(shown.to_string(index=False, float_format="{:.4g}".format))
    for note in sorted(set(filter(None, table.notes))):
        print(f"Note: {note}.")
    print(f"Files: {file}  {file.with_suffix('.json')}  {picture}")
    if left_out := len(paths) - len(measured):
        raise cli.MendableError(f"{left_out} of {len(paths)} models were left out.")
    return table


if __name__ == "__main__":
    cli.run(main)
