"""Splits a data set in two, so that the extractor of a study never sees the images that its GANs train on.

  python -m benchmarks.split --data FOLDER --share 0.2 --out runs/fashion

writes `extractor.npz` with that share of the training images of each class, and `gans.npz` with the others.
Both have all the held-out images and the same classes, so that `compare-gan classifier --data extractor.npz`
makes an extractor for `compare-gan study --data gans.npz`. The same command writes the same files.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, run_folder
from compare_gan.data import ImageDataset, open_dataset
from compare_gan.data.base import Split
from compare_gan.data.labels import choose_kept, subset

SEED = 2**32  # no seed of a label set: this choice is apart from those
EXTRACTOR, GANS = "extractor.npz", "gans.npz"


def halves(dataset: ImageDataset, share: float) -> dict[str, Split]:
    """The training images of each file: disjoint, with the same class proportions.

    Raises:
      UserError: the share is not in (0, 1), or an image has no label.
    """
    labels = dataset.train.labels
    if labels.ndim != 1 or (labels < 0).any():
        raise UserError(f"{dataset.name}: some images have no class, which the split is stratified by")
    if not 0 < share < 1:
        raise UserError(f"--share is {share}; it must be between 0 and 1")
    chosen = choose_kept(labels, share, SEED)
    others = np.setdiff1d(np.arange(len(labels)), chosen)
    return {EXTRACTOR: subset(dataset.train, chosen), GANS: subset(dataset.train, others)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, nargs="+", help="data set, as for `compare-gan study`")
    parser.add_argument("--share", type=float, default=0.2, help="of the images, for the extractor")
    parser.add_argument("--out", required=True, type=Path, help="folder for the two files")
    arguments = parser.parse_args()
    try:
        data = arguments.data[0] if len(arguments.data) == 1 else arguments.data
        write(open_dataset(data), arguments.share, run_folder(arguments.out))
    except UserError as error:
        sys.exit(f"split: {error}")
    return 0


def write(dataset: ImageDataset, share: float, folder: Path) -> None:
    """Writes both files."""
    for name, split in halves(dataset, share).items():
        with atomic(folder / name) as file:
            np.savez_compressed(
                file,
                images=split.images[:],
                labels=split.labels,
                test_images=dataset.test.images[:],
                test_labels=dataset.test.labels,
                class_names=np.array(dataset.class_names),
            )
        print(f"{folder / name}: {len(split):,} training images, {len(dataset.test):,} held out")


if __name__ == "__main__":
    sys.exit(main())
