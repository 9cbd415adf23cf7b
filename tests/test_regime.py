"""Flags, regimes and names: round trips, one name a regime, what is refused."""

import argparse
import contextlib
import dataclasses
import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from common import cli
from common.augmentations import IN_FILES, NAMES
from common.command_line import Options, parse
from common.command_line import read as regime_of
from common.flag_types import SMALLEST
from common.regime import DEFAULT_RATES, DEFAULTS, Regime
from common.settings import name as run_name
from common.settings import offered, spelling
from common.shared_settings import dataset_names

DOC = """Small AlexNet on CIFAR-10.

  python cifar10_alexnet.py --random-labels    # pure noise, 100 %
"""


def read(*flags, script="cifar10_alexnet"):
    return parse(DOC, f"/somewhere/{script}.py", flags)


def name(*flags, **more):
    return read(*flags, **more)[1].name


def refused(*flags, **more):
    """What a command line is refused with, which is one line."""
    with pytest.raises(cli.UsageError) as error:
        read(*flags, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


# Names


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("", "cifar10_alexnet_seed0"),
        ("--random-labels", "cifar10_alexnet_labels1_seed0"),
        ("--random-labels --wd 5e-4", "cifar10_alexnet_labels1_wd0.0005_seed0"),
        ("--wd 0.0005 --random-labels", "cifar10_alexnet_labels1_wd0.0005_seed0"),
        ("--label-corruption 1.0", "cifar10_alexnet_labels1_seed0"),
        ("--label-corruption 0.2 --seed 3", "cifar10_alexnet_labels0.2_seed3"),
        ("--pixels gaussian --data-seed 1", "cifar10_alexnet_gaussian_dataseed1_seed0"),
        ("--augment flip,crop", "cifar10_alexnet_crop-flip_seed0"),
        ("--batch-size full --lr 1e-7", "cifar10_alexnet_lr0.0000001_batchfull_seed0"),
        ("--train-size 500 --stop-at 1", "cifar10_alexnet_n500_stop1_seed0"),
        ("--optimizer adam", "cifar10_alexnet_adam_seed0"),
        ("--optimizer adam --lr 0.01", "cifar10_alexnet_adam_lr0.01_seed0"),
    ],
)
def test_names(flags, expected):
    assert name(*flags.split()) == expected


def test_names_of_choices_that_only_some_models_have():
    hidden = ["--hidden", "512", "512", "512"]
    expected = "cifar10_mlp_hidden512-512-512_seed0"
    assert name(*hidden, script="cifar10_mlp") == expected
    assert name("--hidden", "512", script="cifar10_mlp") == "cifar10_mlp_seed0"
    flags = ["--no-batch-norm", "--wd", "5e-4"]
    expected = "cifar10_inception_nobn_wd0.0005_seed0"
    assert name(*flags, script="cifar10_inception") == expected


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("", "imdb_text_seed0"),
        ("--model lstm --random-labels", "imdb_text_lstm_labels1_seed0"),
        ("--words shuffled_each --model cnn", "imdb_text_cnn_shuffled_each_seed0"),
        ("--word-dropout 0.1 --dropout 0.5", "imdb_text_dropout0.5_worddropout0.1_"),
        ("--dataset synthetic_text --model bag", "imdb_text_synthetic_text_seed0"),
        ("--optimizer sgd", "imdb_text_sgd_seed0"),
    ],
)
def test_names_of_text_runs(flags, expected):
    assert name(*flags.split(), script="imdb_text").startswith(expected)


def test_sgd_in_a_script_of_another_optimizer_has_the_papers_rate_and_momentum():
    regime, _ = read("--optimizer", "sgd", script="imdb_text")
    assert (regime.lr, regime.momentum) == (0.01, 0.9)
    regime, _ = read("--optimizer", "rmsprop", script="imdb_text")
    assert (regime.lr, regime.momentum) == (0.001, 0)


@pytest.mark.parametrize("spelling", ["5e-4", "0.0005", "5E-04", ".0005", "0.00050"])
def test_one_number_has_one_name(spelling):
    assert name("--wd", spelling) == "cifar10_alexnet_wd0.0005_seed0"


def test_values_equal_to_the_scripts_defaults_do_not_show():
    flags = "--lr 0.01 --epochs 50 --momentum 0.9 --wd 0 --label-corruption 0"
    assert name(*flags.split()) == "cifar10_alexnet_seed0"
    inception = "cifar10_inception"  # whose rate is 0.1
    assert name(script=inception) == "cifar10_inception_seed0"
    expected = "cifar10_inception_lr0.01_seed0"
    assert name("--lr", "0.01", script=inception) == expected


def test_options_are_never_in_the_name(tmp_path):
    flags = (
        f"--results-dir r --models-dir m --data-dir {tmp_path} --no-resume --overwrite "
        "--save-init --checkpoint-every 5 --keep-checkpoint --continue-from x "
        "--measure all --tensorboard t --quiet "
        "--distribute A:6380 --process 1/2"
    ).split()
    script = "imagenet_inception_v3"
    regime, options = read("--random-labels", *flags, script=script)
    plain, without = read("--random-labels", script=script)
    assert (regime, options.name) == (plain, without.name)
    (_, *before), (_, *after) = (vars(x).items() for x in (without, options))
    same = [
        k for (k, one), (_, other) in zip(before, after, strict=True) if one == other
    ]
    assert same == ["script", "record_examples"]  # which it has not
    assert list(vars(options).values())[3:] == [
        *("r", "m", str(tmp_path), False, True, True, 5, True, "x", "all", False),
        *("t", True, "A:6380", (1, 2)),
    ]
    assert not options.chief and without.chief
    _, recording = read("--record-examples")
    assert recording.record_examples and recording.name == read()[1].name


def test_the_command_starts_the_run_again(monkeypatch):
    flags = ("--wd", "5e-4", "--seed", "2")
    _, options = read(*flags)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert options.command == "python cifar10_alexnet.py --wd 5e-4 --seed 2"
    _, *again = options.command.split()
    assert read(*again[1:])[1] == options
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert options.command.startswith("KERAS_BACKEND=jax python cifar10_alexnet.py")


# Any settings of any script.


def values(each, usual):
    """Strategy of the words that a field's flag takes, each a list."""
    flag, name = each.metadata["flag"], spelling(each)
    action, choices = (flag.argument.get(key) for key in ("action", "choices"))
    if action is argparse.BooleanOptionalAction:
        return st.sampled_from([[name], [f"--no-{name[2:]}"]])
    if action == "store_true":
        return st.just([name])
    if each.name == "dataset":
        choices = dataset_names(usual) or ("imagenet", "synthetic", "my-flowers_2")
    if each.name == "augment":
        names = IN_FILES if usual.image_size else NAMES
        chosen = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
        return chosen.map(lambda names: [name, ",".join(names)])
    if each.name == "depth":
        word = st.integers(1, 40).map(lambda n: str(6 * n + 4))
    elif each.name == "init_from":
        word = st.sampled_from(["a.h5", "b/a_float32.h5", "a-weights_seed0.h5"])
    elif each.name == "batch_size":
        word = st.integers(1, 300).map(str) | st.just("full")
    elif choices:
        word = st.sampled_from(choices)
    else:
        kind, low, high, above = flag.argument["type"].range
        high = min(high, 10_000) if kind is int else min(high, 1e6)
        # Near the ends, and many that look alike in six digits.
        numbers = st.integers(low, high)
        if kind is float:
            numbers = st.floats(low, high, exclude_min=above, allow_subnormal=False)
            numbers |= st.sampled_from([0.1, 0.1234567, 0.1234568, 0.5])
            numbers = numbers.filter(lambda x: x == 0 or x > SMALLEST)
        word = numbers.map(str)
    if flag.argument.get("nargs") == "+":
        return st.lists(word, min_size=1, max_size=3).map(lambda words: [name, *words])
    return word.map(lambda word: [name, word])


@st.composite
def commands(draw, key):
    """Flags of a script, or of a part of one, that do not contradict each other."""
    usual, words = DEFAULTS[key], []
    fields = st.sampled_from(offered(type(usual), usual))
    for each in draw(st.lists(fields, max_size=5, unique_by=lambda each: each.name)):
        more = [*words, *draw(values(each, usual))]
        with contextlib.suppress(cli.UsageError):
            found(key, more)
            words = more
    return words


def found(key, words):
    script, _, part = key.partition(" ")
    return regime_of(script, [*filter(None, [part]), *words])[part]


def flags_of(ours, usual):
    """A command line for settings: every field that is not as it would be anyway."""
    anyway, flags = dataclasses.replace(usual, **usual.follow(vars(ours))), []
    for each in offered(type(ours), usual):
        value, name = getattr(ours, each.name), spelling(each)
        if value == getattr(anyway, each.name):
            continue
        if each.name == "labels":
            flags.append(f"--{'no-' * ('true' in value)}random-labels")
        elif isinstance(value, bool):
            flags.append(name if value else f"--no-{name[2:]}")
        elif each.name == "augment":
            flags += [name, ",".join(reversed(value))]
        else:
            flags += [name, *map(str, value if isinstance(value, tuple) else [value])]
    return flags


KEYS = st.sampled_from([*DEFAULTS])


@settings(max_examples=60)
@given(st.data())
def test_flags_to_settings_and_back(draws):
    key = draws.draw(KEYS)
    ours, options = found(key, draws.draw(commands(key)))
    assert found(key, flags_of(ours, DEFAULTS[key]))[0] == ours
    stem = "_".join(key.split())
    assert options.name == run_name(stem, ours, DEFAULTS[key])
    assert options.name.startswith(stem)
    if key != "mnist_l2norm":  # whose seed is shown where it is not 0
        assert options.name.endswith(f"_seed{ours.seed}")
    assert len(options.name.encode()) <= ours.longest_name
    assert not set(options.name) & set("/\\ :*?'\"")


@settings(max_examples=60)
@given(st.data())
def test_two_settings_have_one_name_only_if_they_are_equal(draws):
    key = draws.draw(KEYS)
    usual = DEFAULTS[key]
    (one, options), (other, _) = (found(key, draws.draw(commands(key))) for _ in "12")
    seconds = [other]
    for field, value in vars(other).items():  # neighbours, that differ in one field
        if value != getattr(one, field):
            neighbour = dataclasses.replace(one, **{field: value})
            with contextlib.suppress(cli.UsageError):
                seconds.append(found(key, flags_of(neighbour, usual))[0])
    for second in seconds:
        name = run_name("_".join(key.split()), second, usual)
        assert (name == options.name) == (second == one)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("cifar10_mlp", "--hidden" + " 1000" * 300 + " --seed {}"),
        (
            "min_norm",
            f"--features relu --num-features {' '.join(map(str, range(1, 200)))} "
            "--seed {}",
        ),
        ("mnist_l2norm", "--step 2 --max-size 600 --seed {}"),
        ("imagenet_inception_v3", f"--dataset {'flower-' * 35} --seed {{}}"),
    ],
)
def test_a_long_name_is_cut_and_stays_one_of_its_own(script, flags):
    ours, options = regime_of(script, flags.format(1).split())[""]
    ends = ["60000_random_accuracy_seed4294967295.1234567.part.h5"]
    if ours.longest_name > 200:
        ends = [
            f"{end}.1234567.part.{kind}"
            for end, kind in (
                ("init", "h5"),
                ("state", "npz"),
                ("examples", "h5"),
                ("examples", "json"),
            )
        ]
    assert len(options.name) == ours.longest_name
    assert max(len(f".{options.name}_{end}") for end in ends) <= 255
    names = {  # of other settings that begin and end alike
        regime_of(script, flags.format(seed).split() + more.split())[""][1].name
        for seed in (0, 1)
        for more in ("", "--dataset mnist_5k" if script != "imdb_text" else "")
    }
    assert len(names) == 4 and options.name in names
    if script != "mnist_l2norm":  # seeds of one setting are told by their ends
        begin = options.name.removesuffix("_seed1")
        assert f"{begin}_seed0" in names


# Values


def test_defaults():
    regime, options = read()
    assert regime == Regime(lr=0.01, epochs=50)
    paper = dict(optimizer="sgd", lr=0.01, momentum=0.9, lr_decay=0.95, batch_size=128)
    assert paper.items() <= vars(regime).items()
    for field in ("label_corruption", "wd", "dropout", "seed", "data_seed"):
        assert getattr(regime, field) == 0
    for field in ("train_size", "stop_at", "early_stopping", "batch_norm", "hidden"):
        assert getattr(regime, field) is None
    assert (regime.augment, regime.pixels, regime.label_noise) == (
        (),
        "true",
        "uniform",
    )
    assert options.script == "cifar10_alexnet" and options.argv == ()
    assert (options.results_dir, options.models_dir) == ("results", "saved_models")
    assert options.resume and not options.overwrite


def test_a_regime_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read()[0].wd = 1.0


def test_argv_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cifar10_alexnet.py", "--seed", "4"])
    regime, options = parse(DOC, "cifar10_alexnet.py")
    assert regime.seed == 4 and options.argv == ("--seed", "4")


def test_the_papers_random_label_run_has_no_regularizer():
    regime, _ = read("--random-labels")
    assert regime == dataclasses.replace(read()[0], label_corruption=1.0)
    assert (regime.wd, regime.dropout, regime.augment) == (0, 0, ())


@pytest.mark.parametrize(
    "flags",
    [
        "--random-crop",
        "--augment crop",
        "--augment crop,crop",
        "--random-crop --augment crop",
    ],
)
def test_random_crop_is_an_augmentation(flags):
    assert read(*flags.split())[0] == read("--augment", "crop")[0]
    assert name(*flags.split()) == "cifar10_alexnet_crop_seed0"


@pytest.mark.parametrize(
    "flags",
    ["--random-crop --augment erase,flip", "--augment flip,erase --random-crop"],
)
def test_augmentations_add_up_in_one_order(flags):
    assert read(*flags.split())[0].augment == ("crop", "flip", "erase")


@pytest.mark.parametrize("optimizer, rate", DEFAULT_RATES.items())
def test_other_optimizers_have_their_own_rate_and_no_momentum(optimizer, rate):
    regime, _ = read("--optimizer", optimizer)
    momentum = 0.9 if optimizer == "sgd" else 0
    assert (regime.lr, regime.momentum) == (rate, momentum)
    assert read("--optimizer", optimizer, "--lr", "0.5")[0].lr == 0.5


def test_false_never_means_true():
    # What `type=bool` would do.
    line = refused("--random-labels", "false")
    assert line == "unexpected word 'false'. --help lists all flags."
    regime, _ = read("--no-batch-norm", script="cifar10_inception")
    assert regime.batch_norm is False
    assert read("--batch-norm", script="cifar10_inception")[0].batch_norm is True


# Refusals


@pytest.mark.parametrize(
    "flags, reason",
    [
        ("--random-crop --pixels shuffled", "no window is left to draw"),
        ("--pixels gaussian --augment crop,flip", "cannot go with --pixels gaussian"),
        ("--no-batch-norm", "cifar10_inception.py has it, this script has not"),
        ("--batch-norm", "unknown flag --batch-norm. cifar10_inception.py has it"),
        ("--random-labels --label-corruption 0.5", "leave one out"),
        ("--random-labels --label-corruption 0", "leave one out"),
        ("--batch-size full --precision float16", "choose another precision"),
        ("--momentum 0.9 --optimizer adam", "belongs to sgd and rmsprop"),
        ("--label-noise pair", "no meaning without --label-corruption P"),
        ("--optimizer adagrad --momentum 0.5", "belongs to sgd and rmsprop"),
        ("--mistyped 3", "unknown flag --mistyped. --help lists all"),
        ("--hidden 512", "unknown flag --hidden. cifar10_mlp.py has it"),
        ("--label-corruption 1.5", "received '1.5', expected a number of at least 0"),
        ("--label-corruption -0.1", "at most 1"),
        ("--label-corruption nan", "received 'nan'"),
        ("--augment crop,zoom", "received 'zoom', expected some of crop,flip"),
        ("--label-noise gaussian", "invalid choice: 'gaussian'"),
        ("--pixels permuted", "invalid choice: 'permuted'"),
        ("--lr 0", "more than 0"),
        ("--lr inf", "received 'inf'"),
        ("--lr fast", "received 'fast'"),
        ("--wd -1", "at least 0"),
        ("--wd inf", "received 'inf'"),
        ("--dropout 1", "at most 0.99"),
        ("--stop-at 0", "more than 0"),
        ("--stop-at 99", "at most 1"),
        ("--batch-size 0", "at least 1"),
        ("--batch-size half", "expected an integer"),
        ("--train-size 2.5", "expected an integer"),
        ("--epochs 0", "at least 1"),
        ("--seed -1", "at least 0"),
        ("--precision half", "invalid choice"),
        ("--optimizer", "expected one argument"),
        ("extra", "unexpected word 'extra'"),
        ("--dataset cifar11", "unknown data set 'cifar11'. Expected cifar10, cifar100"),
        ("--dataset imdb", "unknown data set 'imdb'"),
        ("--data-dir /nowhere", "--data-dir /nowhere: there is no such folder"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(flags, reason):
    assert reason in refused(*flags.split())


@pytest.mark.parametrize(
    "flags, meant",
    [
        ("--random-label", " Did you mean --random-labels?"),
        ("--label-corupt=0.5", " Did you mean --label-corruption?"),
        ("--see 1", " Did you mean --seed?"),
        ("--lab 0.5", ""),
    ],
)
def test_abbreviations_are_refused_with_what_may_be_meant(flags, meant):
    flag = flags.split()[0].split("=")[0]
    assert refused(*flags.split()) == f"unknown flag {flag}.{meant} --help lists all."


@pytest.mark.parametrize(
    "flags",
    [
        "--random-labels --label-corruption 1",
        "--random-labels --wd 5e-4 --random-crop",
        "--pixels shuffled --augment flip",
        "--optimizer adam --momentum 0",
        "--optimizer rmsprop --momentum 0.9",
        "--early-stopping 3 --random-labels",
    ],
)
def test_unusual_settings_that_make_sense_are_allowed(flags):
    read(*flags.split())


def test_help_shows_the_docstring_and_two_groups(capsys):
    with pytest.raises(SystemExit) as exit:
        read("--help", script="cifar10_inception")
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert DOC.strip() in text
    measured, run = text.split("how it is run (never in the name):")
    measured = measured.split("what is measured (decides the run's name):")[1]
    regime, _ = read(script="cifar10_inception")
    own = "hidden depth width model words word_dropout image_size".split()
    for field in vars(regime):
        if field not in own:
            assert f"--{field.replace('_', '-')}" in measured
            assert f"--{field.replace('_', '-')}" not in run
    options = [field.name for field in dataclasses.fields(Options)]
    for flag in options[3:-2]:  # the last are for images in files
        flag = "--no-resume" if flag == "resume" else f"--{flag.replace('_', '-')}"
        assert flag in run and flag not in measured
    assert not any(flag in text for flag in ("--hidden", "--image-size", "--distrib"))
    assert "default: 0.1 with sgd" in " ".join(measured.split())


# How a script ends


@pytest.mark.parametrize(
    "error, code, line",
    [
        (cli.UsageError("that cannot be."), 2, "script.py: that cannot be."),
        (cli.MendableError("no data: get it."), 1, "script.py: no data: get it."),
        (OSError(28, "No space left on device", "results/x"), 1, "No space left"),
        (KeyboardInterrupt(), 130, "script.py: interrupted."),
        (cli.Interrupted("type it again"), 130, "script.py: type it again"),
    ],
)
def test_exit_codes_and_one_line_on_stderr(monkeypatch, capsys, error, code, line):
    monkeypatch.setattr(sys, "argv", ["/some/where/script.py"])

    def main():
        raise error

    with pytest.raises(SystemExit) as exit:
        cli.run(main)
    assert exit.value.code == code
    output = capsys.readouterr()
    assert not output.out and line in output.err
    assert len(output.err.strip().splitlines()) == 1


def test_success_exits_0_and_defects_keep_their_traceback():
    assert cli.run(lambda: {"a": "record"}) is None
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 / 0)
