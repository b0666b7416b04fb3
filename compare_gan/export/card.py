"""The model card of an export: a README with its contents, scores and loading instructions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.tables import markdown
from compare_gan.evaluation.scores import PROTOCOL_FIELDS, names, score
from compare_gan.export.folder import ExportMetadata

LOADER = Path(__file__).with_name("loader.py")
ORIGIN = {  # key in run.json -> label on the card
    "data": "data",
    "labels": "labels",
    "labelled_only": "labelled images only",
    "method": "method",
    "fraction": "fraction of labels used",
    "per_class": "labels used per class",
    "seed": "seed",
}
SHOWN = 10  # rows and columns of the sample picture
NAMED = 20  # maximum number of listed class names

TEXT = """---
library_name: jax
license: unknown
tags:
- gan
- image-generation
---

# {title}

A GAN trained and exported with compare_gan {version}: its generator, its discriminator with all heads, and a
sampler of latent vectors, as programs of `jax.export` with their weights in separate files.

![Generated images{by_class}](samples.png)

## Contents

{facts}

| file | contents |
|---|---|
| `generator.jax`, `generator.safetensors` | {generator} |
| `discriminator.jax`, `discriminator.safetensors` | {discriminator} |
| `sampler.jax` | seed (uint32) and image indices (int32 [B]) -> z |
| `export.json` | metadata and the SHA-256 of each file |

The batch size B may differ between calls. Programs run on CPU, CUDA and TPU.

## Training

{training}

<details><summary>Configuration</summary>

```
{config}
```

</details>

## Scores

{scores}

## Loading

`compare-gan sample FOLDER --out samples.png`, or without compare_gan, after `pip install jax flatbuffers`:

```python
{loader}```

```python
{example}
```

## Intended use and limitations

Intended for research on GANs. Images reflect the biases and gaps of the training data, and may reproduce
training images; neither was evaluated. Generated images are not evidence of anything. The discriminator
distinguishes images of this generator from its training images; it is not a general detector of generated
images.

compare_gan does not know the licence of the training data or what it permits: state it here before you share
this model.
"""


def card(
    metadata: ExportMetadata, run: Mapping[str, Any], config: str, rows: Sequence[Mapping[str, str]]
) -> str:
    """The card as Markdown.

    Args:
      metadata: the metadata of the export.
      run: the contents of `run.json`.
      config: the operative configuration.
      rows: the scores of the run; those of the exported step are shown.
    """
    z, y, images = (
        f"z [B, {metadata.z_dim}]",
        f" and y [B, {metadata.num_classes}]",
        f"[B, {format_shape(metadata)}]",
    )
    heads = "".join(f", heads/{name}" for name in metadata.heads)
    return TEXT.format(
        title=title(metadata, run),
        version=metadata.versions["compare_gan"],
        by_class=f", one row for each of {min(metadata.num_classes, SHOWN)} classes"
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


def title(metadata: ExportMetadata, run: Mapping[str, Any]) -> str:
    """Such as "S3GAN (resnet_small) of digits"."""
    return f"{metadata.method} ({metadata.architecture.removesuffix('_arch')}) of {source(run)}"


def facts(metadata: ExportMetadata) -> dict[str, Any]:
    found = {
        "architecture": metadata.architecture,
        "method": metadata.method,
        "generator updates": metadata.step,
        "images": format_shape(metadata),
        "weights of the generator": "moving average over training"
        if metadata.averaged_weights
        else "last step",
        "batch statistics of the generator": metadata.batch_statistics,
        "prior of z": format_prior(metadata.prior),
        "created with": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
    }
    if metadata.num_classes:
        shown = ", ".join(metadata.class_names[:NAMED])
        more = f" and {metadata.num_classes - NAMED} more" if metadata.num_classes > NAMED else ""
        found["classes"] = f"{metadata.num_classes}: {shown}{more}; y is one-hot or a mixture"
    return found


def format_prior(prior: Mapping[str, Any]) -> str:
    """Such as "normal (stddev 1, mean 0)"."""
    values = ", ".join(f"{name} {value:g}" for name, value in prior.items() if name != "name")
    return f"{prior['name']} ({values})" if values else prior["name"]


def format_shape(metadata: ExportMetadata) -> str:
    return ", ".join(map(str, metadata.image_shape))


def training_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    values = {**run, "data": source(run), "labels": labels(run)}
    found = {word: values.get(name) for name, word in ORIGIN.items()}
    return {word: value for word, value in found.items() if value is not None and value is not False}


def source(run: Mapping[str, Any]) -> str:
    """The name of the data set; only the last part of a path, since the card is shared."""
    sources = [run["data"]] if isinstance(run["data"], str) else run["data"]
    return " + ".join(Path(each).name for each in sources)


def labels(run: Mapping[str, Any]) -> str | None:
    """The labels that replaced those of the data, if any: a keyword, or the name and SHA-256 of a file."""
    replaced = run.get("labels")
    if not replaced:
        return None
    word, colon, path = str(replaced["choice"]).rpartition(":")
    name = word + colon + Path(path).name
    return f"{name}, SHA-256 {replaced['sha256']}" if "sha256" in replaced else name


def scores(rows: Sequence[Mapping[str, str]], step: int) -> str:
    """Tables of scores, each with its evaluation protocol and the fingerprint of the protocol."""
    if not rows:
        return f"Step {step} has no scores. Run `compare-gan evaluate RUN`, then export again."
    parts = []
    for row in rows:
        protocol = {name: row[name] for name in (*PROTOCOL_FIELDS, "batch_statistics") if row.get(name)}
        found = {name: f"{value:.6g}" for name in names([row]) if (value := score(row, name)) is not None}
        parts.append(
            f"Fingerprint `{row.get('fingerprint', '')}`; scores with the same fingerprint are "
            "comparable.\n\n"
            f"{markdown(found)}\n\nEvaluation protocol:\n\n{markdown(protocol)}"
        )
    return "\n\n".join(parts)


def example(metadata: ExportMetadata) -> str:
    """Code that generates 16 images, cycling through the classes, like `compare-gan sample`."""
    lines = [
        'parts = ("sampler", "generator", "discriminator")',
        'latents, generator, discriminator = (load(".", part) for part in parts)',
        "indices = np.arange(16, dtype=np.int32)",
        "z = latents(np.uint32(0), indices)  # seed 0",
    ]
    y = ""
    if metadata.num_classes:
        lines.append(
            f"y = np.eye({metadata.num_classes}, dtype=np.float32)[indices % {metadata.num_classes}]"
        )
        y = ", y"
    return "\n".join([*lines, f"images = generator(z{y})", f'logits = discriminator(images{y})["logits"]'])
