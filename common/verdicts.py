"""What a record says in a sentence, for a newcomer (imports no Keras)."""

import math

from common import records
from common.cli import MendableError


def finished(regime, options):
    """Returns the record of a complete run, and prints what it says.

    Else None, and a line says that the run begins: until Keras is there and the data
    are read, some seconds pass. Asked by a script before it loads either, since a
    reader of records may have neither.

    Args:
        regime: `regime.Regime`.
        options: `command_line.Options`.

    Raises:
        MendableError: If the file is damaged, or the record of another run, of one from
            another file of the name of `regime.init_from` too, or if a model of another
            folder's record would be written over.
    """
    paths = records.paths(options.name, options.results_dir, options.models_dir)
    if options.overwrite or not paths.json.exists():
        records.spare_models(paths)
        if options.chief and not options.quiet:
            print(f"{options.name}: loading Keras and the data ...", flush=True)
        return None
    record = records.read(paths.json)
    if record.get("init_sha256") != records.sha256_of(regime.init_from):
        raise MendableError(
            f"{options.name} is complete, and began from other weights than those of "
            f"{regime.init_from}: rename that file, or run again with --overwrite."
        )
    records.forget_checkpoint(paths, record)
    print(f"{options.name} is complete; --overwrite runs it again.")
    if not paths.model.exists():  # as in a fresh clone
        print(
            "Its record is here without its model: add --results-dir mine to "
            "train your own and keep that record."
        )
    if options.record_examples and "examples" not in record:
        print(f"It has no {paths.examples.name}: it was run without --record-examples.")
    show(record, paths)
    return record


def show(record, paths):
    """Prints the verdict of a run, and which of its files are there."""
    print(f"\n{verdict(record)}")
    files = paths.model, paths.csv, paths.json, paths.examples
    files = [path for path in files if path.exists()]
    print(f"Files: {'  '.join(map(str, files))}", flush=True)


def verdict(record):
    """Says in a sentence or two, for a newcomer, what the run showed.

    Args:
        record: A run's record (see `records.read`).
    """
    regime, final = record["regime"], record["final"]
    chance = 1 / record["num_classes"]
    test = (
        f"Test accuracy {percent(final['val_accuracy'])} (chance {percent(chance, 0)})."
    )
    if record["stopped_because"] == "diverged":
        return (
            f"Diverged: the loss stopped being a number in epoch {record['epochs']}. "
            f"Likely cause: {_cause_of_divergence(regime)}"
        )
    train = reached(final["train_accuracy"])
    if final["train_accuracy"] < records.FIT_THRESHOLD:
        return (
            f"Did not fit: the network reproduces {train} of the training labels "
            f"after {count(record['epochs'], 'epoch')}. Likely cause: "
            f"{_likely_cause(record)}. {test}"
        )
    first = (
        f"First fitted (>= {percent(records.FIT_THRESHOLD, 0)}) at epoch "
        f"{record['epochs_to_fit']}."
    )
    # Of the other kinds none is ever the true label, so that they do carry some.
    blind = regime["label_noise"] in ("uniform", "exact")
    if regime["label_corruption"] == 1 and blind:
        return (
            f"Memorized: the network reproduces {train} of training labels that carry "
            f"no information. {test} {first}"
        )
    if regime["label_corruption"]:
        return (
            f"Memorized the noise: the network reproduces {train} of the training "
            f"labels, of which {percent(record['realized_label_noise'])} are wrong. "
            f"{test} {first}"
        )
    if regime["pixels"] in ("random", "gaussian"):
        return (
            f"Memorized: the network reproduces {train} of the training labels from "
            f"images whose structure was destroyed ({regime['pixels']} pixels). "
            f"{test} {first}"
        )
    if regime.get("words") == "unigram":
        return (
            f"Memorized: the network reproduces {train} of the training labels from "
            f"random words. {test} {first}"
        )
    learned = final["val_accuracy"] > _above(chance)
    return (
        f"{'Generalized' if learned else 'Fitted, but did not generalize'}: the "
        f"network reproduces {train} of the training labels. {test} {first}"
    )


def _cause_of_divergence(regime):
    lr, wd = regime["lr"], regime["wd"]
    # By the decay alone SGD multiplies a weight by 1 - lr wd, and with momentum m it
    # grows from lr wd = 2 (1 + m) on, whatever the data.
    sgd = regime.get("optimizer", "sgd") == "sgd"
    if sgd and lr * wd >= 2 * (1 + regime.get("momentum", 0.0)):
        return (
            f"weight decay {wd:g} times the learning rate {lr:g} is too high for any "
            "data; try a smaller --wd."
        )
    return f"the learning rate {lr:g} is too high for this setting; try a smaller --lr."


def _likely_cause(record):
    regime, final = record["regime"], record["final"]
    all_random = regime["label_corruption"] == 1 and not regime.get("human_labels")
    noisy = "random labels" if all_random else "corrupted labels"
    if record["stopped_because"] == "early_stopping":
        return "early stopping ended the run, and the best epoch is reported"
    if record["stopped_because"] == "stop_at":
        return f"--stop-at {regime['stop_at']:g} asked for no more"
    if regime["label_corruption"] and regime["wd"]:
        return f"weight decay {regime['wd']:g} with {noisy}"
    if regime["label_corruption"] and regime["dropout"]:
        return f"dropout {regime['dropout']:g} with {noisy}"
    if regime["label_corruption"] and regime["augment"]:
        return f"augmentation ({', '.join(regime['augment'])}) with {noisy}"
    if regime["label_corruption"] and regime.get("word_dropout"):
        return f"word dropout {regime['word_dropout']:g} with {noisy}"
    chance = 1 / record["num_classes"]
    if final["train_accuracy"] <= _above(chance) and record["epochs"] > 20:
        return (
            f"training never left chance; the learning rate {regime['lr']:g} or the "
            "initial weights do not suit this network"
        )
    if record["epochs"] < 40:
        few = count(record["epochs"], "epoch")
        return f"{few} may be too few; try a larger --epochs"
    if final["learning_rate"] > 0.1 * regime["lr"]:
        return "the rate is still high, and more epochs may do it; try --epochs"
    return (
        f"the learning rate has decayed to {final['learning_rate']:.2g}; "
        "a run that has not fitted by now will not"
    )


def _above(chance):
    """The accuracy above which something was learnt; 1.5 times chance, or 5 points."""
    return min(1.5 * chance, chance + 0.05)


def percent(fraction, digits=1):
    """Returns a fraction as text: `12.3 %`."""
    return f"{100 * fraction:.{digits}f} %"


def reached(accuracy):
    """Returns an accuracy in %, rounded down: 98.96 % has not reached 99.0 %.

    From 99.9 % on with two decimals, so that 99.98 % is told from it and from 100 %.
    """
    digits = 2 if 0.999 <= accuracy < 1 else 1
    scale = 10 ** (digits + 2)
    return percent(math.floor(scale * accuracy + 1e-6) / scale, digits)


def count(number, what):
    """Returns a count as text: `1 epoch`, `20 epochs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds):
    """Returns a time as a person would say it: `41 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
