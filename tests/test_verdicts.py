"""What a record says in a sentence, and numbers as people read them."""

import pytest

from common import records, verdicts
from common.regime import Regime


def record(train, test, epochs=50, fitted=None, stopped="epochs", noise=0.0, **regime):
    return {
        "regime": vars(Regime(**regime)),
        "num_classes": 10,
        "epochs": epochs,
        "epochs_to_fit": fitted,
        "stopped_because": stopped,
        "realized_label_noise": noise,
        "final": {
            "train_accuracy": train,
            "val_accuracy": test,
            "learning_rate": 0.01 * 0.95 ** (epochs - 1),
        },
    }


@pytest.mark.parametrize(
    "run, sentence",
    [
        (
            record(0.998, 0.099, fitted=43, noise=0.9, label_corruption=1.0),
            "Memorized: the network reproduces 99.8 % of training labels that carry no "
            "information. Test accuracy 9.9 % (chance 10 %). First fitted (>= 99 %) at "
            "epoch 43.",
        ),
        (
            record(0.312, 0.1, noise=0.9, label_corruption=1.0, wd=0.005),
            "Did not fit: the network reproduces 31.2 % of the training labels after "
            "50 epochs. Likely cause: weight decay 0.005 with random labels. Test "
            "accuracy 10.0 % (chance 10 %).",
        ),
        (
            record(0.85, 0.6, epochs=12, stopped="early_stopping", early_stopping=3),
            "Did not fit: the network reproduces 85.0 % of the training labels after "
            "12 epochs. Likely cause: early stopping ended the run, and the best epoch "
            "is reported. Test accuracy 60.0 % (chance 10 %).",
        ),
        (
            record(0.995, 0.55, fitted=30, noise=0.181, label_corruption=0.2),
            "Memorized the noise: the network reproduces 99.5 % of the training labels"
            ", of which 18.1 % are wrong. Test accuracy 55.0 % (chance 10 %). First "
            "fitted (>= 99 %) at epoch 30.",
        ),
        (
            record(1.0, 0.7607, fitted=14),
            "Generalized: the network reproduces 100.0 % of the training labels. Test "
            "accuracy 76.1 % (chance 10 %). First fitted (>= 99 %) at epoch 14.",
        ),
        (
            record(1.0, 0.41, fitted=9, pixels="shuffled"),
            "Generalized: the network reproduces 100.0 % of the training labels. Test "
            "accuracy 41.0 % (chance 10 %). First fitted (>= 99 %) at epoch 9.",
        ),
        (
            record(1.0, 0.1, fitted=9, pixels="gaussian"),
            "Memorized: the network reproduces 100.0 % of the training labels from "
            "images whose structure was destroyed (gaussian pixels). Test accuracy "
            "10.0 % (chance 10 %). First fitted (>= 99 %) at epoch 9.",
        ),
        (
            record(1.0, 0.1, fitted=9, words="unigram"),
            "Memorized: the network reproduces 100.0 % of the training labels from "
            "random words. Test accuracy 10.0 % (chance 10 %). First fitted (>= 99 %) "
            "at epoch 9.",
        ),
        (
            record(0.1, 0.1, epochs=3, stopped="diverged", lr=5.0),
            "Diverged: the loss stopped being a number in epoch 3. Likely cause: the "
            "learning rate 5 is too high for this setting; try a smaller --lr.",
        ),
    ],
)
def test_verdicts(run, sentence):
    assert verdicts.verdict(run) == sentence


@pytest.mark.parametrize(
    "run, words",
    [
        (record(1.0, 0.09, fitted=9), "Fitted, but did not generalize: "),
        # All labels replaced by the next class: wrong, but not without information.
        (
            record(
                1.0, 0.01, fitted=9, noise=1, label_corruption=1, label_noise="pair"
            ),
            "Memorized the noise: the network reproduces 100.0 % of the training labels"
            ", of which 100.0 % are wrong.",
        ),
        # Of two classes every label turned round: all can be told from it.
        (
            record(
                1.0, 0, fitted=9, noise=1, label_corruption=1, label_noise="exclusive"
            ),
            "Memorized the noise: ",
        ),
        (record(0.9, 0.7, stopped="stop_at", stop_at=0.9), "--stop-at 0.9 asked for"),
        # Of two classes half again as much as chance would be 75 %.
        (record(1.0, 0.7, fitted=9) | {"num_classes": 2}, "Generalized: "),
        (record(1.0, 0.53, fitted=9) | {"num_classes": 2}, "Fitted, but did not"),
        (record(0.7, 0.6) | {"num_classes": 2}, "the learning rate has decayed to"),
        (record(0.9, 0.5, label_corruption=1.0, word_dropout=0.2), "word dropout 0.2"),
        (
            record(0.5, 0.1, label_corruption=1.0, dropout=0.5),
            "dropout 0.5 with random",
        ),
        (
            record(0.5, 0.1, label_corruption=0.4, augment=("crop", "flip")),
            "augmentation (crop, flip) with corrupted labels",
        ),
        (
            record(0.1, 0.1, lr=1e-5),
            "training never left chance; the learning rate 1e-05",
        ),
        (record(0.5, 0.4, epochs=1), "1 epoch may be too few; try a larger --epochs"),
        (record(0.9, 0.4, epochs=80), "the learning rate has decayed to 0.00017;"),
        (record(0, 0, stopped="diverged", lr=9.0, wd=1e-3), "the learning rate 9 is"),
        (record(0, 0, stopped="diverged", lr=0.1, wd=40.0), "weight decay 40 times"),
        (record(0, 0, stopped="diverged", lr=0.1, wd=37.0), "learning rate 0.1 is too"),
    ],
)
def test_verdicts_name_the_likely_cause(run, words):
    assert words in verdicts.verdict(run)


def test_the_verdict_of_a_record_that_was_read_back(tmp_path):
    run = record(0.998, 0.099, fitted=43, noise=0.9, label_corruption=1.0)
    named = {"name": "a", "script": "my_script", "argv": []}
    records.write_json(tmp_path / "a.json", named | run)
    assert verdicts.verdict(records.read(tmp_path / "a.json")) == verdicts.verdict(run)


@pytest.mark.parametrize(
    "accuracy, shown",
    [
        (1.0, "100.0 %"),
        (0.99999, "99.99 %"),  # one of 100,000 labels is missing
        (0.9998, "99.98 %"),
        (0.999, "99.90 %"),
        (0.99896, "99.8 %"),
        (0.9896, "98.9 %"),  # has not reached 99.0 %
        (0.29, "29.0 %"),  # 0.29 is a little less than 29 hundredths in binary
        (0.0, "0.0 %"),
    ],
)
def test_an_accuracy_is_not_shown_above_what_was_reached(accuracy, shown):
    assert verdicts.reached(accuracy) == shown


@pytest.mark.parametrize(
    "seconds, shown",
    [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5400, "90 min"), (12600, "3.5 h")],
)
def test_durations_are_read_as_people_say_them(seconds, shown):
    assert verdicts.duration(seconds) == shown
