"""What cannot fit in memory is refused with what fits, before anything is built."""

import re
from dataclasses import fields, replace

import pytest

from common import cli, command_line, memory, regime, settings
from common.engine import machine

ASKED = [  # script and part, flags, and the flag that asks for too much
    ("cifar10_mlp", "--hidden 1000000000", "--hidden"),
    ("cifar10_mlp", "--hidden 512 2000000 --batch-size 8", "--hidden"),
    ("cifar10_wide_resnet", "--width 1000000 --depth 10", "--width"),
    ("cifar10_wide_resnet", "--depth 6000004 --width 2", "--depth"),
    ("cifar10_inception", "--batch-size 50000", "--batch-size"),
    ("cifar10_alexnet", "--batch-size 49999 --wd 1", "--batch-size"),
    ("imagenet_inception_v3", "--image-size 100000000", "--image-size"),
    ("imagenet_inception_v3", "--batch-size 1000000", "--batch-size"),
    ("mnist_l2norm", "--seeds 1000000000", "--seeds"),
    ("mnist_l2norm", "--train-size 60000 --seeds 12", "--train-size"),
    ("expressivity rademacher", "--draws 1000000000", "--draws"),
    ("expressivity rademacher", "--restarts 1000000000", "--restarts"),
    ("expressivity memorize", "--widths 0 1000000000", "--widths"),
    ("expressivity memorize", "--draws 1000000000", "--draws"),
    ("double_descent", "--widths 1000000000", "--widths"),
    ("double_descent", "--seeds 1000000000", "--seeds"),
    ("measures", "--widths 1000000000", "--widths"),
    ("measures", "--seeds 1000000000", "--seeds"),
    ("influence", "--width 1000000000", "--width"),
    ("influence", "--networks 1000000000", "--networks"),
    ("expressivity bound", "--widths 1000000000", "--widths"),
]


@pytest.fixture
def free(monkeypatch):
    """A function that sets the memory that is free, in bytes; no swap, no GPU."""
    monkeypatch.setattr(machine, "free_swap", lambda: 0)
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def set_(size):
        monkeypatch.setattr(machine, "available_memory", lambda: size)

    return set_


def ask(key, flags):
    script, _, part = key.partition(" ")
    ours = command_line.read(script, [*filter(None, [part]), *flags.split()])[part][0]
    return script, ours, regime.DEFAULTS[key]


@pytest.mark.parametrize(("key", "flags", "flag"), ASKED)
def test_what_asks_for_too_much_is_named_with_what_fits(free, key, flags, flag):
    free(4e9)
    script, ours, usual = ask(key, flags)
    with pytest.raises(cli.UsageError, match=rf"^{flag} \d.* of memory or") as told:
        memory.check(script, ours, usual)
    fits = int(re.search(r"at most (\d+) may fit", str(told.value))[1])
    (field,) = (x.name for x in fields(ours) if settings.spelling(x) == flag)
    value = getattr(ours, field)

    def with_at_most(most):
        many = isinstance(value, tuple)
        capped = tuple(min(x, most) for x in value) if many else most
        return memory.least(script, replace(ours, **{field: capped}))

    assert with_at_most(fits) <= 4e9
    larger = fits + 6 if flag == "--depth" else fits + 1  # blocks have six
    assert with_at_most(larger) > 4e9


@pytest.mark.parametrize("key", regime.DEFAULTS)
def test_what_a_script_does_without_flags_is_never_refused(free, key):
    free(1)
    memory.check(*ask(key, ""))


@pytest.mark.parametrize(
    ("key", "flags", "weights"),
    [  # the papers' counts
        ("cifar10_mlp", "", 1_209_866),
        ("cifar10_mlp", "--hidden 512 512 512", 1_735_178),
        ("cifar10_wide_resnet", "", 369_498),
        ("cifar10_wide_resnet", "--width 10", 36_479_194),
        ("cifar10_wide_resnet", "--depth 40 --width 4", 8_949_210),
    ],
)
def test_weights_are_counted_from_below(key, flags, weights):
    script, ours, _ = ask(key, flags)
    assert 0.97 * weights <= memory.least(script, ours, processes=0) / 4 <= weights
    adam = replace(ours, optimizer="adam", momentum=0.0)
    more = memory.least(script, adam) - memory.least(script, ours)
    assert more == memory.least(script, ours, processes=0)  # one copy


def test_an_accelerator_has_memory_of_its_own(free, monkeypatch):
    asked = ask("cifar10_inception", "--batch-size 50000")
    free(4e9)
    monkeypatch.setattr(machine, "gpus", lambda: [("H100", 9.0)])
    memory.check(*asked)
    asked = ask("cifar10_mlp", "--hidden 1000000000")
    with pytest.raises(cli.UsageError, match="--hidden"):
        memory.check(*asked)  # weights are saved from here


def test_a_complete_record_is_told_on_any_machine(free, tmp_path):
    free(4e9)
    flags = ["--hidden", "1000000000", "--results-dir", str(tmp_path)]
    with pytest.raises(cli.UsageError, match="--hidden"):
        command_line.parse("", "cifar10_mlp.py", flags)
    (tmp_path / "cifar10_mlp_hidden1000000000_seed0.json").touch()
    command_line.parse("", "cifar10_mlp.py", flags)
    with pytest.raises(cli.UsageError, match="--hidden"):
        command_line.parse("", "cifar10_mlp.py", [*flags, "--overwrite"])
