"""Images per second of the input pipeline alone, turn after turn with Keras's own.

  python benchmarks/imagenet_input.py --images 512 --rounds 5

Generated JPEGs of ImageNet's usual size (500x375, about 90 kB), decoded to batches of
299x299: `keras.utils.image_dataset_from_directory`, which decodes whole images, against
the feed of imagenet_inception_v3.py with the centre crop and with augmentation.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from common.engine import backend  # noqa: E402
from common.image_files import imagenet, streaming  # noqa: E402
from common.regime import Regime  # noqa: E402

BATCH, SIZE = 64, 299


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=512, help=f"at least {BATCH}")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    print(backend.device(), backend.environment()["versions"])
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), args.images)
        contenders = contenders_of(Path(folder))
        rates = {name: [] for name in contenders}
        for turn in range(args.rounds + 1):
            for name, batches in contenders.items():
                rate = images_per_second(batches, args.images)
                if turn:  # the first one warms up
                    rates[name].append(rate)
    theirs = np.array(next(iter(rates.values())))
    for name, values in rates.items():
        ratio = np.median(np.array(values) / theirs)
        low, middle, high = min(values), np.median(values), max(values)
        print(f"{name:40}{middle:6.0f} images/s ({low:.0f}-{high:.0f})  x{ratio:.2f}")


def write(folder, count):
    """Writes photograph-like JPEGs: large shapes and a fine grain."""
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("val", 2)):
        for i in range(number):
            coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            shapes = Image.fromarray(coarse).resize((500, 375), Image.BICUBIC)
            grain = rng.normal(0, 20, (375, 500, 3))
            pixels = np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)
            path = folder / split / f"n{i % 2}" / f"{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=88)
    sizes = [path.stat().st_size for path in folder.glob("train/*/*")]
    print(f"{count} images of {np.mean(sizes) / 1000:.0f} kB")


def contenders_of(folder):
    """{name: endless batches}, Keras's first."""
    theirs = keras.utils.image_dataset_from_directory(
        folder / "train", batch_size=BATCH, image_size=(SIZE, SIZE), verbose=False
    )
    data = imagenet.named("generated", data_dir=folder)
    ours = {}
    for augment in ((), ("crop",), ("crop", "flip", "color")):
        regime = Regime(image_size=SIZE, batch_size=BATCH, augment=augment)
        name = f"ours, {','.join(augment) or 'centre crop'}"
        ours[name] = streaming.Feed(data, regime).batches()
    return {"image_dataset_from_directory": theirs.repeat(), **ours}


def images_per_second(batches, count):
    """The rate over so many images, the first batch (which fills the queue) apart."""
    batches = iter(batches)
    next(batches)
    start, steps = time.perf_counter(), max(count // BATCH, 1)
    for _ in range(steps):
        next(batches)
    return steps * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
