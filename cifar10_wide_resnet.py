"""Wide ResNet on CIFAR-10: true labels, random labels and everything between.

  python cifar10_wide_resnet.py --dataset synthetic --depth 10 --epochs 2    # tiny
  python cifar10_wide_resnet.py                                 # WRN-28-1
  python cifar10_wide_resnet.py --random-labels                 # pure noise
  python cifar10_wide_resnet.py --depth 16 --width 4 --random-crop --wd 5e-4

Results, accuracy after the last epoch (1 seed; AMD EPYC, 1 core, bfloat16):

                                     train %  test %  fitted at epoch  minutes
  --train-size 5000                   100.00   56.59               22        9
  --train-size 5000 --random-labels   100.00    9.50               25       10

On all 50,000 images there is no record yet.

Not a network of Zhang et al. (2017), but one that later studies of their experiment
use (Zagoruyko & Komodakis 2016). Dropout is between the two convolutions of a block.
Writes results/NAME.csv (a line an epoch), results/NAME.json and saved_models/NAME.h5.
Type it again to continue an interrupted run.
"""

from common import cli, corruptions, datasets, verdicts
from common.command_line import parse


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if record := verdicts.finished(regime, options):
        return record

    from common import pipelines, training
    from common.models.wide_resnet import wide_resnet

    data = corruptions.corrupt(datasets.load(regime, options.data_dir), regime)
    feed = pipelines.Feed(data, regime)

    def build():
        return wide_resnet(
            feed.input_shape,
            feed.num_classes,
            regime.depth,
            regime.width,
            regime.wd,
            regime.dropout,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
