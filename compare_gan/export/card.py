"""The model card of an export: a README that says what it is, what it scored, and how to load it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.tables import markdown
from compare_gan.evaluation.scores import PROTOCOL_FIELDS, names, score
from compare_gan.export.folder import ExportMetadata

LOADER = Path(__file__).with_name("loader.py")
ORIGIN = {  # of run.json
    "data": "data",
    "labels": "labels",
    "labelled_only": "labelled images only",
    "method": "method",
    "fraction": "fraction of labels that were there",
    "per_class": "labels of each class that were there",
    "seed": "seed",
}
SHOWN = 10  # rows and columns of the picture
NAMED = 20  # classes that are listed

TEXT = """---
library_name: jax
license: unknown
tags:
- gan
- image-generation
---

# {title}

A GAN that was trained and exported with compare_gan {version}: its generator, its discriminator with all
heads, and where latent vectors come from, as programs of `jax.export` with their weights beside them.

![Generated images{by_class}](samples.png)

## What it is

{facts}

| file | what |
|---|---|
| `generator.jax`, `generator.safetensors` | {generator} |
| `discriminator.jax`, `discriminator.safetensors` | {discriminator} |
| `sampler.jax` | seed (uint32) and numbers of images (int32 [B]) -> z |
| `export.json` | the above for programs, and the SHA-256 of each file |

B is any batch size, at each call. Programs run on CPU, CUDA and TPU.

## How it was trained

{training}

<details><summary>Configuration</summary>

```
{config}
```

</details>

## Scores

{scores}

## How to load it

`compare-gan sample FOLDER --out samples.png`, or without compare_gan, with `pip install jax flatbuffers`:

```python
{loader}```

```python
{example}
```

## Use and limits

Made to study GANs. It shows what its training images show, with their gaps and prejudices, may repeat some
of them, and was checked for neither. What it generates is not evidence of anything. The discriminator tells
images of this generator from its training images; it does not tell generated images from real ones at large.

The licence of the training data, and what it allows to do with this model, is not known to compare_gan: say
so here before you share it.
"""


def card(
    metadata: ExportMetadata, run: Mapping[str, Any], config: str, rows: Sequence[Mapping[str, str]]
) -> str:
    """The card as Markdown.

    Args:
      metadata: what is exported.
      run: what `run.json` tells.
      config: the operative configuration.
      rows: the run's scores; those of the exported step are shown.
    """
    z, y, images = (
        f"z [B, {metadata.z_dim}]",
        f" and y [B, {metadata.num_classes}]",
        f"[B, {format_shape(metadata)}]",
    )
    heads = "".join(f", heads/{name}" for name in metadata.heads)
    return TEXT.format(
        title=f"{metadata.method} ({metadata.architecture.removesuffix('_arch')}) of {source(run)}",
        version=metadata.versions["compare_gan"],
        by_class=f", a row for each of {min(metadata.num_classes, SHOWN)} classes"
        if metadata.num_classes
        else "",
        facts=markdown(facts(metadata)),
        generator=f"{z}{y if metadata.num_classes else ''} -> images {images} in [0, 1], float32",
        discriminator=f"images{y if metadata.num_classes else ''} -> logits [B], features [B, F]{heads}",
        training=markdown(training_facts(run)),
        config=config.strip(),
        scores=scores([row for row in rows if row["step"] == str(metadata.step)], metadata.step),
        loader=LOADER.read_text(),
        example=example(metadata),
    )


def facts(metadata: ExportMetadata) -> dict[str, Any]:
    found = {
        "architecture": metadata.architecture,
        "method": metadata.method,
        "generator updates": metadata.step,
        "images": format_shape(metadata),
        "weights of the generator": "averaged over training" if metadata.averaged_weights else "the last",
        "batch statistics of the generator": metadata.batch_statistics,
        "made with": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
    }
    if metadata.num_classes:
        shown = ", ".join(metadata.class_names[:NAMED])
        more = f" and {metadata.num_classes - NAMED} more" if metadata.num_classes > NAMED else ""
        found["classes"] = f"{metadata.num_classes}: {shown}{more}; y is one-hot, or a mixture"
    return found


def format_shape(metadata: ExportMetadata) -> str:
    return ", ".join(map(str, metadata.image_shape))


def training_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    values = {**run, "data": source(run), "labels": labels(run)}
    found = {word: values.get(name) for name, word in ORIGIN.items()}
    return {word: value for word, value in found.items() if value is not None and value is not False}


def source(run: Mapping[str, Any]) -> str:
    """The data set's name; of a path the last part, since a card travels."""
    several = [run["data"]] if isinstance(run["data"], str) else run["data"]
    return " + ".join(Path(each).name for each in several)


def labels(run: Mapping[str, Any]) -> str | None:
    """What stood in for the data's own labels, if anything: a word, or a file by name and SHA-256."""
    replaced = run.get("labels")
    if not replaced:
        return None
    word, colon, path = str(replaced["choice"]).rpartition(":")
    name = word + colon + Path(path).name
    return f"{name}, SHA-256 {replaced['sha256']}" if "sha256" in replaced else name


def scores(rows: Sequence[Mapping[str, str]], step: int) -> str:
    """Tables of scores, each with how it was measured and the fingerprint of that."""
    if not rows:
        return f"Step {step} has none. `compare-gan evaluate RUN` makes them; export again afterwards."
    parts = []
    for row in rows:
        measured = {name: row[name] for name in (*PROTOCOL_FIELDS, "batch_statistics") if row.get(name)}
        found = {name: f"{value:.6g}" for name in names([row]) if (value := score(row, name)) is not None}
        parts.append(
            f"Fingerprint `{row.get('fingerprint', '')}`; scores with the same fingerprint compare.\n\n"
            f"{markdown(found)}\n\nMeasured with:\n\n{markdown(measured)}"
        )
    return "\n\n".join(parts)


def example(metadata: ExportMetadata) -> str:
    """Code that draws 16 images, classes in turn, as `compare-gan sample` does."""
    lines = [
        'parts = ("sampler", "generator", "discriminator")',
        'latents, generator, discriminator = (load(".", part) for part in parts)',
        "numbers = np.arange(16, dtype=np.int32)",
        "z = latents(np.uint32(0), numbers)  # seed 0",
    ]
    y = ""
    if metadata.num_classes:
        lines.append(
            f"y = np.eye({metadata.num_classes}, dtype=np.float32)[numbers % {metadata.num_classes}]"
        )
        y = ", y"
    return "\n".join([*lines, f"images = generator(z{y})", f'logits = discriminator(images{y})["logits"]'])
