"""Hessian-vector products: this project against PyTorch double backward.

    python benchmarks/hessian_product.py
    python benchmarks/hessian_product.py --model alexnet --examples 250 --rounds 3

The same networks, weights, data and vector in both. Every round times each way in a
new order, so that a busy moment hits all of them: one product that wakes its threads,
then two that count, as products come in long rows (Lanczos). The ratio is the median
over rounds of the ratio within a round. PyTorch's "rebuilt" differentiates the gradient
anew for each product; "kept" holds the gradient's graph between products, as
PyHessian does. Its AlexNet is channels-last and comes twice: with its own
`torch.nn.LocalResponseNorm`, and with our product with a banded matrix in its place.
PyTorch is no requirement of the project: `pip install torch` in an environment of its
own that has this project's requirements too.
"""

import argparse
import importlib.util
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras  # noqa: E402
import numpy as np  # noqa: E402

from common.analysis import hessian  # noqa: E402
from common.models import alexnet, mlp  # noqa: E402

BUILDERS = {"mlp": mlp.mlp, "alexnet": alexnet.small_alexnet}
SHAPE, CLASSES = (28, 28, 3), 10
TIMED = 2  # products a turn
KINDS = {"mlp": ("",), "alexnet": ("", ", our LRN")}


def torch_mlp(torch, banded):
    nn = torch.nn
    return nn.Sequential(
        nn.Flatten(), nn.Linear(2352, 512), nn.ReLU(), nn.Linear(512, CLASSES)
    )


def torch_alexnet(torch, banded):
    nn = torch.nn

    class BandedNorm(nn.Module):
        def __init__(self):
            super().__init__()
            channel = torch.arange(64)
            near = (channel[:, None] - channel[None]).abs() <= 4
            self.near = 0.001 / 9 * near[:, :, None, None]

        def forward(self, x):
            root = torch.rsqrt(1 + nn.functional.conv2d(x * x, self.near))
            return x * (root * torch.sqrt(root))

    def module(filters):
        # A ragged last window is TensorFlow's SAME padding for 28 and for 14.
        return [
            nn.Conv2d(filters, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            BandedNorm() if banded else nn.LocalResponseNorm(9, 0.001, 0.75, 1.0),
        ]

    return nn.Sequential(
        *module(3),
        *module(64),
        nn.Flatten(),
        nn.Linear(3136, 384),
        nn.ReLU(),
        nn.Linear(384, 192),
        nn.ReLU(),
        nn.Linear(192, CLASSES),
    )


TORCH_BUILDERS = {"mlp": torch_mlp, "alexnet": torch_alexnet}


def to_torch(array, flattened):
    """Keras's layout of a weight, or of a weight-shaped vector, to PyTorch's."""
    if array.ndim == 4:  # height, width, in, out
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 2 and flattened:  # its inputs are (7, 7, 64) maps, flattened
        array = array.reshape(*flattened, -1).transpose(2, 0, 1, 3)
        return array.reshape(-1, array.shape[-1]).T
    return array.T


class TorchProduct:
    """The product by PyTorch: same data, weights and vector."""

    def __init__(self, torch, name, weights, x, y, vector, banded):
        self.torch = torch
        sizes = np.cumsum([w.size for w in weights])[:-1]
        parts = np.split(vector, sizes)
        # An MLP's pixels are flattened channels first, as PyTorch would.
        maps = {"mlp": (28, 28, 3), "alexnet": (7, 7, 64)}[name]
        flattened = [maps if w.shape[0] == np.prod(maps) else None for w in weights]
        self.model = TORCH_BUILDERS[name](torch, banded)
        self.parameters = list(self.model.parameters())
        self.vector = []
        for parameter, weight, part, flat in zip(
            self.parameters, weights, parts, flattened, strict=True
        ):
            parameter.data = self._tensor(to_torch(weight, flat))
            self.vector.append(self._tensor(to_torch(part.reshape(weight.shape), flat)))
        images = self._tensor(x.transpose(0, 3, 1, 2))
        if name == "alexnet":
            self.model = self.model.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        self.data, self.gradient = (images, torch.tensor(y)), None

    def _tensor(self, array):
        return self.torch.tensor(np.ascontiguousarray(array))

    def _build(self):
        x, y = self.data
        loss = self.torch.nn.functional.cross_entropy(self.model(x), y)
        return self.torch.autograd.grad(loss, self.parameters, create_graph=True)

    def _product(self, gradient, keep):
        return self.torch.autograd.grad(
            gradient, self.parameters, self.vector, retain_graph=keep
        )

    def rebuilt(self):
        return self._product(self._build(), False)

    def kept(self):
        self.gradient = self.gradient or self._build()
        return self._product(self.gradient, True)

    def norm(self):
        """Norm of the product, the same in both layouts."""
        return float(sum((g.double() ** 2).sum() for g in self.rebuilt()) ** 0.5)


def measure(ways, rounds):
    """Wall and CPU seconds a product, `{way: (rounds, 2)}`."""
    seconds = {way: [] for way in ways}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for way in rng.permutation(list(ways)):
            time.sleep(0.05)  # let the other library's threads go to sleep
            ways[way]()
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(TIMED):
                ways[way]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            seconds[way].append((wall / TIMED, cpu / TIMED))
    return {way: np.array(pairs) for way, pairs in seconds.items()}


def compare(name, examples, rounds):
    """Times one network and prints its lines."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = BUILDERS[name](SHAPE, CLASSES)
    x = rng.standard_normal((examples, *SHAPE)).astype("float32")
    y = rng.integers(0, CLASSES, examples)
    operator = hessian.Hessian(model, x, y)
    vector = rng.standard_normal(operator.shape[0]).astype("float32")
    ways = {"ours": lambda: operator @ vector}
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: timing ours alone (see --help).")
    else:
        import torch

        arguments = torch, name, model.get_weights(), x, y, vector
        ours = float(np.linalg.norm(operator @ vector))
        for kind in KINDS[name]:
            theirs = TorchProduct(*arguments, banded=kind == ", our LRN")
            if abs(theirs.norm() / ours - 1) > 1e-3:
                raise RuntimeError(f"{name}: {theirs.norm()} in PyTorch, {ours} here")
            ways[f"PyTorch{kind}, rebuilt"] = theirs.rebuilt
            ways[f"PyTorch{kind}, kept"] = theirs.kept
    seconds = measure(ways, rounds)
    for way, pairs in seconds.items():
        wall, cpu = 1e3 * np.median(pairs, axis=0)
        ratio = np.median(pairs / seconds["ours"], axis=0)
        print(
            f"{name:8} n={examples} {way:26} {wall:8.1f} ms wall {cpu:8.1f} ms CPU"
            f"   {ratio[0]:5.2f} x ours (wall) {ratio[1]:5.2f} x (CPU)",
            flush=True,
        )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--model", choices=BUILDERS, help="one network (default: both)")
    parser.add_argument("--examples", type=int, help="default: 2000 MLP, 1000 AlexNet")
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    options = parser.parse_args(argv)
    for name, examples in {"mlp": 2000, "alexnet": 1000}.items():
        if options.model in (None, name):
            compare(name, options.examples or examples, options.rounds)


if __name__ == "__main__":
    main()
