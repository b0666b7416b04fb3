"""The contents of our JSON files: their keys, and the kind of each value.

Optional keys are those that older versions did not write. `compare_gan.core.run_files` has the file names.
"""

import math
from pathlib import PurePath
from typing import Any

from compare_gan.core.schema import (
    Kind,
    Mismatch,
    either,
    flag,
    integer,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    record,
    text,
)

MAX_CLASSES = 100_000
MAX_SIDE = 2**13  # pixels of an image
MAX_DIM = 2**20  # of a vector: latent vectors, features

name = text(1000)
names = list_of(name, most=MAX_CLASSES)
strings = mapping_of(text())
nothing_or_text = optional(text())
counts = list_of(integer(), most=MAX_CLASSES)
share = optional(number(0, 1))


def image_shape(key: str, value: Any) -> None:
    """[H, W, C]."""
    list_of(integer(1, MAX_SIDE), 3, 3)(key, value)
    integer(1, 4)(f"{key}[2]", value[2])


def inside(key: str, value: Any) -> None:
    """A relative path that does not leave its folder."""
    text()(key, value)
    if PurePath(value).is_absolute() or ".." in PurePath(value).parts:
        raise Mismatch(key, value, "a path in this folder")


def named_classes(kind: Kind) -> Kind:
    """A record with as many `class_names` as `num_classes`."""

    def check(key: str, value: Any) -> None:
        kind(key, value)
        known, count = value.get("class_names"), value["num_classes"]
        if known is not None and len(known) != count:
            raise Mismatch("class_names", known, f"{count}, the num_classes")

    return check


BUDGET = {"fraction": share, "per_class": optional(integer(1)), "seed": integer(0, 2**64)}
READING = record(  # fields of `LoadOptions`
    {},
    {
        "image_size": optional(integer(1, MAX_SIDE)),
        "memory": optional(integer()),
        "holdout": optional(number(0, 1)),
        "broken": name,
        **dict.fromkeys(
            (
                *("resize", "data_dir", "like", "train_crop", "eval_crop", "labels", "test_data"),
                *("image_column", "label_column"),
            ),
            nothing_or_text,
        ),
    },
    closed=True,
)
FINGERPRINT = record({}, {"images": integer(), "sampled_sha256": text(), "labels_sha256": text()})
RUN = named_classes(  # run.json
    record(
        {"image_shape": image_shape, "num_classes": integer(0, MAX_CLASSES)},
        {
            **BUDGET,
            "data": optional(either(text(), list_of(text()))),
            "reading": optional(READING),
            "labels": optional(record({"choice": text()}, {"sha256": text()})),
            "label_set": optional(integer(0, 2**64)),
            "labelled_only": optional(flag),
            "seed": optional(integer(-(2**63), 2**64)),
            "validation": optional(number(0, 1)),
            "unnamed_parts": list_of(text()),
            "warm_start": optional(
                record({"run": text(), "from_step": text(20), "step": integer(), "sha256": text(64)})
            ),
            "imported": record({"source": text(), "step": integer(), "notes": list_of(text())}),
            "class_names": names,
            "fingerprint": optional(FINGERPRINT),
            "versions": strings,
            "changes": list_of(record({"step": integer(), "changes": list_of(text())})),
            "method": name,
            "architecture": name,
        },
    )
)
EXPORT = named_classes(  # export.json
    record(
        {
            "format": integer(1),
            "architecture": name,
            "method": name,
            "step": integer(),
            "image_shape": image_shape,
            "z_dim": integer(1, MAX_DIM),
            "num_classes": integer(0, MAX_CLASSES),
            "class_names": names,
            "averaged_weights": flag,
            "batch_statistics": text(1000),
            "heads": list_of(name, most=1000),
            "versions": strings,
            "files": mapping_of(text(64), most=100),
        },
        {"prior": record({})},
    )
)
TRUNCATION = record(  # truncation.json
    {
        "step": integer(),
        "points": list_of(
            record({"truncation": optional(number(0)), "scores": mapping_of(optional(number()))}), most=1000
        ),
    }
)
FORMAT = record({"format": integer(1)})  # of any version
SAFETENSORS = mapping_of(  # the header of a safetensors file, without its metadata
    record(
        {
            "dtype": one_of("F32"),
            "shape": list_of(integer(0, 2**31), most=8),
            "data_offsets": list_of(integer(), 2, 2),
        }
    ),
    most=100_000,
)
MANIFEST = either(record({"format": integer(1), "sha256": strings}), strings)  # of a checkpoint
BEST = record({"step": integer(), "score": number(-math.inf, math.inf)})
SETTINGS = record(  # settings.json
    {},
    {
        "data": optional(either(text(), list_of(text()))),
        "data_sha256": text(),
        "reading": READING,
        "methods": list_of(name),
        "fractions": list_of(number(0, 1)),
        "per_class": list_of(integer(1)),
        "seeds": list_of(integer(0, 2**64)),
        "label_sets": list_of(integer(0, 2**64)),
        "steps": integer(),
        "quick": flag,
        "label_recipe": name,
        "inference": record({}),
        "features": nothing_or_text,
        "label_file": nothing_or_text,
        "extractor": nothing_or_text,
        "gin_config": text(),
        "gin_bindings": list_of(text()),
        "left_out": list_of(text()),
        "files": strings,
        "command": optional(either(text(), list_of(text()))),
    },
)
SECONDS = mapping_of(number(0))  # seconds.json
RESULT = record(  # result.json
    {"method": name, "labels": integer(), "seed": integer(0, 2**64), "steps": integer()},
    {
        "fraction": share,
        "per_class": optional(integer(1)),
        "images": integer(),
        "seconds": number(0),
        "frechet_distance": optional(number()),
        "class_agreement": share,
        "class_matched_distance": optional(number()),
        "within_class_spread": optional(number()),
        "precision": optional(number()),
        "recall": optional(number()),
        "authenticity": optional(number()),
        "authenticity_held_out": optional(number()),
        "sha256": text(64),
    },
)
SUMMARY = record(  # summary.json, as the report reads it: values that it does not know are left out
    {
        "lines": list_of(record({"method": name}, {"scores": optional(mapping_of(optional(record({}))))})),
        "labels": list_of(record({})),
        "clusters": list_of(record({})),
        "shown": record(
            {"runs": list_of(record({"folder": inside, "method": name}))},
            {"features": inside, "labels": optional(inside)},
        ),
        "findings": list_of(text()),
        "notes": list_of(text()),
    },
    {"real": optional(record({})), "data": optional(record({})), "seconds": optional(SECONDS)},
)
SCORE = record(
    {"mean": number(), "interval": optional(list_of(number(), 2, 2)), "lowest": number(), "highest": number()}
)
RATIO = record({"ratio": number(), "interval": optional(list_of(number(-math.inf, math.inf), 2, 2))})
LINE = record(
    {"method": name, "labels": integer(), "seeds": integer(), "scores": mapping_of(optional(SCORE))},
    {
        **BUDGET,
        "images": optional(integer()),
        "label_sets": integer(),
        "ratios": mapping_of(optional(RATIO)),
        "verdict": nothing_or_text,
    },
)
ACCURACY = {
    "kept": integer(),
    "hidden_labels": integer(),
    "accuracy": share,
    "test_labels": integer(),
    "test_accuracy": share,
}
LAST_SUMMARY = record(  # summary.json of this version
    {
        "lines": list_of(LINE),
        "labels": list_of(record(ACCURACY)),
        "real": optional(record({}, {"frechet_distance": optional(number()), "class_agreement": share})),
        "data": record({"held_out": integer()}),
        "train_images": integer(),
        "findings": list_of(text()),
        "notes": list_of(text()),
    }
)
ANY_SUMMARY = record({}, {"data": optional(record({}))})  # also of an older version
LABEL_QUALITY = record(  # label_quality.json
    {},
    {
        "accuracy": share,
        "class_names": names,
        "balance": counts,
        "hidden_labels": integer(),
        "test_labels": integer(),
        "confusion": optional(list_of(counts, most=MAX_CLASSES)),
        "kept_balance": optional(counts),
        "true_balance": optional(counts),
        "purity": number(0, 1),
        "mutual_information": number(),
        "test": optional(record({}, {"accuracy": share, "confusion": optional(list_of(counts))})),
        "least_certain": optional(
            record(
                {
                    "confidence": list_of(number(0, 1.01)),
                    "inferred": list_of(integer()),
                    "true": list_of(integer(-1)),
                }
            )
        ),
    },
)
PROBE = record({"linear_accuracy": share})
GRID = record(
    {
        "rows": integer(1, 2**16),
        "columns": integer(1, 2**16),
        "tile": list_of(integer(1, MAX_SIDE), 2, 2),
    }
)
ORIGIN = record({}, {"files_sha256": strings})  # origin.json, and the records next to files
ENCODER = record(  # the entry "about" of an encoder's file
    {"image_shape": image_shape, "classes": names, "width": integer(1, 2**13)}, {"body": name}
)
INCIDENT = record({"step": integer(), "what": text(), "done": text()})
