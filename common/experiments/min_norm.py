"""The settings of min_norm.py, and the defaults that follow from others."""

from dataclasses import dataclass

from common import datasets
from common import shared_settings as shared
from common.cli import UsageError
from common.flag_types import distinct, integer, number, positive, probability
from common.settings import setting
from common.shared_settings import in_few_digits

# The companion script's for raw MNIST; the others are the best of a path on training
# images held out.
MNIST_BANDWIDTH, BANDWIDTHS = 0.02, {"raw": 0.01, "gabor": 4.0}
FILTERS = (8192, 16384, 32000)  # the paper's, and what leads there
RANDOM_FEATURES = ("fourier", "relu")  # as many as one asks for
# Their numbers over that of the images: those of Belkin et al. (2019), and two more.
NUM_FEATURES = (0.02, 0.1, 0.3, 0.6, 0.9, 1, 1.1, 1.4, 2, 4, 6)
RANDOM_FEATURES_SIZE, LEFT_OUT_SIZE = 10_000, 5_000  # images, where not told
LEVELS = (0.0, 0.2, 1.0)  # of label corruption, that one factor solves


def _usual_size(now):
    """How many images there are where that was not told; None is all."""
    if now["features"] in RANDOM_FEATURES:
        size = RANDOM_FEATURES_SIZE
    elif now["leave_one_out"]:
        size = LEFT_OUT_SIZE
    else:
        return 100 if now["sgd"] else None
    facts = datasets.FACTS.get(now["dataset"])
    return min(size, facts.train) if facts else size


def _usual_bandwidth(features, kernel, dataset):
    """None where no function is a Gaussian one."""
    gaussian = kernel == "gaussian" and features != "random_conv"
    if not (gaussian or features == "fourier"):
        return None
    if features in ("raw", "fourier") and "mnist" in dataset:
        return MNIST_BANDWIDTH
    return BANDWIDTHS.get(features, BANDWIDTHS["raw"])


@dataclass(frozen=True)
class MinNorm(shared.Experiment):
    """What min_norm.py solves.

    A path (`bandwidth`, `filters`) is `(None,)` where the kernel has no such parameter.
    """

    sgd: bool = setting(
        False,
        "on pixels: distance of SGD to the closed form, from zero and elsewhere",
        "sgd",
        **shared.SWITCH,
    )
    dataset: str = shared.dataset("mnist", always=True)
    train_size: int | None = shared.train_size(
        None,
        "the first N of a seeded, class-balanced subset",
        integer,
        shown="all; 100 with --sgd, 10000 with fourier and relu, 5000 with "
        "--leave-one-out",
    )
    features: str = setting(
        "raw",
        "pixels / 255, Gabor wavelets, a layer of random convolutions, or random "
        "features: pairs cos(v x), sin(v x), or max(0, v x)",
        choices=("raw", "gabor", "random_conv", *RANDOM_FEATURES),
    )
    kernel: str = setting(
        "gaussian",
        "kernel on the features",
        choices=("gaussian", "linear"),
        shown="gaussian; linear with random features",
    )
    label_corruption: float = shared.label_corruption(part=in_few_digits("labels"))
    label_noise: str = setting(
        "uniform", "as in the training scripts", choices=shared.LABEL_NOISE
    )
    bandwidth: tuple[float | None, ...] = setting(
        (MNIST_BANDWIDTH,),
        "bandwidth of the Gaussian kernel; several make a path",
        in_few_digits("bandwidth"),
        positive,
        then=distinct,
        nargs="+",
        shown="0.02 for raw MNIST, else 0.01; 4 for gabor",
    )
    filters: tuple[int | None, ...] = setting(
        (None,),
        "random filters; several make a path",
        in_few_digits("filters"),
        number(int, 1, 10**7),  # ten times that takes months, whatever the machine
        **shared.ASCENDING,
        shown=" ".join(map(str, FILTERS)),
    )
    num_features: tuple[int, ...] | None = setting(
        None,
        "of fourier and relu: numbers of features",
        in_few_digits("features"),
        number(int, 1, 10**7),
        **shared.ASCENDING,
        shown="a fiftieth of the images, and more, to six times as many",
    )
    draws: int | None = setting(
        None,
        "of fourier and relu: draws of the features; the first alone goes beyond "
        "one and a half times as many as images",
        "draws{}",
        integer,
        shown="3",
    )
    levels: tuple[float, ...] | None = setting(
        None,
        "of fourier, relu and --leave-one-out: levels of label corruption, all solved "
        "at once",
        in_few_digits("labels"),
        probability,
        **shared.ASCENDING,
        shown=" ".join(f"{p:g}" for p in LEVELS),
    )
    leave_one_out: bool | None = setting(
        None,
        "what is predicted for each training image without it: its memorization "
        "score, in closed form",
        "leave_one_out",
        **shared.SWITCH,
    )
    ridge: tuple[float, ...] = setting(
        (0.0,),
        "solve (K + L I) alpha = Y; several make a path",
        in_few_digits("ridge"),
        number(float, 0, 1e9, metavar="L"),
        **shared.ASCENDING,
    )
    held_out: int | None = setting(
        None,
        "measure on N other training images, to choose settings, not on the test set",
        "heldout{}",
        integer,
        shown="off",
    )
    data_seed: int = shared.data_seed()
    seed: int = shared.seed("filters; order and start of SGD")

    resolve = staticmethod(shared.resolve_random_labels)

    def follow(self, given):
        now = vars(self) | given
        features, drawn = now["features"], now["features"] in RANDOM_FEATURES
        convolutions = features == "random_conv"
        kernel = "linear" if convolutions or drawn or now["sgd"] else "gaussian"
        bandwidth = _usual_bandwidth(
            features, given.get("kernel", kernel), now["dataset"]
        )
        size = _usual_size(now)
        n = given.get("train_size", size)
        numbers = {max(1, round(share * n)) for share in NUM_FEATURES} if drawn else ()
        return {
            "train_size": size,
            "kernel": kernel,
            "bandwidth": (bandwidth,),
            "filters": FILTERS if convolutions else (None,),
            "num_features": tuple(sorted(numbers)) or None,
            "draws": 3 if drawn else None,
            "levels": LEVELS if drawn or now["leave_one_out"] else None,
        }

    def check(self, given):
        super().check(given)
        self.check_labels()
        self.check_features(given)
        if self.leave_one_out:
            self.check_leave_one_out()
        path = {"bandwidth", "kernel", "held_out"} & given.keys() or any(self.ridge)
        if self.sgd and (self.features != "raw" or path):
            raise UsageError(
                "--sgd is about the linear model of pixels, without a path."
            )
        fourier = self.features == "fourier"
        if "bandwidth" in given and self.kernel == "linear" and not fourier:
            raise UsageError("--bandwidth belongs to the Gaussian kernel.")
        drawn = self.sgd or self.features in ("random_conv", *RANDOM_FEATURES)
        if self.seed and not drawn:
            raise UsageError(
                f"--seed {self.seed} has no meaning here: it draws random features, "
                "and order and start of SGD. Images and corruption are --data-seed's."
            )

    def check_labels(self):
        """Refuses two ways to corrupt labels, and seeds where nothing is drawn."""
        if not any(self.levels or ()):
            shared.refuse_what_draws_nothing(self, self.train_size or self.held_out)
        if self.levels and self.label_corruption:
            raise UsageError(
                "label corruption is a path here, solved at once: in place of "
                f"--label-corruption say --levels {self.label_corruption:g}."
            )

    def check_features(self, given):
        """Refuses what the features have not."""
        drawn, random = self.features in RANDOM_FEATURES, self.features == "random_conv"
        if (random or drawn) and self.kernel == "gaussian":
            raise UsageError(f"--features {self.features} has the linear kernel only.")
        if "filters" in given and not random:
            raise UsageError("--filters belongs to --features random_conv.")
        for flag in ("num_features", "draws"):
            if flag in given and not drawn:
                raise UsageError(
                    f"--{flag.replace('_', '-')} belongs to --features fourier or relu."
                )
        if "levels" in given and not (drawn or self.leave_one_out):
            raise UsageError(
                "--levels belongs to --features fourier or relu, and --leave-one-out."
            )
        if drawn and any(self.ridge):
            raise UsageError(
                f"--ridge is not for --features {self.features}: the norm itself is "
                "what is measured."
            )

    def check_leave_one_out(self):
        """Refuses what is no interpolator of one Gaussian kernel."""
        if self.kernel == "linear" or len(self.bandwidth) > 1:
            raise UsageError(
                "--leave-one-out is about the Gaussian kernel of one bandwidth, on "
                "pixels or Gabor wavelets."
            )
        if any(self.ridge) or self.sgd or self.held_out:
            raise UsageError(
                "--leave-one-out takes no --ridge, --sgd or --held-out: it is about "
                "the interpolator."
            )

    def check_data(self, usual):
        facts = datasets.FACTS[self.dataset]
        n = self.train_size
        shared.refuse_more("--train-size", n, facts.train, self.dataset)
        if self.levels:
            shared.refuse_few(n, facts.num_classes, self.dataset)
        if self.held_out and (n or 1) + self.held_out > facts.train:
            raise UsageError(
                f"--held-out {self.held_out}: {self.dataset} has {facts.train} "
                f"training images, and {n or 'some'} are fitted. Choose a smaller "
                "--held-out or --train-size."
            )
