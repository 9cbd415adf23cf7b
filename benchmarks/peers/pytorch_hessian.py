"""Hessian products by PyTorch's double backward.

A module of the benchmark: `contender` returns the turns that `bench.py` calls.
`rebuilt` differentiates the gradient anew for each product; `kept` holds the
gradient's graph between products, as PyHessian does.
"""

import torch
from peers import pytorch
from torch.nn import functional

FACTS = {}
TIMED = 2  # products a turn, after one that wakes the threads


def contender(line, data, variant):
    torch.manual_seed(0)
    model = pytorch.BUILD[line.removeprefix("hessian_").replace("mlp", "mlp_1x512")]()
    x = torch.from_numpy(data["x_train"]).permute(0, 3, 1, 2)[..., 2:-2, 2:-2]
    x, y = pytorch.whiten(x), torch.from_numpy(data["y_train"]).long()
    model = model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    vector = [torch.randn_like(p) for p in parameters]

    def gradient():
        loss = functional.cross_entropy(model(x), y)
        return torch.autograd.grad(loss, parameters, create_graph=True)

    kept = gradient() if variant == "kept" else None

    def products():
        for _ in range(TIMED):
            torch.autograd.grad(
                kept or gradient(), parameters, vector, retain_graph=bool(kept)
            )
        return TIMED

    return {"product": products}
