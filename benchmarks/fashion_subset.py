"""Makes the packaged part of Fashion-MNIST, and the data that its packaged classifier is trained on.

  python -m benchmarks.fashion_subset FOLDER --rest rest.npz

FOLDER contains the original IDX files, from https://github.com/zalandoresearch/fashion-mnist or from Debian's
package dataset-fashion-mnist. Writes `fashion-train.png`, `fashion-test.png` and `fashion.json` into
`compare_gan/data`, and to `--rest` the training images that are not packaged, with all test images.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from compare_gan.core.files import sha256_of
from compare_gan.data import Split, fashion, open_dataset

PER_CLASS = {"train": 1000, "test": 200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the four IDX files")
    parser.add_argument("--rest", type=Path, required=True, help=".npz file to write")
    arguments = parser.parse_args()
    whole = open_dataset(arguments.folder)
    target = Path(fashion.__file__).parent
    about = {
        "source": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist",
        "copyright": "2017 Zalando SE",
        "licence": "MIT",
        "selection": "the first 1,000 training images and the first 200 test images of each class",
        "command": "python -m benchmarks.fashion_subset FOLDER --rest rest.npz",
        "original_sha256": {path.name: sha256_of(path) for path in sorted(arguments.folder.glob("*ubyte*"))},
        "pixels_sha256": {},
    }
    rows = {name: chosen(getattr(whole, name), count) for name, count in PER_CLASS.items()}
    for name, chosen_rows in rows.items():
        by_class = getattr(whole, name).images[:][chosen_rows][..., 0]
        fashion.write_sheet(target / f"fashion-{name}.png", by_class)
        in_turn = np.ascontiguousarray(by_class.swapaxes(0, 1))
        about["pixels_sha256"][name] = hashlib.sha256(in_turn.tobytes()).hexdigest()
    (target / "fashion.json").write_text(json.dumps(about, indent=2) + "\n")
    others = np.setdiff1d(np.arange(len(whole.train)), rows["train"])
    np.savez_compressed(
        arguments.rest,
        images=whole.train.images[:][others],
        labels=whole.train.labels[others],
        test_images=whole.test.images[:],
        test_labels=whole.test.labels,
        class_names=np.array(fashion.CLASSES),
    )


def chosen(split: Split, count: int) -> np.ndarray:
    """The indices [K, count] of the first `count` images of each class."""
    return np.stack([np.flatnonzero(split.labels == label)[:count] for label in range(len(fashion.CLASSES))])


if __name__ == "__main__":
    main()
