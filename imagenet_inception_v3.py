r"""Inception v3 on ImageNet, or on any folder of images: true and random labels.

  python imagenet_inception_v3.py --dataset synthetic --image-size 75 \
      --batch-size 32 --optimizer adam --epochs 2              # tiny: minutes
  python imagenet_inception_v3.py         # ImageNet in ~/.keras/datasets/imagenet
  python imagenet_inception_v3.py --data-dir DIR --random-labels      # or in DIR; noise
  python imagenet_inception_v3.py --data-dir DIR --augment crop,flip,color --wd 4e-5
  python imagenet_inception_v3.py --data-dir DIR --dataset flowers   # your own images
  python imagenet_inception_v3.py --data-dir DIR --distribute        # all devices

Zhang et al. (2017), Table 2; there is no record of it yet. DIR holds
train/CLASS/*.JPEG and val/CLASS/*.JPEG, or TFRecords. Several hosts (the first is A),
and folders that all of them see:

  KERAS_BACKEND=jax python imagenet_inception_v3.py --distribute A:6380 --process 0/2

Writes results/NAME.csv (a line an epoch), results/NAME.json and saved_models/NAME.h5.
Type it again (on every host) to continue an interrupted run.
"""

from common import cli, corruptions, verdicts
from common.command_line import parse
from common.engine import devices
from common.image_files import imagenet


def main(argv=None):
    regime, options = parse(__doc__, __file__, argv)
    if options.process == (0, 1) and (record := verdicts.finished(regime, options)):
        return record

    devices.start(options, regime.batch_size)
    from common import training
    from common.image_files import streaming
    from common.models.inception_v3 import inception_v3

    data = corruptions.corrupt(imagenet.load(regime, options.data_dir), regime)
    feed = streaming.Feed(data, regime, options.process)

    def build():
        return inception_v3(
            feed.input_shape,
            feed.num_classes,
            regime.wd,
            regime.dropout,
            regime.batch_norm,
        )

    return training.run(build, feed, regime, options)


if __name__ == "__main__":
    cli.run(main, devices.leave)
