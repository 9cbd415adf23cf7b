"""The same networks and pipeline in PyTorch, arrays in memory, channels_last.

A module of the benchmark: `contender` returns the turns that `bench.py` calls. The
variants are `float32`, `bfloat16` (autocast, float32 weights) and `compiled`
(torch.compile; under autocast where the CPU computes bfloat16).
"""

import torch
from torch import nn
from torch.nn import functional

BATCH = 128
FACTS = {"precision": "float32"}


def mlp(*hidden):
    sizes = 28 * 28 * 3, *hidden
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    stack = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *stack, nn.Linear(sizes[-1], 10))


def alexnet():
    def module(channels):
        return (
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.ReLU(),
            # A ragged last window is TensorFlow's SAME padding for 28 and for 14.
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0),
        )

    return nn.Sequential(
        *module(3),
        *module(64),
        nn.Flatten(),
        *(nn.Linear(64 * 7 * 7, 384), nn.ReLU()),
        *(nn.Linear(384, 192), nn.ReLU()),
        nn.Linear(192, 10),
    )


class Branches(nn.ModuleList):
    def forward(self, x):
        return torch.cat([branch(x) for branch in self], 1)


def conv_module(channels, filters, size, stride=1):
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


def inception():
    stack, channels = [conv_module(3, 96, 3)], 96
    for filters in (
        *((32, 32), (32, 48), 80),
        *((112, 48), (96, 64), (80, 80), (48, 96), 96),
        *((176, 160), (176, 160)),
    ):
        if isinstance(filters, tuple):
            sizes = zip(filters, (1, 3), strict=True)
            branches = [conv_module(channels, n, size) for n, size in sizes]
            channels = sum(filters)
        else:
            branches = [conv_module(channels, filters, 3, 2), nn.MaxPool2d(3, 2, 1)]
            channels += filters
        stack.append(Branches(branches))
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*stack, *pooled, nn.Linear(channels, 10))


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.before, self.between = nn.BatchNorm2d(channels), nn.BatchNorm2d(filters)
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.shortcut = None
        if channels != filters:
            self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False)

    def forward(self, x):
        y = self.before(x).relu()
        x = self.shortcut(y) if self.shortcut else x
        return x + self.second(self.between(self.first(y)).relu())


def wide_resnet(depth=28):
    stack, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range((depth - 4) // 6):
            stack.append(Block(channels, filters, stride if i == 0 else 1))
            channels = filters
    stack += [nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*stack, nn.Linear(64, 10))


class Text(nn.Module):
    """What the networks for text share: vectors of words, the mean over a review."""

    def __init__(self, outputs):
        super().__init__()
        self.words = nn.Embedding(10_000, 32, padding_idx=0)
        self.logits = nn.Linear(outputs, 2)

    def mean(self, x, mask):
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class TextCNN(Text):
    def __init__(self):
        super().__init__(128)
        self.convolution = nn.Conv1d(32, 128, 5, padding=2)

    def forward(self, tokens):
        x = self.convolution(self.words(tokens).transpose(1, 2)).relu()
        return self.logits(x.amax(2))


class TextLSTM(Text):
    def __init__(self):
        super().__init__(64)
        self.lstm = nn.LSTM(32, 64, batch_first=True)

    def forward(self, tokens):
        x, _ = self.lstm(self.words(tokens))
        return self.logits(self.mean(x, tokens != 0))


class TextTransformer(Text):
    def __init__(self):
        super().__init__(32)
        self.places = nn.Parameter(torch.rand(128, 32) / 10)
        self.block = nn.TransformerEncoderLayer(
            32, 2, 128, dropout=0.0, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(32)

    def forward(self, tokens):
        padding = tokens == 0
        x = self.words(tokens) + self.places
        x = self.norm(self.block(x, src_key_padding_mask=padding))
        return self.logits(self.mean(x, ~padding))


BUILD = {
    "mlp_1x512": lambda: mlp(512),
    "mlp_3x512": lambda: mlp(512, 512, 512),
    "alexnet": alexnet,
    "alexnet_crop_flip": alexnet,
    "inception": inception,
    "wide_resnet": wide_resnet,
    "text_cnn": TextCNN,
    "text_lstm": TextLSTM,
    "text_transformer": TextTransformer,
}


def whiten(x):
    x = x.float() / 255
    mean, std = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
    x = (x - mean) / std.clamp(min=x[0].numel() ** -0.5)
    return x.contiguous(memory_format=torch.channels_last)


def crop_and_flip(x):
    """Random windows of 28x28 pixels of a batch, mirrored at random."""
    places, flips = torch.randint(0, 5, (len(x), 2)).tolist(), torch.rand(len(x)) < 0.5
    pairs = zip(x, places, strict=True)
    x = torch.stack([image[:, a : a + 28, b : b + 28] for image, (a, b) in pairs])
    return torch.where(flips[:, None, None, None], x.flip(3), x)


def contender(line, data, variant):
    model, text, flip = BUILD[line](), line.startswith("text"), line.endswith("flip")
    x, x_test = (torch.from_numpy(data[name]) for name in ("x_train", "x_test"))
    y, y_test = (torch.from_numpy(data[name]).long() for name in ("y_train", "y_test"))
    if text:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    else:
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x, x_test = x.permute(0, 3, 1, 2), x_test.permute(0, 3, 1, 2)
        x_test = whiten(x_test[..., 2:-2, 2:-2])
        x = x if flip else whiten(x[..., 2:-2, 2:-2])
    network = torch.compile(model) if variant == "compiled" else model
    low = variant == "bfloat16" or (variant == "compiled" and data["bfloat16"])

    FACTS["precision"] = "bfloat16" if low else "float32"

    def logits(batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(low)):
            return network(batch)

    def trains():
        model.train()
        loss_sum, right = 0.0, 0
        for index in torch.randperm(len(x)).split(BATCH):
            batch = whiten(crop_and_flip(x[index])) if flip else x[index]
            optimizer.zero_grad(set_to_none=True)
            outputs = logits(batch).float()
            loss = functional.cross_entropy(outputs, y[index])
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(index)
            right += (outputs.argmax(1) == y[index]).sum().item()
        return len(x)

    @torch.no_grad()
    def measures():
        model.eval()
        loss, right = 0.0, 0
        for batch, labels in zip(x_test.split(500), y_test.split(500), strict=True):
            outputs = logits(batch).float()
            loss += functional.cross_entropy(outputs, labels, reduction="sum").item()
            right += (outputs.argmax(1) == labels).sum().item()
        return len(x_test)

    return {"train": trains, "measure": measures}
