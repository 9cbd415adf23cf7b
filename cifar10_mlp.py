"""Multilayer perceptrons on CIFAR-10: true labels, random labels and between.

  python cifar10_mlp.py --dataset synthetic --epochs 5      # tiny: seconds
  python cifar10_mlp.py                                     # the paper's row 18
  python cifar10_mlp.py --random-labels                     # row 19: pure noise
  python cifar10_mlp.py --hidden 512 512 512 --wd 1e-4      # row 14

Results, accuracy after the last epoch (mean of 3 seeds;
AMD EPYC, 1 core and NVIDIA H200, bfloat16), and minutes on the core:

                                        train %  test %  fitted at epoch  minutes
  (no flags)                              99.98   51.01            24-25        5
  --random-labels                         99.25    9.67            67-73      4-5
  --hidden 512 512 512                   100.00   53.59               14        6
  --hidden 512 512 512 --random-labels   100.00    9.95            21-22        6

Zhang et al. (2017), Table 1, rows 14-19. Writes results/NAME.csv (a line an
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
    from common.models.mlp import mlp

    data = corruptions.corrupt(datasets.load(regime, options.data_dir), regime)
    feed = pipelines.Feed(data, regime)

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
