"""The settings of influence.py."""

from dataclasses import dataclass

from common import datasets
from common import shared_settings as shared
from common.flag_types import integer, number
from common.settings import setting


@dataclass(frozen=True)
class Influence(shared.Experiment):
    """What influence.py trains: networks on subsets of one set."""

    dataset: str = shared.dataset("mnist")
    train_size: int = shared.train_size(
        5000, "examples, class-balanced", number(int, 10)
    )
    label_corruption: float = shared.label_corruption()
    networks: int = setting(400, "how many are trained", "networks{}", number(int, 10))
    share: float = setting(
        0.7,
        "of the examples that each is trained on",
        "share{}",
        number(float, 0.1, 0.9, metavar="P"),
    )
    width: int = setting(32, "hidden units", "w{}", integer)
    batch_size: int = shared.batch_size(128)
    epochs: int = shared.epochs(60, "upper limit; all labels fitted ends earlier")
    seed: int = shared.seed("images, labels, subsets, weights, order")

    resolve = staticmethod(shared.resolve_random_labels)

    def check_data(self, usual):
        facts = datasets.FACTS[self.dataset]
        n, by_default = self.train_size, self.train_size == usual.train_size
        shared.refuse_more("--train-size", n, facts.train, self.dataset, by_default)
        shared.refuse_few(n, facts.num_classes, self.dataset)
