"""A small folder of the ImageNet layout, for tests."""

import numpy as np
from PIL import Image


def write_folder(folder, train=40, val=11, classes=3, side=80):
    """Writes noise images in classes `n0`, `n1` …; names end in every way allowed."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            suffix = ("JPEG", "jpg", "JPG", "png")[i // classes % 4]
            path = folder / split / f"n{i % classes}" / f"{i:03d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((side, side + i % 5)).save(path)
    return folder
