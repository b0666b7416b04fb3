"""What the names of image files say about splits and classes, be they in a folder or in an archive.

These are understood, images at any depth below their class:

  <class>/<image>
  train/<class>/<image>, and maybe the same under test/ or validation/
  <class>/train/<image>, and maybe <class>/test/<image>
  trainA/<image>, trainB/<image>, and maybe testA/, testB/: two classes
  <image>, or train/<image> and maybe test/<image>: unlabelled
  unlabeled/<image> beside any of these: more training images, without labels
  images in any folders, with labels in a side file: see `compare_gan.data.side_files`

`compare_gan.data.splits.split_of` says how splits may be spelled.
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
from compare_gan.data.records import Contents, Part, joined
from compare_gan.data.side_files import is_side_file, side_labels
from compare_gan.data.splits import TEST_SPLITS, SplitName, split_of
from compare_gan.data.tree import WANTED, Tree, by_suffix, is_image

_DOMAIN = re.compile(
    r"(.*[^\W_])(?:(?<=[a-z])([A-Z])|[\W_]+([A-Za-z]))"
)  # trainA, test_b: a split and a class
_SHARD = re.compile(r"\d{5,}")  # StyleGAN's folders 00000/, 00001/, ...
_NUMBERED = re.compile(r"(?:img)?(\d{5,})\.\w+")  # ... and its images
_MERE_IMAGES = re.compile(r"(images?|imgs?|pictures|photos|data)", re.IGNORECASE)  # no name of a class
_CIFAR = re.compile(r"(data_batch_\d|test_batch|(train|test)(?=\.bin))(\.bin)?")


@dataclasses.dataclass(frozen=True)
class ImageListing:
    """Images and folders below one folder: of a split, or of all."""

    root: str  # empty, or ends in a slash
    names: list[str]  # below `root`, in the order of their folders


@dataclasses.dataclass(frozen=True)
class Division:
    """The images of each split."""

    train: ImageListing | None  # None: there are only pools
    test: ImageListing | None
    pools: tuple[ImageListing, ...] = ()  # more training images, without labels
    notes: tuple[str, ...] = ()
    class_of: Callable[[str], str] = lambda folder: folder  # the class of a shelf's folder


def arrange(tree: Tree) -> Contents:
    """What a folder or archive holds. Classes are numbered in the order of their names.

    Where all files are in one folder, that folder is skipped. In an archive this is so even if it holds the
    images themselves: one often packs a flat folder together with its own name.

    Raises:
      UserError: there are no images, a class has none, test images have classes of their own, or it is not
        clear which folders are splits.
    """
    idx = [name for name in tree.names if idx_name(name)]
    if not any(map(is_image, tree.names)):
        if idx:
            return read_idx(tree.path, tree.name, idx, tree.read)
        raise _no_images(tree)
    top = _unwrapped(_sorted(tree.names, lambda name: is_image(name) or is_side_file(name)), tree.packed)
    side = side_labels(tree, [name for name in tree.names if name.startswith(top.root)])
    if side is None or not side.used:
        top = _unwrapped(_sorted(tree.names, is_image), tree.packed)
        division = _divided(tree.path, top, by_folder=True)
        contents = _by_folder(tree, division)
    else:
        top = ImageListing(top.root, [name for name in top.names if name.endswith("/") or is_image(name)])
        division = _divided(tree.path, top, by_folder=False)
        contents = _contents(tree, division, side.classes(), lambda shelf: side.of(_full(shelf)))
    notes = (
        *tree.notes,
        *_skipped(tree.names, side.used if side else frozenset()),
        *(side.notes if side else ()),
        *division.notes,
        *_alike(tree.path, contents.class_names),
    )
    return dataclasses.replace(contents, notes=(*notes, *contents.notes))


def _no_images(tree: Tree) -> UserError:
    names = [name for name in tree.names if not name.endswith("/")]
    if any(_CIFAR.fullmatch(name.rpartition("/")[2]) for name in names):
        return UserError(
            f"{tree.path}: holds no images but CIFAR's own batch files, which are not read; "
            f"get the data set as parquet files from the Hugging Face hub, or use tfds:cifar10"
        )
    has = f"; it has {by_suffix(names)}" if names else ""
    return UserError(f"{tree.path}: holds no images; {WANTED}{has}")


def _skipped(names: Iterable[str], used: frozenset[str]) -> list[str]:
    """A note of the files that are neither images nor read for their labels."""
    left = [
        name
        for name in names
        if not (name.endswith("/") or is_image(name) or name in used or is_side_file(name))
    ]
    if not left:
        return []
    tables = any(name.lower().endswith(".csv") for name in left)
    hint = "; --labels FILE reads labels from a .csv file" if tables else ""
    return [f"skipped {counted(len(left), 'file')}: {by_suffix(left)}{hint}"]


def _alike(path: str, class_names: Iterable[str]) -> list[str]:
    """A note of classes whose names differ only in case.

    Raises:
      UserError: two names look the same.
    """
    notes, plain, folded = list[str](), dict[str, str](), dict[str, str]()
    for name in class_names:
        key = " ".join(unicodedata.normalize("NFC", name).split())
        if key in plain:
            raise UserError(
                f"{path}: the classes {plain[key]!r} and {name!r} differ only in blanks or in how letters "
                f"are encoded; rename or merge them"
            )
        if key.casefold() in folded:
            notes.append(f"the classes {folded[key.casefold()]!r} and {name!r} differ only in case")
        plain[key] = folded[key.casefold()] = name
    return notes


def _sorted(names: Iterable[str], wanted: Callable[[str], bool]) -> ImageListing:
    """Folders and the files that are wanted, in the order of their folders."""
    kept = [name for name in names if name.endswith("/") or wanted(name)]
    return ImageListing("", sorted(kept, key=lambda name: name.split("/")))


def _images(shelf: ImageListing) -> list[str]:
    """Those that are in no folder."""
    return [name for name in shelf.names if "/" not in name]


def _full(shelf: ImageListing) -> list[str]:
    """The names of the images in the tree."""
    return [shelf.root + name for name in shelf.names if is_image(name)]


def _folders(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def _below(shelf: ImageListing, folder: str) -> ImageListing:
    root = f"{folder}/"
    names = [name.removeprefix(root) for name in shelf.names if name.startswith(root)]
    return ImageListing(shelf.root + root, [name for name in names if name])


def _of_folders(shelf: ImageListing, folders: Iterable[str]) -> ImageListing:
    """What is in these folders, the names of the folders kept."""
    roots = tuple(f"{folder}/" for folder in folders)
    return ImageListing(shelf.root, [name for name in shelf.names if name.startswith(roots)])


def _count(shelf: ImageListing) -> int:
    return sum(map(is_image, shelf.names))


def _unwrapped(top: ImageListing, packed: bool) -> ImageListing:
    folders = _folders(top.names)
    while not _images(top) and len(folders) == 1 and split_of(folders[0]) != "train":
        inner = _below(top, folders[0])
        if _images(inner) and not packed:
            break
        top, folders, packed = inner, _folders(inner.names), False
    return top


def _divided(path: str, top: ImageListing, by_folder: bool) -> Division:
    """The images of each split.

    Args:
      by_folder: whether the other folders are classes, and not mere places of images that have labels.

    Raises:
      UserError: it is not clear which folders are splits.
    """
    folders = _folders(top.names)
    splits = _named_splits(folders)
    unlabelled = [folder for folder in folders if splits.get(folder) == "unlabelled"]
    pools = (_of_folders(top, unlabelled),) if unlabelled else ()
    rest = [folder for folder in folders if folder not in unlabelled]
    trains = [folder for folder in rest if splits.get(folder) == "train"]
    tests = [folder for split in TEST_SPLITS for folder in rest if splits.get(folder) == split]
    if trains and (tests or unlabelled or rest == trains or _folders(_below(top, trains[0]).names)):
        if len(trains) > 1:
            raise UserError(
                f"{path}: {' and '.join(trains[:2])} look like training images; merge them, or rename one"
            )
        return _split_folders(top, trains[0], tests, pools)
    if rest and rest == [folder for folder in rest if folder in tests] and not _images(top):
        if not pools:
            raise UserError(
                f"{path}: {' and '.join(rest)} look like splits, but none of them holds training images; "
                f"call the folder of these train"
            )
        return Division(None, _inner(top, tests[0]), pools, tuple(_left_out(top, tests[1:], tests[0])))
    classes = ImageListing(top.root, [name for name in top.names if name.partition("/")[0] not in unlabelled])
    if tests and set(_folders(_below(top, tests[0]).names)) & set(rest):  # <class>/, and test/<class>/
        kept = ImageListing(top.root, [name for name in classes.names if name.partition("/")[0] not in tests])
        return Division(kept, _below(top, tests[0]), pools, tuple(_left_out(top, tests[1:], tests[0])))
    if not by_folder:
        return Division(classes, None, pools)
    found = _domains(classes) or _splits_of_classes(classes)
    if found is not None:
        return dataclasses.replace(found, pools=(*pools, *found.pools))
    _refuse_doubtful(path, classes)
    other = next((name for name in rest if name not in splits), "")
    notes = [f"{name}/ is a class, like {other}/" for name in (*trains, *tests) if other]
    return Division(classes, None, pools, tuple(notes))


def _named_splits(folders: list[str]) -> dict[str, SplitName]:
    """The splits that folders stand for, by name; words that all of them share do not matter: seg_train."""
    found = {folder: split_of(folder) for folder in folders}
    if "train" not in found.values() and len(folders) > 1:
        words = {folder: re.split(r"[\W_]+", folder) for folder in folders}
        shared = set.intersection(*map(set, words.values()))
        found = {name: split_of(" ".join(w for w in words[name] if w not in shared)) for name in folders}
    return {folder: split for folder, split in found.items() if split is not None}


def _split_folders(
    top: ImageListing, train: str, tests: list[str], pools: tuple[ImageListing, ...]
) -> Division:
    """train/ and maybe test/, with or without classes in them."""
    shelf = _inner(top, train)
    inside = [folder for folder in _folders(shelf.names) if split_of(folder) == "unlabelled"]
    if inside:
        pools = (*pools, _of_folders(shelf, inside))
        names = [name for name in shelf.names if name.partition("/")[0] not in inside]
        shelf = ImageListing(shelf.root, names)
    roots = (train, *tests[:1], *_folders(name for pool in pools for name in pool.names))
    others = [folder for folder in _folders(top.names) if folder not in (*roots, *tests)]
    notes = [*_left_out(top, tests[1:], tests[0] if tests else ""), *_left_out(top, others, "")]
    if loose := _images(top):
        notes.append(f"left out {counted(len(loose), 'image')} beside the splits")
    return Division(shelf, _inner(top, tests[0]) if tests else None, pools, tuple(notes))


def _left_out(top: ImageListing, folders: Iterable[str], instead: str) -> list[str]:
    why = f"the test split is {instead}/" if instead else "beside the splits"
    counts = {folder: _count(_below(top, folder)) for folder in folders}
    return [f"left out {name}/ ({counted(n, 'image')}): {why}" for name, n in counts.items() if n]


def _inner(top: ImageListing, folder: str) -> ImageListing:
    """The images of a split, which may be a folder deeper: train/train/ or train/images/."""
    shelf = _below(top, folder)
    while not _images(shelf) and len(folders := _folders(shelf.names)) == 1:
        if folders[0] != folder and not _MERE_IMAGES.fullmatch(folders[0]):
            break
        shelf = _below(shelf, folders[0])
    return shelf


def _domains(top: ImageListing) -> Division | None:
    """trainA/, trainB/, and maybe testA/, testB/: two classes, as image translation has them."""
    found = {folder: _DOMAIN.fullmatch(folder) for folder in _folders(top.names)}
    splits = {folder: split_of(match[1]) for folder, match in found.items() if match}
    trains = [folder for folder, split in splits.items() if split == "train"]
    if not trains or len(found) < 2 or len(splits) < len(found) or None in splits.values():
        return None

    def class_of(folder: str) -> str:
        match = _DOMAIN.fullmatch(folder)
        return (match[2] or match[3]) if match else folder

    def part(split: SplitName) -> list[str]:
        return [folder for folder in splits if splits[folder] == split]

    test = next((split for split in TEST_SPLITS if part(split)), None)
    notes = [f"{folder}/ is the class {class_of(folder)}" for folder in trains]
    notes += _left_out(top, part("validation") if test == "test" else (), "test")
    pools = (_of_folders(top, part("unlabelled")),) if part("unlabelled") else ()
    shelves = _of_folders(top, trains), _of_folders(top, part(test)) if test else None
    return Division(*shelves, pools, tuple(notes), class_of)


def _splits_of_classes(top: ImageListing) -> Division | None:
    """<class>/train/ and <class>/test/."""
    folders = _folders(top.names)
    inner = {folder: _below(top, folder) for folder in folders}
    splits = {f"{name}/{sub}": split_of(sub) for name in folders for sub in _folders(inner[name].names)}
    if "train" not in splits.values() or None in splits.values() or any(map(_images, inner.values())):
        return None

    def part(split: SplitName) -> ImageListing | None:
        chosen = [folder for folder, found in splits.items() if found == split]
        return _of_folders(top, chosen) if chosen else None

    pool, test, validation = part("unlabelled"), part("test"), part("validation")
    notes = []
    if test and validation:
        notes.append(
            f"left out the validation split ({counted(_count(validation), 'image')}): there is a test split"
        )
    return Division(part("train"), test or validation, (pool,) if pool else (), tuple(notes))


def _refuse_doubtful(path: str, top: ImageListing) -> None:
    """Raises UserError if all folders hold the same folders, so that these may be the classes."""
    folders = _folders(top.names)
    inner = {name: set(_folders(_below(top, name).names)) for name in folders}
    largest = max(inner.values(), key=len, default=set())
    deep = all(len(found) > 1 and found <= largest for found in inner.values())
    if len(folders) > 1 and deep and not all(name.isdigit() for name in largest):
        one, other, *_ = folders
        shown = ", ".join(sorted(inner[one])[:3])
        raise UserError(
            f"{path}: {one} and {other} hold the same folders ({shown}), so they may be splits or classes; "
            f"call splits train and test, or put the images of a class straight into its folder"
        )


def _by_folder(tree: Tree, division: Division) -> Contents:
    """What it holds where folders are classes."""
    train = division.train
    if train is not None and _is_sharded(train):
        contents = _contents(tree, division, (), _unlabelled)
        note = f"{_folders(train.names)[0]}/ and the like are shards and not classes: no image has a label"
        return dataclasses.replace(contents, notes=(*contents.notes, note))
    names = () if train is None else _class_names(tree.path, train, division.class_of)
    numbers = {name: number for number, name in enumerate(names)}

    def labels(shelf: ImageListing) -> np.ndarray:
        if shelf in division.pools:
            return _unlabelled(shelf)
        _check_classes(tree.path, shelf, numbers, division.class_of)
        found = (division.class_of(name.partition("/")[0]) for name in shelf.names if is_image(name))
        return np.array([numbers.get(name, UNLABELLED) for name in found], np.int32)

    return _contents(tree, division, names, labels)


def _unlabelled(shelf: ImageListing) -> np.ndarray:
    return np.full(_count(shelf), UNLABELLED, np.int32)


def _is_sharded(shelf: ImageListing) -> bool:
    """Whether images are in folders by their number, as StyleGAN and FFHQ have them."""

    def fits(name: str) -> bool:
        folder, _, base = name.partition("/")
        number = _NUMBERED.fullmatch(base)
        if not _SHARD.fullmatch(folder) or not number:
            return False
        thousand = int(number[1]) // 1000 * 1000
        return number[1][: len(folder)] == folder != number[1] or int(folder) == thousand > 0

    images = list(filter(is_image, shelf.names))
    rest = [name for name in images if not fits(name)]  # FFHQ: 00000/00000.png to 00000/00999.png
    return len(rest) < len(images) and all(re.fullmatch(r"(0{5,})/\1?0*\d{1,5}\.\w+", name) for name in rest)


def _class_names(path: str, train: ImageListing, class_of: Callable[[str], str]) -> tuple[str, ...]:
    flat = _images(train)
    if not flat:
        return tuple(dict.fromkeys(map(class_of, _folders(train.names))))
    filed = [name for name in train.names if "/" in name and is_image(name)]
    if filed:
        raise UserError(
            f"{path}/{train.root}{flat[0]}: lies beside folders of images, as {filed[0]}; put every image "
            f"into the folder of its class, or into unlabeled/ if it has none"
        )
    return ()


def _check_classes(
    path: str, shelf: ImageListing, known: dict[str, int], class_of: Callable[[str], str]
) -> None:
    """Raises UserError unless each class has images, and is one of the training images."""
    here = f"{path}/{shelf.root}".rstrip("/")
    found = list(filter(is_image, shelf.names))
    if not found:
        raise UserError(f"{here}: holds no images; {WANTED}")
    classes = _folders(shelf.names if known else found)
    if classes and not known:
        raise UserError(f"{here}: has classes, but train/ has none; give both a folder for each, or neither")
    if known and _images(shelf):
        raise UserError(
            f"{here}/{_images(shelf)[0]}: in no class, but the training images have classes; sort these, "
            f"move them away, or call their folder unlabeled to train on them"
        )
    for name in map(class_of, classes):
        if name not in known:
            raise UserError(f"{here}/{name}: no class of the training images{did_you_mean(name, known)}")
    empty = sorted(set(classes) - set(_folders(found)))
    if empty:
        raise UserError(f"{here}/{empty[0]}: no images in this class; remove the folder, or add some")


def _contents(
    tree: Tree, division: Division, class_names: tuple[str, ...], labels: Callable[[ImageListing], np.ndarray]
) -> Contents:
    def part(shelf: ImageListing) -> Part:
        found = labels(shelf)
        return Part(tree.records(shelf.root, list(filter(is_image, shelf.names))), found)

    notes = list[str]()
    for pool in division.pools:
        names = _folders(pool.names)
        where = " and ".join(f"{name}/" for name in names[:3])
        notes.append(f"{where} adds {counted(_count(pool), 'image')} without labels to the training images")
    train = [shelf for shelf in (division.train, *division.pools) if shelf is not None and shelf.names]
    test = division.test
    return Contents(
        tree.path,
        tree.name,
        joined([part(shelf) for shelf in train]),
        None if test is None else part(test),
        class_names,
        tuple(notes),
    )
