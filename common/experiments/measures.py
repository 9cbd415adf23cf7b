"""The settings of measures.py."""

from dataclasses import dataclass

from common import datasets
from common import shared_settings as shared
from common.flag_types import integer
from common.settings import setting


@dataclass(frozen=True)
class Measures(shared.Experiment):
    """What measures.py trains and measures: a network of every combination."""

    dataset: str = shared.dataset("mnist")
    sizes: tuple[int, ...] = shared.sizes((256, 1024))
    widths: tuple[int, ...] = setting(
        (32,), "units of each hidden layer", "w{}", integer, **shared.ASCENDING
    )
    depths: tuple[int, ...] = setting(
        (1, 2), "hidden layers", "depths{}", integer, **shared.ASCENDING
    )
    batches: tuple[int, ...] = shared.batch_size(
        (128,), names=("--batch-size",), **shared.ASCENDING
    )
    noise: tuple[float, ...] = shared.noise()
    epochs: int = shared.epochs(600)
    seeds: int = shared.seeds(3)
    seed: int = shared.seed("the first one's: images, labels, weights, order")

    def check(self, given):
        super().check(given)
        shared.refuse_last_seed(self)

    def check_data(self, usual):
        facts = datasets.FACTS[self.dataset]
        n, by_default = self.sizes[-1], self.sizes == usual.sizes
        shared.refuse_more("--train-size", n, facts.train, self.dataset, by_default)
        shared.refuse_few(self.sizes[0], facts.num_classes, self.dataset)
