"""Features computed without training: Gabor wavelets, random convolutions."""

import math

import numpy as np
from keras import ops

_PATCHES, _FILTERS = 501, 502  # RNG streams that nothing else uses


def unit(images):
    """Returns pixels / 255 as `(n, height * width * channels)` float32."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


# A standard bank: three scales within a digit's strokes, eight directions, not tuned.
WAVELENGTHS = (4.0, 5.7, 8.0)  # pixels, half an octave apart
ORIENTATIONS = 8
CELL = 4  # pixels; the magnitude is averaged over windows of two cells, one cell apart


def gabor_bank():
    """Returns the bank as `[(even, odd)]`, one pair of stacks for each wavelength.

    A filter is a Gaussian of standard deviation 0.56 wavelengths (one octave at half
    height) times a cosine (even, less its mean, so that a flat image gives 0) or a
    sine (odd), divided by the sum of the Gaussian.

    Returns:
        List of pairs of `(size, size, 1, ORIENTATIONS)` float32, size odd.
    """
    bank = []
    for wavelength in WAVELENGTHS:
        sigma = 0.56 * wavelength
        radius = math.ceil(2.5 * sigma)
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
        envelope /= envelope.sum()
        angles = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
        across = x[..., None] * np.cos(angles) + y[..., None] * np.sin(angles)
        phase, window = 2 * np.pi * across / wavelength, envelope[..., None]
        even = window * (np.cos(phase) - (window * np.cos(phase)).sum((0, 1)))
        bank.append(
            tuple(
                f[:, :, None].astype(np.float32) for f in (even, window * np.sin(phase))
            )
        )
    return bank


def gabor(images):
    """Returns Gabor wavelet magnitudes, pooled.

    Args:
        images: `(n, height, width, channels)` uint8; channels are averaged.

    Returns:
        `(n, d)` float32: for every wavelength and orientation the magnitude of the
        even and odd responses (zeros beyond the border), averaged over windows.
    """
    bank = [tuple(map(ops.convert_to_tensor, pair)) for pair in gabor_bank()]
    parts = []
    for start in range(0, len(images), 500):  # bounds the memory of the responses
        x = images[start : start + 500].mean(-1, keepdims=True, dtype=np.float32) / 255
        maps = []
        for even, odd in bank:
            pair = [ops.conv(x, f, padding="same") for f in (even, odd)]
            size = ops.sqrt(pair[0] ** 2 + pair[1] ** 2)
            maps.append(ops.average_pool(size, 2 * CELL, CELL, padding="valid"))
        features = ops.concatenate(maps, axis=-1)
        parts.append(np.asarray(features).reshape(len(x), -1))
    return np.concatenate(parts)


class RandomConvolution:
    """One convolutional layer of random filters: whitened, rectified, pooled.

    After Coates and Ng (2011) and Recht's RandomPatchCifar of KeystoneML: 6x6 patches
    are normalized (less their mean, over their standard deviation) and ZCA-whitened;
    filters are such patches of training images, of unit length; a response r becomes
    max(0, r - 0.25) and max(0, -r - 0.25), each averaged over the four quadrants,
    which overlap by one pixel where the map is odd. Features have the mean 0 and the
    variance 1 over the training images.

    Args:
        images: `(n, height, width, channels)` uint8, the training images.
        seed: Integer; decides the patches. Filter i does not depend on how many follow.
    """

    size, threshold, epsilon = 6, 0.25, 0.1

    def __init__(self, images, seed):
        self.seed = seed
        patches = self._normalized(self._sample(images, 30_000, _PATCHES))
        self.mean = patches.mean(0, dtype=np.float64)
        covariance = np.cov(patches, rowvar=False, dtype=np.float64)
        values, vectors = np.linalg.eigh(covariance)
        self.whitening = (vectors / np.sqrt(values + self.epsilon)) @ vectors.T
        self._images = images

    def filters(self, first, last):
        """Returns filters and offsets that act on normalized patches.

        Returns:
            `(size^2 channels, last - first)` and `(last - first,)` float64: the
            response of a patch p is p @ filters - offsets.
        """
        # Sampled by the hundred, so that a filter does not depend on how many follow.
        drawn = [
            self._sample(self._images, 100, _FILTERS, i)
            for i in range(first // 100, -(-last // 100))
        ]
        patches = self._normalized(np.concatenate(drawn))
        patches = patches[first % 100 :][: last - first].astype(np.float64)
        directions = (patches - self.mean) @ self.whitening
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        kernels = self.whitening @ directions.T
        return kernels, self.mean @ kernels

    def responses(self, images, filters, offsets):
        """Returns the pooled features of images, before they are standardized.

        Args:
            images: `(n, height, width, channels)` uint8.
            filters, offsets: From `filters`.

        Returns:
            `(n, 8 * filters)` float32.
        """
        count = filters.shape[1]
        # Filters without a mean, so that the patches' own need not be subtracted.
        centred = (filters - filters.mean(0)).astype(np.float32)
        shape = (self.size, self.size, images.shape[-1], count)
        kernel = ops.convert_to_tensor(centred.reshape(shape))
        bias = ops.convert_to_tensor(offsets.astype(np.float32))
        result = np.empty((len(images), 8 * count), np.float32)
        for start in range(0, len(images), 50):  # so that the maps stay in the cache
            x = images[start : start + 50].astype(np.float32) - 128
            x = ops.convert_to_tensor(x)
            r = ops.conv(x, kernel, padding="valid") / self._spread(x) - bias
            for side, sign in enumerate((1, -1)):
                pooled = self._pool(ops.relu(sign * r - self.threshold))
                block = np.asarray(pooled).reshape(len(pooled), -1)
                part = slice(side * 4 * count, (side + 1) * 4 * count)
                result[start : start + 50, part] = block
        return result

    def pair(self, train, test, first, last):
        """Returns the features of filters `first` to `last`, standardized.

        Args:
            train, test: `(n, height, width, channels)` uint8.

        Returns:
            `(n, 8 (last - first))` and `(m, 8 (last - first))` float32, with the mean
            and the variance of the first brought to 0 and 1.
        """
        filters = self.filters(first, last)
        train, test = (self.responses(x, *filters) for x in (train, test))
        mean = train.mean(0, dtype=np.float64).astype(np.float32)
        train -= mean
        test -= mean
        spread = np.sqrt(np.einsum("ij,ij->j", train, train) / len(train))
        spread = np.maximum(spread, 1e-6)  # a filter that never responds
        return train / spread, test / spread

    def _sample(self, images, count, *stream):
        """Random patches, `(count, size^2 channels)` float32, in [0, 255]."""
        rng = np.random.default_rng([self.seed, *stream])
        high = [len(images), *(s - self.size + 1 for s in images.shape[1:3])]
        i, y, x = rng.integers(0, high, size=(count, 3)).T[:, :, None, None]
        step = np.arange(self.size)
        patches = images[i, y + step[:, None], x + step]
        return patches.reshape(count, -1).astype(np.float32)

    def _normalized(self, patches):
        patches = patches - patches.mean(-1, keepdims=True)
        return patches / np.sqrt(patches.var(-1, keepdims=True) + 10)

    def _spread(self, x):
        """Standard deviations of all patches, `(n, rows, columns, 1)` tensor."""
        mean, square = (
            ops.average_pool(ops.mean(a, -1, keepdims=True), self.size, 1)
            for a in (x, x * x)
        )
        return ops.sqrt(ops.maximum(square - mean * mean, 0) + 10)

    def _pool(self, maps):
        half = -(-maps.shape[1] // 2)  # 14 of 27, in steps of 13
        return ops.average_pool(maps, half, maps.shape[1] - half)


def rms_distance(points):
    """Returns the root mean square distance between two points of a set.

    Args:
        points: `(n, d)` float32.
    """
    return math.sqrt(2 * points.var(0, dtype=np.float64).sum())
