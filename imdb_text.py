"""Text classifiers on IMDB reviews: true labels, random labels and everything between.

  python imdb_text.py --dataset synthetic_text --epochs 5    # tiny: seconds
  python imdb_text.py                                  # a bag of embeddings
  python imdb_text.py --model lstm --random-labels     # pure noise
  python imdb_text.py --model cnn --words shuffled     # words in a fixed permutation

Results, accuracy after the last epoch (1 seed; AMD EPYC, 1 core, float32):

                                       train %  test %  fitted at epoch  minutes
  --model bag                          100.00   80.60                9        1
  --model bag --random-labels            99.75   50.27               14        1
  --model cnn                          100.00   84.59                4        4
  --model cnn --random-labels            99.77   50.46                4        7
  --model lstm                         100.00   80.17                8       13
  --model lstm --random-labels           99.76   49.88               18        9
  --model transformer                  100.00   83.57                4        9
  --model transformer --random-labels    99.77   49.27                6       10

The experiment of Zhang et al. (2017) on text, which is not in the paper: docs/text.md.
`--words shuffled` acts on the test set too, `shuffled_each` and `unigram` do not.
Writes results/NAME.csv (a line an epoch), results/NAME.json (where `images_per_second`
counts reviews) and saved_models/NAME.h5. Type it again to continue an interrupted run.
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
