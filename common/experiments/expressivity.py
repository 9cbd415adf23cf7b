"""The settings of expressivity.py, whose parts each have some of them."""

from dataclasses import dataclass

from common import datasets
from common import shared_settings as shared
from common.cli import UsageError
from common.flag_types import integer, number, several
from common.shared_settings import choice

POOL = 10_000  # images whose principal components are taken


@dataclass(frozen=True)
class Expressivity(shared.Experiment):
    """What a part of expressivity.py measures; None where it has no such choice."""

    dataset: str = shared.dataset("mnist")
    sizes: tuple[int, ...] | None = shared.sizes(
        None, "numbers of examples", offered=shared.has_choice
    )
    depths: tuple[int, ...] | None = choice(
        "layers of weights, at the largest", "depths{}", several, **shared.ASCENDING
    )
    widths: tuple[int, ...] | None = choice(
        "hidden units; 0 is the linear one", "w{}", number(int, 0), **shared.ASCENDING
    )
    components: int | None = choice("principal components as inputs", "d{}", integer)
    draws: int | None = choice(
        "labellings for each number; of bound, weights that estimate an error",
        "draws{}",
        several,
    )
    restarts: int | None = choice("initial weights a labelling", "restarts{}", integer)
    epochs: int | None = shared.epochs(
        None,
        "full-batch updates, at most; of bound, epochs of training",
        offered=shared.has_choice,
    )
    updates: int | None = choice(
        "updates that make the bound smaller", "updates{}", number(int, 8)
    )
    seed: int = shared.seed("images, labels, direction, initial weights")

    def check_data(self, usual):
        facts = datasets.FACTS[self.dataset]
        there_are = min(facts.train, POOL) if self.components else facts.train
        most = min(there_are, 28 * 28 * facts.shape[2])  # of the 28x28 centre
        if self.components and self.components > most:
            raise UsageError(
                f"--components {self.components}: {self.dataset} has at most {most}."
            )
        if not self.sizes:
            return
        n, by_default = self.sizes[-1], self.sizes == usual.sizes
        where = self.dataset
        if there_are < facts.train:
            where = f"what principal components are taken of, in {where},"
        shared.refuse_more("--train-size", n, there_are, where, by_default)
        if self.depths and self.depths[-1] > self.sizes[-1] + 1:
            raise UsageError(
                f"{self.sizes[-1]} units do not fill the {self.depths[-1] - 1} hidden "
                f"layers of depth {self.depths[-1]}: choose larger --train-size or "
                "smaller --depths."
            )
