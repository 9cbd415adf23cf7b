"""Multilayer perceptrons on CIFAR-10: true labels, random labels and between.

  python cifar10_mlp.py --dataset synthetic --epochs 5      # tiny: seconds
  python cifar10_mlp.py                                     # the paper's row 18
  python cifar10_mlp.py --random-labels                     # row 19: pure noise
  python cifar10_mlp.py --hidden 512 512 512 --wd 1e-4      # row 14

Zhang et al. (2017), Table 1, rows 14-19. Writes results/NAME.csv (a line an
epoch), results/NAME.json and saved_models/NAME.h5. Type it again to continue an
interrupted run.
"""

from common import cli, corruptions, datasets, pipelines, training
from common.models.mlp import mlp
from common.regime import parse


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if record := training.finished(options):
        return record
    data = datasets.load(
        regime.dataset, regime.train_size, regime.data_seed, options.data_dir
    )
    data = corruptions.corrupt(
        data,
        regime.label_corruption,
        regime.label_noise,
        regime.pixels,
        regime.data_seed,
    )
    feed = pipelines.Feed(
        data, regime.batch_size, regime.augment, regime.seed, regime.early_stopping
    )

    def build():
        return mlp(
            feed.input_shape,
            feed.num_classes,
            regime.hidden,
            regime.wd,
            regime.dropout,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
