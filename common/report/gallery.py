"""The same eight images under every corruption and augmentation, as a picture.

Drawing it imports Keras, through the pipeline; only `report.py --gallery` does.
"""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common import augmentations, corruptions, datasets
from common.regime import PIXELS
from common.report import names
from common.report.style import STYLE, head, save_png

CAPTION = (
    "The same eight training images under every corruption and augmentation, as the "
    "model is fed them: 28x28 pixels, whitened image by image. For the eye, grey is "
    "the image's mean, and black and white are two standard deviations below and above."
)
COUNT = 8


def rows_of(data, index, augment=augmentations.NAMES):
    """Returns dict of name -> whitened images, as a model is fed them.

    Args:
        data: `datasets.Data`, not corrupted.
        index: `(n,)` integers: the training images shown.
        augment: Names of augmentations; those of epoch 0 and seed 0 are drawn.
    """
    from common import pipelines

    rows = {}
    for pixels in PIXELS:
        x = corruptions.corrupt_pixels(data, pixels).x_train[index]
        rows["centre crop" if pixels == "true" else f"{pixels} pixels"] = (
            pipelines.prepare(x)
        )
    for chosen in [(name,) for name in augment] + [tuple(augment)]:
        drawn = augmentations.draw(chosen, len(data.x_train), seed=0, epoch=0)
        drawn = {name: values[index] for name, values in drawn.items()}
        images = augmentations.apply(data.x_train[index], drawn, pipelines.SIZE)
        label = chosen[0] if len(chosen) == 1 else "all together"
        rows[label] = pipelines.whiten(images)
    return rows


def displayable(images):
    """Maps whitened images to [0, 1]: grey is the mean, the ends 2 standard deviations.

    Args:
        images: Array with mean 0 and standard deviation 1 for each image.
    """
    return np.clip(images / 4 + 0.5, 0, 1)


def draw(dataset, data_dir, path):
    """Draws the gallery.

    Args:
        dataset: A name of `datasets.NAMES`.
        data_dir: Where it lies, or None for the usual places.
        path: `Path` of the PNG.

    Raises:
        MendableError: If the data set cannot be had.
    """
    from common import pipelines

    data = datasets.named(dataset, data_dir=data_dir)
    # The first image of each class, so that the eight differ.
    index = np.unique(data.y_train, return_index=True)[1][:COUNT]
    classes = names.CLASSES.get(dataset) or list(range(data.num_classes))
    random = corruptions.corrupt_labels(data.y_train, 1.0, data.num_classes, 0)
    # A random crop needs more than the 28 pixels of MNIST.
    large = data.x_train.shape[1] > pipelines.SIZE
    augment = augmentations.NAMES if large else augmentations.NAMES[1:]
    rows = rows_of(data, index, augment)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 0.66 * len(rows) + 0.55))
        head(figure, names.data({"dataset": dataset}))
        axes = figure.subplots(len(rows), len(index))
        for line, (label, images) in zip(axes, rows.items(), strict=True):
            for axis, image in zip(line, displayable(images), strict=True):
                axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, i in zip(axes[0], index, strict=True):
            title = f"{classes[data.y_train[i]]}\nrandom: {classes[random[i]]}"
            axis.set_title(title, fontsize=6)
        save_png(figure, path)
