"""The settings of mnist_l2norm.py."""

import argparse
from dataclasses import dataclass
from typing import Literal

from common import datasets
from common import shared_settings as shared
from common.cli import UsageError
from common.flag_types import positive, several
from common.settings import setting

_SIZE = {"type": several, "metavar": "N"}
SIZES_AS_RANGE = (
    (
        "--max-size",
        "in place of --train-size: 128, 256, 512 ... up to N (default: 1024)",
        _SIZE,
    ),
    ("--step", "in its place: N, 2 N ... up to --max-size", _SIZE),
)


@dataclass(frozen=True)
class L2Norm(shared.Experiment):
    """What mnist_l2norm.py measures: networks of every size, label and seed.

    Fields keep the names that records have: `opt`, `max_epochs` and `sizes` are the
    flags `--optimizer`, `--epochs` and `--train-size`.
    """

    dataset: str = shared.dataset("mnist")
    label_noise: str = setting(
        "uniform",
        "uniform: any class, maybe the true one; exclusive: a wrong one",
        choices=("uniform", "exclusive"),
    )
    inputs: str = setting(
        "unit", "pixels / 255, or per image", choices=("unit", "whitened")
    )
    opt: str = shared.optimizer("adam")
    batch_size: int = shared.batch_size(128)
    max_epochs: int = shared.epochs(6000)
    target_loss: float = setting(
        1e-5,
        "training loss, in nats",
        shared.in_few_digits("loss"),
        positive,
        shown="1e-05",
    )
    seed: int = shared.seed("the first replica's", always=False)
    seeds: int = shared.seeds(10, "replicas of each kind")
    labels: tuple[Literal["true", "random"], ...] = setting(
        ("true", "random"),
        "only random labels, or only true ones",
        names=("--random-labels",),
        then=lambda random: ("random",) if random else ("true",),
        shown="both",
        action=argparse.BooleanOptionalAction,
    )
    sizes: tuple[int, ...] = shared.sizes((128, 256, 512, 1024), also=SIZES_AS_RANGE)

    @staticmethod
    def resolve(given):
        largest, step = given.pop("max_size", None), given.pop("step", None)
        if not (largest or step):
            return
        if "sizes" in given:
            flag = "--step" if step else "--max-size"
            raise UsageError(
                f"{flag} stands in place of --train-size: leave one of the two out."
            )
        largest = largest or 1024
        # Before a range of billions fills the memory.
        shared.refuse_more("--max-size", largest, 10**6, "the largest data set")
        doubled = [128 * 2**i for i in range(20) if 128 * 2**i <= largest]
        given["sizes"] = range(step, largest + 1, step) if step else doubled
        if not given["sizes"]:
            raise UsageError(
                f"no size is left up to {largest}: choose a larger --max-size or a "
                "smaller --step."
            )

    def check(self, given):
        super().check(given)
        if self.label_noise != "uniform" and self.labels == ("true",):
            raise UsageError(
                f"--label-noise {self.label_noise} has no meaning with "
                "--no-random-labels: no label is replaced."
            )
        shared.refuse_last_seed(self)

    def check_data(self, usual):
        largest, by_default = self.sizes[-1], self.sizes == usual.sizes
        there_are = datasets.FACTS[self.dataset].train
        shared.refuse_more("--train-size", largest, there_are, self.dataset, by_default)
        if self.batch_size != usual.batch_size:
            shared.refuse_more(
                "--batch-size", self.batch_size, largest, "the largest size"
            )
