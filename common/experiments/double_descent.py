"""The settings of double_descent.py."""

from dataclasses import dataclass

from common import datasets
from common import shared_settings as shared
from common.flag_types import integer, several
from common.settings import setting


@dataclass(frozen=True)
class DoubleDescent(shared.Experiment):
    """What double_descent.py trains: networks of every width, noise and seed."""

    dataset: str = shared.dataset("mnist")
    train_size: int = shared.train_size(
        4000, "training images, class-balanced", several
    )
    noise: tuple[float, ...] = shared.noise(f"{shared.REPLACED}; several are compared")
    widths: tuple[int, ...] = setting(
        (4, 10, 20, 35, 45, 55, 80, 200, 1000),
        "hidden units",
        "w{}",
        integer,
        **shared.ASCENDING,
    )
    batch_size: int = shared.batch_size(128)
    epochs: int = shared.epochs(200)
    seeds: int = shared.seeds(1)
    seed: int = shared.seed("the first one's: images, labels, weights, order")

    def check(self, given):
        super().check(given)
        shared.refuse_last_seed(self)

    def check_data(self, usual):
        facts = datasets.FACTS[self.dataset]
        n, by_default = self.train_size, self.train_size == usual.train_size
        shared.refuse_more("--train-size", n, facts.train, self.dataset, by_default)
        if self.batch_size != usual.batch_size:
            shared.refuse_more("--batch-size", self.batch_size, n, "the run")
        shared.refuse_few(n, facts.num_classes, self.dataset)
