"""Finds splits and classes in the names of image files, in a folder or an archive.

Supported layouts, with images at any depth below their class:

  <class>/<image>
  train/<class>/<image>, optionally the same below test/ or validation/
  <class>/train/<image>, optionally <class>/test/<image>
  trainA/<image>, trainB/<image>, optionally testA/, testB/: two classes
  <image>, or train/<image> and optionally test/<image>: unlabelled
  unlabeled/<image> next to any of these: additional unlabelled training images
  images in any folders, with labels in a side file; see `compare_gan.data.side_files`

`compare_gan.data.splits.split_of` lists the spellings of splits.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.words import counted
from compare_gan.data.base import UNLABELLED
from compare_gan.data.idx import idx_name, read_idx
from compare_gan.data.records import Contents, StoredSplit, joined
from compare_gan.data.side_files import is_side_file, side_labels
from compare_gan.data.splits import TEST_SPLITS, SplitName, split_of
from compare_gan.data.tree import WANTED, Tree, by_suffix, is_image

_DOMAIN = re.compile(
    r"(.*[^\W_])(?:(?<=[a-z])([A-Z])|[\W_]+([A-Za-z]))"
)  # trainA, test_b: a split and a class
_SHARD = re.compile(r"\d{5,}")  # StyleGAN's folders 00000/, 00001/, ...
_NUMBERED = re.compile(r"(?:img)?(\d{5,})\.\w+")  # ... and its images
_GENERIC_NAME = re.compile(r"(images?|imgs?|pictures|photos|data)", re.IGNORECASE)  # not a class name
_CIFAR = re.compile(r"(data_batch_\d|test_batch|(train|test)(?=\.bin))(\.bin)?")


@dataclasses.dataclass(frozen=True)
class ImageListing:
    """Images and folders below one folder."""

    root: str  # empty, or ends in a slash
    names: list[str]  # relative to `root`, sorted by folder


@dataclasses.dataclass(frozen=True)
class SplitListings:
    """The images of each split."""

    train: ImageListing | None  # None: only unlabelled pools
    test: ImageListing | None
    pools: tuple[ImageListing, ...] = ()  # additional unlabelled training images
    notes: tuple[str, ...] = ()
    class_of: Callable[[str], str] = lambda folder: folder  # from a folder to its class


def arrange(tree: Tree) -> Contents:
    """The splits and classes of a folder or archive. Classes are sorted by name.

    A single folder around all files is skipped. In an archive, it is skipped even if it contains the images
    directly, since a flat folder is often packed along with its name.

    Raises:
      UserError: there are no images, a class has no images, the test split has other classes than the
        training split, or it is ambiguous which folders are splits.
    """
    idx = [name for name in tree.names if idx_name(name)]
    if not any(map(is_image, tree.names)):
        if idx:
            return read_idx(tree.path, tree.name, idx, tree.read)
        raise _no_images(tree)
    top = _unwrap(_sorted(tree.names, lambda name: is_image(name) or is_side_file(name)), tree.packed)
    side = side_labels(tree, [name for name in tree.names if name.startswith(top.root)])
    if side is None or not side.used:
        top = _unwrap(_sorted(tree.names, is_image), tree.packed)
        division = _find_splits(tree.path, top, by_folder=True)
        contents = _by_folder(tree, division)
    else:
        top = ImageListing(top.root, [name for name in top.names if name.endswith("/") or is_image(name)])
        division = _find_splits(tree.path, top, by_folder=False)
        contents = _contents(tree, division, side.classes(), lambda listing: side.of(_full_names(listing)))
    notes = (
        *tree.notes,
        *_skipped(tree.names, side.used if side else frozenset()),
        *(side.notes if side else ()),
        *division.notes,
        *_check_similar_names(tree.path, contents.class_names),
    )
    return dataclasses.replace(contents, notes=(*notes, *contents.notes))


def _no_images(tree: Tree) -> UserError:
    names = [name for name in tree.names if not name.endswith("/")]
    if any(_CIFAR.fullmatch(name.rpartition("/")[2]) for name in names):
        return UserError(
            f"{tree.path}: contains no images but CIFAR batch files, which are not supported; "
            f"download the data set as parquet files from the Hugging Face hub, or use tfds:cifar10"
        )
    has = f"; it has {by_suffix(names)}" if names else ""
    return UserError(f"{tree.path}: contains no images; {WANTED}{has}")


def _skipped(names: Iterable[str], used: frozenset[str]) -> list[str]:
    """A note on the files that are neither images nor label files."""
    skipped = [
        name
        for name in names
        if not (name.endswith("/") or is_image(name) or name in used or is_side_file(name))
    ]
    if not skipped:
        return []
    tables = any(name.lower().endswith(".csv") for name in skipped)
    hint = "; --labels FILE reads labels from a .csv file" if tables else ""
    return [f"skipped {counted(len(skipped), 'file')}: {by_suffix(skipped)}{hint}"]


def _check_similar_names(path: str, class_names: Iterable[str]) -> list[str]:
    """A note on classes whose names differ only in case.

    Raises:
      UserError: two names differ only in whitespace or Unicode normalisation.
    """
    notes, plain, folded = list[str](), dict[str, str](), dict[str, str]()
    for name in class_names:
        key = " ".join(unicodedata.normalize("NFC", name).split())
        if key in plain:
            raise UserError(
                f"{path}: the classes {plain[key]!r} and {name!r} differ only in whitespace or in Unicode "
                f"normalisation; rename or merge them"
            )
        if key.casefold() in folded:
            notes.append(f"the classes {folded[key.casefold()]!r} and {name!r} differ only in case")
        plain[key] = folded[key.casefold()] = name
    return notes


def _sorted(names: Iterable[str], include: Callable[[str], bool]) -> ImageListing:
    """Folders and the included files, sorted by folder."""
    kept = [name for name in names if name.endswith("/") or include(name)]
    return ImageListing("", sorted(kept, key=lambda name: name.split("/")))


def _loose_images(listing: ImageListing) -> list[str]:
    """The images that are not in a subfolder."""
    return [name for name in listing.names if "/" not in name]


def _full_names(listing: ImageListing) -> list[str]:
    """The names of the images relative to the tree."""
    return [listing.root + name for name in listing.names if is_image(name)]


def _folders(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def _subfolder(listing: ImageListing, folder: str) -> ImageListing:
    root = f"{folder}/"
    names = [name.removeprefix(root) for name in listing.names if name.startswith(root)]
    return ImageListing(listing.root + root, [name for name in names if name])


def _in_folders(listing: ImageListing, folders: Iterable[str]) -> ImageListing:
    """The contents of these folders, still relative to `root`."""
    roots = tuple(f"{folder}/" for folder in folders)
    return ImageListing(listing.root, [name for name in listing.names if name.startswith(roots)])


def _count(listing: ImageListing) -> int:
    return sum(map(is_image, listing.names))


def _unwrap(top: ImageListing, packed: bool) -> ImageListing:
    folders = _folders(top.names)
    while not _loose_images(top) and len(folders) == 1 and split_of(folders[0]) != "train":
        inner = _subfolder(top, folders[0])
        if _loose_images(inner) and not packed:
            break
        top, folders, packed = inner, _folders(inner.names), False
    return top


def _find_splits(path: str, top: ImageListing, by_folder: bool) -> SplitListings:
    """The images of each split.

    Args:
      by_folder: whether folders that are not splits are classes; otherwise labels come from a side file.

    Raises:
      UserError: it is ambiguous which folders are splits.
    """
    folders = _folders(top.names)
    splits = _named_splits(folders)
    unlabelled = [folder for folder in folders if splits.get(folder) == "unlabelled"]
    pools = (_in_folders(top, unlabelled),) if unlabelled else ()
    rest = [folder for folder in folders if folder not in unlabelled]
    trains = [folder for folder in rest if splits.get(folder) == "train"]
    tests = [folder for split in TEST_SPLITS for folder in rest if splits.get(folder) == split]
    if trains and (tests or unlabelled or rest == trains or _folders(_subfolder(top, trains[0]).names)):
        if len(trains) > 1:
            raise UserError(
                f"{path}: {' and '.join(trains[:2])} are named like training splits; merge or rename one"
            )
        return _split_folders(top, trains[0], tests, pools)
    if rest and rest == [folder for folder in rest if folder in tests] and not _loose_images(top):
        if not pools:
            raise UserError(
                f"{path}: {' and '.join(rest)} are named like splits, but none is a training split; "
                f"name the folder of training images train"
            )
        return SplitListings(None, _inner(top, tests[0]), pools, tuple(_left_out(top, tests[1:], tests[0])))
    classes = ImageListing(top.root, [name for name in top.names if name.partition("/")[0] not in unlabelled])
    if tests and set(_folders(_subfolder(top, tests[0]).names)) & set(rest):  # <class>/, and test/<class>/
        kept = ImageListing(top.root, [name for name in classes.names if name.partition("/")[0] not in tests])
        return SplitListings(
            kept, _subfolder(top, tests[0]), pools, tuple(_left_out(top, tests[1:], tests[0]))
        )
    if not by_folder:
        return SplitListings(classes, None, pools)
    division = _domains(classes) or _splits_of_classes(classes)
    if division is not None:
        return dataclasses.replace(division, pools=(*pools, *division.pools))
    _check_unambiguous(path, classes)
    other = next((name for name in rest if name not in splits), "")
    notes = [f"{name}/ is a class, like {other}/" for name in (*trains, *tests) if other]
    return SplitListings(classes, None, pools, tuple(notes))


def _named_splits(folders: list[str]) -> dict[str, SplitName]:
    """The split of each folder named after one. Words shared by all folders are ignored, as in seg_train."""
    found = {folder: split_of(folder) for folder in folders}
    if "train" not in found.values() and len(folders) > 1:
        words = {folder: re.split(r"[\W_]+", folder) for folder in folders}
        shared = set.intersection(*map(set, words.values()))
        found = {name: split_of(" ".join(w for w in words[name] if w not in shared)) for name in folders}
    return {folder: split for folder, split in found.items() if split is not None}


def _split_folders(
    top: ImageListing, train: str, tests: list[str], pools: tuple[ImageListing, ...]
) -> SplitListings:
    """train/ and optionally test/, with or without class folders."""
    listing = _inner(top, train)
    unlabelled = [folder for folder in _folders(listing.names) if split_of(folder) == "unlabelled"]
    if unlabelled:
        pools = (*pools, _in_folders(listing, unlabelled))
        names = [name for name in listing.names if name.partition("/")[0] not in unlabelled]
        listing = ImageListing(listing.root, names)
    roots = (train, *tests[:1], *_folders(name for pool in pools for name in pool.names))
    others = [folder for folder in _folders(top.names) if folder not in (*roots, *tests)]
    notes = [*_left_out(top, tests[1:], tests[0] if tests else ""), *_left_out(top, others, "")]
    if loose := _loose_images(top):
        notes.append(f"left out {counted(len(loose), 'image')} outside of the splits")
    return SplitListings(listing, _inner(top, tests[0]) if tests else None, pools, tuple(notes))


def _left_out(top: ImageListing, folders: Iterable[str], instead: str) -> list[str]:
    reason = f"the test split is {instead}/" if instead else "outside of the splits"
    counts = {folder: _count(_subfolder(top, folder)) for folder in folders}
    return [f"left out {name}/ ({counted(n, 'image')}): {reason}" for name, n in counts.items() if n]


def _inner(top: ImageListing, folder: str) -> ImageListing:
    """The images of a split, which may be nested: train/train/ or train/images/."""
    listing = _subfolder(top, folder)
    while not _loose_images(listing) and len(folders := _folders(listing.names)) == 1:
        if folders[0] != folder and not _GENERIC_NAME.fullmatch(folders[0]):
            break
        listing = _subfolder(listing, folders[0])
    return listing


def _domains(top: ImageListing) -> SplitListings | None:
    """trainA/, trainB/, optionally testA/, testB/: two classes, as in image-to-image translation."""
    found = {folder: _DOMAIN.fullmatch(folder) for folder in _folders(top.names)}
    splits = {folder: split_of(match[1]) for folder, match in found.items() if match}
    trains = [folder for folder, split in splits.items() if split == "train"]
    if not trains or len(found) < 2 or len(splits) < len(found) or None in splits.values():
        return None

    def class_of(folder: str) -> str:
        match = _DOMAIN.fullmatch(folder)
        return (match[2] or match[3]) if match else folder

    def folders_of(split: SplitName) -> list[str]:
        return [folder for folder in splits if splits[folder] == split]

    test = next((split for split in TEST_SPLITS if folders_of(split)), None)
    notes = [f"{folder}/ is the class {class_of(folder)}" for folder in trains]
    notes += _left_out(top, folders_of("validation") if test == "test" else (), "test")
    pools = (_in_folders(top, folders_of("unlabelled")),) if folders_of("unlabelled") else ()
    listings = _in_folders(top, trains), _in_folders(top, folders_of(test)) if test else None
    return SplitListings(*listings, pools, tuple(notes), class_of)


def _splits_of_classes(top: ImageListing) -> SplitListings | None:
    """<class>/train/ and <class>/test/."""
    folders = _folders(top.names)
    inner = {folder: _subfolder(top, folder) for folder in folders}
    splits = {f"{name}/{sub}": split_of(sub) for name in folders for sub in _folders(inner[name].names)}
    if "train" not in splits.values() or None in splits.values() or any(map(_loose_images, inner.values())):
        return None

    def listing_of(split: SplitName) -> ImageListing | None:
        chosen = [folder for folder, found in splits.items() if found == split]
        return _in_folders(top, chosen) if chosen else None

    pool, test, validation = listing_of("unlabelled"), listing_of("test"), listing_of("validation")
    notes = []
    if test and validation:
        notes.append(
            f"left out the validation split ({counted(_count(validation), 'image')}): there is a test split"
        )
    return SplitListings(listing_of("train"), test or validation, (pool,) if pool else (), tuple(notes))


def _check_unambiguous(path: str, top: ImageListing) -> None:
    """Raises UserError if all folders have the same subfolders, so that these may be the classes."""
    folders = _folders(top.names)
    inner = {name: set(_folders(_subfolder(top, name).names)) for name in folders}
    largest = max(inner.values(), key=len, default=set())
    deep = all(len(found) > 1 and found <= largest for found in inner.values())
    if len(folders) > 1 and deep and not all(name.isdigit() for name in largest):
        one, other, *_ = folders
        shown = ", ".join(sorted(inner[one])[:3])
        raise UserError(
            f"{path}: {one} and {other} have the same subfolders ({shown}) and may be splits or classes; "
            f"name splits train and test, or put the images of a class directly into its folder"
        )


def _by_folder(tree: Tree, division: SplitListings) -> Contents:
    """The contents of a tree in which folders are classes."""
    train = division.train
    if train is not None and _is_sharded(train):
        contents = _contents(tree, division, (), _unlabelled)
        note = (
            f"{_folders(train.names)[0]}/ and similar folders are shards, not classes: images are unlabelled"
        )
        return dataclasses.replace(contents, notes=(*contents.notes, note))
    names = () if train is None else _class_names(tree.path, train, division.class_of)
    numbers = {name: number for number, name in enumerate(names)}

    def labels(listing: ImageListing) -> np.ndarray:
        if listing in division.pools:
            return _unlabelled(listing)
        _check_classes(tree.path, listing, numbers, division.class_of)
        found = (division.class_of(name.partition("/")[0]) for name in listing.names if is_image(name))
        return np.array([numbers.get(name, UNLABELLED) for name in found], np.int32)

    return _contents(tree, division, names, labels)


def _unlabelled(listing: ImageListing) -> np.ndarray:
    return np.full(_count(listing), UNLABELLED, np.int32)


def _is_sharded(listing: ImageListing) -> bool:
    """Whether images are sharded into folders by index, as in StyleGAN and FFHQ data sets."""

    def fits(name: str) -> bool:
        folder, _, base = name.partition("/")
        number = _NUMBERED.fullmatch(base)
        if not _SHARD.fullmatch(folder) or not number:
            return False
        thousand = int(number[1]) // 1000 * 1000
        return number[1][: len(folder)] == folder != number[1] or int(folder) == thousand > 0

    images = list(filter(is_image, listing.names))
    rest = [name for name in images if not fits(name)]  # FFHQ: 00000/00000.png to 00000/00999.png
    return len(rest) < len(images) and all(re.fullmatch(r"(0{5,})/\1?0*\d{1,5}\.\w+", name) for name in rest)


def _class_names(path: str, train: ImageListing, class_of: Callable[[str], str]) -> tuple[str, ...]:
    flat = _loose_images(train)
    if not flat:
        return tuple(dict.fromkeys(map(class_of, _folders(train.names))))
    in_folders = [name for name in train.names if "/" in name and is_image(name)]
    if in_folders:
        raise UserError(
            f"{path}/{train.root}{flat[0]}: is next to folders of images such as {in_folders[0]}; put every "
            f"image into the folder of its class, or into unlabeled/ if it has none"
        )
    return ()


def _check_classes(
    path: str, listing: ImageListing, known: dict[str, int], class_of: Callable[[str], str]
) -> None:
    """Raises UserError unless each class has images and is a class of the training images."""
    location = f"{path}/{listing.root}".rstrip("/")
    found = list(filter(is_image, listing.names))
    if not found:
        raise UserError(f"{location}: contains no images; {WANTED}")
    classes = _folders(listing.names if known else found)
    if classes and not known:
        raise UserError(
            f"{location}: has class folders, but train/ has none; use class folders in both or in neither"
        )
    if known and _loose_images(listing):
        raise UserError(
            f"{location}/{_loose_images(listing)[0]}: not in a class folder, but the training images are; "
            f"sort these images into classes, remove them, or rename their folder to unlabeled"
        )
    for name in map(class_of, classes):
        if name not in known:
            raise UserError(
                f"{location}/{name}: not a class of the training images{did_you_mean(name, known)}"
            )
    empty = sorted(set(classes) - set(_folders(found)))
    if empty:
        raise UserError(f"{location}/{empty[0]}: no images in this class; remove the folder or add images")


def _contents(
    tree: Tree,
    division: SplitListings,
    class_names: tuple[str, ...],
    labels: Callable[[ImageListing], np.ndarray],
) -> Contents:
    def stored_split(listing: ImageListing) -> StoredSplit:
        split_labels = labels(listing)  # raises for an empty split
        return StoredSplit(tree.records(listing.root, list(filter(is_image, listing.names))), split_labels)

    notes = list[str]()
    for pool in division.pools:
        names = _folders(pool.names)
        where = " and ".join(f"{name}/" for name in names[:3])
        notes.append(f"{where} adds {counted(_count(pool), 'image')} without labels to the training images")
    train = [
        listing for listing in (division.train, *division.pools) if listing is not None and listing.names
    ]
    test = division.test
    return Contents(
        tree.path,
        tree.name,
        joined([stored_split(listing) for listing in train]),
        None if test is None else stored_split(test),
        class_names,
        tuple(notes),
    )
