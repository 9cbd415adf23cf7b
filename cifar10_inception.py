"""Small Inception on CIFAR-10: true labels, random labels and everything between.

  python cifar10_inception.py --dataset synthetic --train-size 500 --epochs 1  # tiny
  python cifar10_inception.py                                   # the paper's row 4
  python cifar10_inception.py --random-labels                   # row 5: pure noise
  python cifar10_inception.py --random-labels --no-batch-norm   # row 8

Results, accuracy after the last epoch (1 seed; NVIDIA H200, bfloat16), on JAX, several
at once:

                            train %  test %  fitted at epoch  minutes
  (no flags)                 100.00   86.13               12        3
  --random-labels             99.99    9.98               37        3
  --random-crop --wd 5e-4     99.99   91.09               37        4
  --no-batch-norm            100.00   80.60               27        4

Zhang et al. (2017), Table 1, rows 1-8. Writes results/NAME.csv (a line an
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
    from common.models.inception import small_inception

    data = corruptions.corrupt(datasets.load(regime, options.data_dir), regime)
    feed = pipelines.Feed(data, regime)

    def build():
        return small_inception(
            feed.input_shape,
            feed.num_classes,
            regime.wd,
            regime.dropout,
            regime.batch_norm,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
