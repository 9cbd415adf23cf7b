"""Small AlexNet on CIFAR-10: true labels, random labels and everything between.

  python cifar10_alexnet.py --dataset synthetic --epochs 3    # tiny: a minute
  python cifar10_alexnet.py                                   # the paper's row 12
  python cifar10_alexnet.py --random-labels                   # row 13: pure noise
  python cifar10_alexnet.py --random-labels --wd 5e-4         # noise, regularized

Results, accuracy after the last epoch (mean of 3 seeds;
AMD EPYC, 1 core and NVIDIA H200, bfloat16), and minutes on the core:

                   train %  test %  fitted at epoch  minutes
  (no flags)        100.00   76.89            11-12    33-40
  --random-labels    99.99    9.51            31-32    33-40

Zhang et al. (2017), Table 1, rows 9-13. Writes results/NAME.csv (a line an
epoch), results/NAME.json and saved_models/NAME.h5. Type it again to continue an
interrupted run.
"""

from common import cli, corruptions, datasets, verdicts
from common.command_line import parse


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if record := verdicts.finished(regime, options):
        return record

    from common import pipelines, training
    from common.models.alexnet import small_alexnet

    data = corruptions.corrupt(datasets.load(regime, options.data_dir), regime)
    feed = pipelines.Feed(data, regime)

    def build():
        return small_alexnet(
            feed.input_shape, feed.num_classes, regime.wd, regime.dropout
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
