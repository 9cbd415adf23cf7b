"""Text classifiers on IMDB reviews: true labels, random labels and everything between.

  python imdb_text.py --dataset synthetic_text --epochs 5    # tiny: seconds
  python imdb_text.py                                  # a bag of embeddings
  python imdb_text.py --model lstm --random-labels     # pure noise
  python imdb_text.py --model cnn --words shuffled     # words in a fixed permutation

Results, accuracy after the last epoch (1 seed; AMD EPYC, 1 core, float32):

                                       train %  test %  fitted at epoch  minutes
  --model bag                           100.00   80.71               10        3
  --model bag --random-labels            99.75   49.91               15        1
  --model cnn                           100.00   84.79                4        7
  --model cnn --random-labels            99.77   50.34                5        4
  --model lstm                          100.00   80.77                8       18
  --model lstm --random-labels           99.75   49.92               17       14
  --model transformer                   100.00   83.26                4       17
  --model transformer --random-labels    99.76   49.44                7       21

The records are of before a word's gradient was summed: docs/text.md. The experiment of
Zhang et al. (2017) on text, which is not in the paper. `--words shuffled` acts on the
test set too, `shuffled_each` and `unigram` do not. Writes results/NAME.csv (a line an
epoch), results/NAME.json (where `images_per_second` counts reviews) and
saved_models/NAME.h5. Type it again to continue an interrupted run.
"""

from common import cli, corruptions, datasets, reviews, verdicts
from common.command_line import parse


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if record := verdicts.finished(regime, options):
        return record

    from common import pipelines, training
    from common.models import text

    data = corruptions.corrupt(reviews.load(regime, options.data_dir), regime)
    feed = pipelines.TextFeed(data, regime)

    def build():
        return getattr(text, regime.model)(
            feed.input_shape,
            feed.num_classes,
            datasets.FACTS[regime.dataset].vocabulary,
            regime.wd,
            regime.dropout,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
