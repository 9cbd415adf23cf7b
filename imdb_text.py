"""Text classifiers on IMDB reviews: true labels, random labels and everything between.

  python imdb_text.py --dataset synthetic_text --epochs 5    # tiny: seconds
  python imdb_text.py                                  # a bag of embeddings
  python imdb_text.py --model lstm --random-labels     # pure noise
  python imdb_text.py --model cnn --words shuffled     # one order of words for all

The experiment of Zhang et al. (2017) on text, which is not in the paper. `--words
shuffled` acts on the test set too, `shuffled_each` and `unigram` do not. Writes
results/NAME.csv (a line an epoch), results/NAME.json (where `images_per_second` counts
reviews) and saved_models/NAME.h5. Type it again to continue an interrupted run.
"""

from common import cli, corruptions, pipelines, reviews, training
from common.models import text
from common.regime import parse


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if record := training.finished(options):
        return record
    data = reviews.load(
        regime.dataset, regime.train_size, regime.data_seed, options.data_dir
    )
    data = corruptions.corrupt(
        data, regime.label_corruption, regime.label_noise, seed=regime.data_seed
    )
    data = corruptions.corrupt_words(data, regime.words, regime.data_seed)
    feed = pipelines.TextFeed(
        data,
        regime.batch_size,
        regime.word_dropout,
        regime.seed,
        regime.early_stopping,
    )

    def build():
        return getattr(text, regime.model)(
            feed.input_shape,
            feed.num_classes,
            reviews.VOCABULARY[regime.dataset],
            regime.wd,
            regime.dropout,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main)
