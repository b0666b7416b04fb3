"""The command line. Each command checks its arguments, then hands plain values to the library."""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from compare_gan import __version__
from compare_gan.core.allocator import keep_freed_memory
from compare_gan.core.errors import UserError
from compare_gan.core.interrupt import Interrupted

# JAX takes a second to import, so the rest of the library is imported by the commands that need it.

METHOD_LABELS: dict[str, Any] = {"all_labels": "true", "s3gan": "inferred", "no_labels": "none"}


def run() -> NoReturn:
    """The console command: exit code 0, 2 for a mistake that the user can mend, 130 if stopped."""
    keep_freed_memory()
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args([underscored(word) for word in argv])
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        use_compilation_cache()
        arguments.command(arguments)
    except UserError as error:
        print(f"compare-gan: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"{stop}; the same command goes on from there")
        return 130
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint")
        return 130
    return 0


def demo(arguments: argparse.Namespace) -> None:
    arguments.data, arguments.methods, arguments.extractor = "digits", list(METHOD_LABELS), "digits"
    arguments.image_size, arguments.gin_bindings = None, []
    few_labels(arguments)


def few_labels(arguments: argparse.Namespace) -> None:
    if arguments.quick:  # read when JAX starts: programs that run for seconds are compiled in seconds
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

    from compare_gan.config.edge import parse
    from compare_gan.config.recipes import recipe
    from compare_gan.core.files import read_json
    from compare_gan.data import open_dataset
    from compare_gan.evaluation.evaluate import EvalSettings
    from compare_gan.features import open_extractor
    from compare_gan.fewlabels.stages import LabelRecipe
    from compare_gan.fewlabels.study import SUMMARY, Method, Study, run_study
    from compare_gan.report.page import write_report
    from compare_gan.train.loop import Schedule

    quick = arguments.quick
    steps = (40 if quick else 1500) if arguments.steps is None else arguments.steps
    settings = {
        "data": arguments.data,
        "image_size": arguments.image_size,
        "label_fraction": arguments.label_fraction,
        "methods": arguments.methods,
        "seed": arguments.seed,
        "steps": steps,
        "quick": quick,
        "extractor": arguments.extractor,
        "gin_bindings": arguments.gin_bindings,
        "compare_gan": __version__,
    }
    settings["command"] = command_line(settings)
    dataset = open_dataset(arguments.data, arguments.image_size)
    methods = []
    for name in arguments.methods:
        parsed = parse([recipe(f"small_{name}")], arguments.gin_bindings)
        methods.append(Method(name, METHOD_LABELS[name], parsed.gan, parsed.operative_config))
    study = Study(
        dataset=dataset,
        methods=tuple(methods),
        label_fraction=arguments.label_fraction,
        seed=arguments.seed,
        recipe=LabelRecipe(pretrain_steps=20, classify_steps=20) if quick else LabelRecipe(),
        schedule=Schedule(
            steps,
            log_every=max(1, steps // 30),
            sample_every=max(1, steps // 10),
            save_every=max(1, steps // 5),
        ),
        evaluation=EvalSettings(images=500 if quick else 5000),
        extractor=open_extractor(arguments.extractor) if arguments.extractor else None,
        settings=settings,
    )
    folder = study_folder(Path(arguments.model_dir), settings)
    report = folder / "report.html"
    if (folder / SUMMARY).exists() and report.exists():
        print(f"{folder}: all done already; another --seed or setting starts a folder of its own")
        summary = read_json(folder / SUMMARY)
    else:
        summary = run_study(study, folder)
        write_report(folder, report)
    print(table(summary))
    print(f"report: {report}")


def command_line(settings: dict[str, Any]) -> list[str]:
    """The command that does the same study again."""
    words = ["compare-gan", "few-labels", "--model_dir", "runs/again"]
    for name in ("data", "image_size", "label_fraction", "seed", "steps", "extractor"):
        if settings[name] is not None:
            words += [f"--{name}", str(settings[name])]
    for line in settings["gin_bindings"]:
        words += ["--gin_bindings", line]
    return [*words, *(["--quick"] if settings["quick"] else []), "--methods", *settings["methods"]]


def study_folder(base: Path, settings: dict[str, Any]) -> Path:
    """`base`, or beside it a folder named after the settings if `base` holds a study with others."""
    from compare_gan.core.files import read_json
    from compare_gan.fewlabels.study import SETTINGS

    if not (base / SETTINGS).exists() or read_json(base / SETTINGS) == settings:
        return base
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    folder = base.with_name(f"{base.name}-{digest}")
    print(f"{base} holds a run with other settings; this one goes to {folder}")
    return folder


def table(summary: dict[str, Any]) -> str:
    """The scores of a study, for a terminal."""
    line = "{:<12} {:>17} {:>16} {:>7} {:>8}".format
    lines = [line("method", "Frechet distance", "class agreement", "steps", "seconds")]
    for name, row in summary["methods"].items():
        distance, agreement = f"{row['frechet_distance']:.3f}", row["class_agreement"]
        shown = "-" if agreement is None else f"{agreement:.1%}"
        lines.append(line(name, distance, shown, row["steps"], round(row["seconds"])))
    lines.append(
        f"labels: {summary['labels_kept']} of {summary['train_images']} kept; "
        f"{summary['label_accuracy']:.1%} of the inferred ones are right"
    )
    return "\n".join(lines)


def train(arguments: argparse.Namespace) -> None:
    from compare_gan.config.edge import parse
    from compare_gan.data.labels import read_labels
    from compare_gan.train.gan import describe_run
    from compare_gan.train.gan import train as train_gan
    from compare_gan.train.loop import Schedule

    parsed = parse([Path(path) for path in arguments.gin_config], arguments.gin_bindings)
    source = data_source(arguments.data, arguments.data_fake_dataset, parsed.dataset.name)
    dataset = open_data(source, arguments.image_size)
    labels = arguments.labels or parsed.labels.file_pattern
    if labels:
        dataset = dataset.with_labels(read_labels(Path(labels), len(dataset.train)))
    gan = parsed.gan(dataset.spec)
    schedule = Schedule(
        parsed.options.training_steps,
        sample_every=arguments.sample_every,
        save_every=parsed.run_config.save_checkpoints_steps,
        keep_checkpoints=parsed.run_config.keep_checkpoint_max,
    )
    seed = parsed.run_config.tf_random_seed or 0
    run_dir = Path(arguments.model_dir)
    origin = {"data": source, "image_size": arguments.image_size, "seed": seed}
    describe_run(run_dir, dataset, parsed.operative_config, origin)
    train_gan(gan, dataset.train, run_dir=run_dir, schedule=schedule, seed=seed)
    print(f"trained: {run_dir}")


FAKE = "fake:"  # before the name of a data set: noise of its shape


def data_source(given: str | None, fake: bool, name: str) -> str:
    """What to train on, for `open_data`.

    Raises:
      UserError: `name`, which the configuration gives, comes without images.
    """
    from compare_gan.core.registry import DATASETS
    from compare_gan.data.facts import FACTS

    if fake:
        return FAKE + name
    if not given and name in FACTS and name not in DATASETS:
        raise UserError(
            f"the images of {name} do not come with this library; give --data PATH, "
            f"or --data_fake_dataset to try the configuration on noise"
        )
    return given or name


def open_data(source: str, image_size: int | None) -> Any:
    from compare_gan.data import open_dataset
    from compare_gan.data.synthetic import fake

    if source.startswith(FAKE):
        return fake(source.removeprefix(FAKE))
    return open_dataset(source, image_size)


def evaluate(arguments: argparse.Namespace) -> None:
    from compare_gan.evaluation.evaluate import EvalSettings, write_scores
    from compare_gan.evaluation.evaluate import evaluate as score
    from compare_gan.features import open_extractor

    run_dir = Path(arguments.run)
    about, gan, state = open_run(run_dir)
    dataset = open_data(arguments.data or about["data"], about["image_size"])
    row = score(gan, state, dataset, open_extractor(arguments.extractor), EvalSettings(arguments.images))
    write_scores(run_dir, row)
    for name, value in row.items():
        print(f"{name}: {value}")


def sample(arguments: argparse.Namespace) -> None:
    from compare_gan.core.pictures import write_picture
    from compare_gan.evaluation.evaluate import generate_images

    _, gan, state = open_run(Path(arguments.run))
    rows = gan.y_dim or 10
    images, _ = generate_images(gan, state, rows * arguments.columns, arguments.seed)
    by_class = images.reshape(arguments.columns, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)
    write_picture(Path(arguments.out), by_class, rows, arguments.columns)
    print(f"samples: {arguments.out}")


def open_run(run_dir: Path) -> tuple[dict[str, Any], Any, Any]:
    """What a run folder tells of itself, its GAN, and its newest good state."""
    import jax

    from compare_gan.config.edge import parse
    from compare_gan.core.types import ImageSpec
    from compare_gan.train.checkpoints import Checkpoints
    from compare_gan.train.gan import read_run

    about = read_run(run_dir)
    spec = ImageSpec(tuple(about["image_shape"]), about["num_classes"])
    gan = parse([run_dir / "operative_config.gin"], []).gan(spec)
    state = Checkpoints(run_dir).restore(jax.jit(gan.init)(jax.random.key(0)))
    if state is None:
        raise UserError(f"{run_dir}: no checkpoint in {run_dir / 'checkpoints'}; train it first")
    return about, gan, state


def explain(arguments: argparse.Namespace) -> None:
    from compare_gan.config.explain import explain as explain_configuration
    from compare_gan.config.show import text

    shape = tuple(arguments.image_shape) if arguments.image_shape else None
    explanation = explain_configuration(
        arguments.configs, arguments.gin_bindings, shape, arguments.num_classes, arguments.compile
    )
    print(text(explanation))
    if explanation.errors:
        raise UserError("this configuration cannot be trained; see the errors above")


def report(arguments: argparse.Namespace) -> None:
    from compare_gan.report.page import write_report

    out = Path(arguments.out or Path(arguments.study) / "report.html")
    write_report(Path(arguments.study), out)
    print(f"report: {out}")


def classifier(arguments: argparse.Namespace) -> None:
    import numpy as np

    from compare_gan.data import open_dataset
    from compare_gan.fewlabels.stages import train_classifier

    dataset = open_dataset(arguments.data, arguments.image_size)
    out = Path(arguments.out)
    folder = out.with_suffix(".run")
    encoder = train_classifier(dataset, arguments.width, arguments.steps, arguments.seed, folder)
    right = np.mean(encoder(dataset.test.images).classes.argmax(1) == dataset.test.labels)
    provenance = {
        "command": f"compare-gan classifier --data {arguments.data} --width {arguments.width} "
        f"--steps {arguments.steps} --seed {arguments.seed}",
        "compare_gan": __version__,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "test_accuracy": round(float(right), 4),
    }
    encoder.save(out, provenance)
    print(f"classifier: {out}, {right:.2%} of {len(dataset.test)} held-out images right")


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, in $JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(home) / "compare_gan" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def underscored(word: str) -> str:
    """`--label-fraction=0.1` -> `--label_fraction=0.1`; both spellings are welcome."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"compare-gan: {message}; see {self.prog} --help\n")


def parser() -> Parser:
    top = Parser(prog="compare-gan", description=__doc__.splitlines()[0] if __doc__ else None)
    top.add_argument("--version", action="version", version=f"compare-gan {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Any, name: str, text: str, example: str) -> Parser:
        made = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example: compare-gan {name} {example}".rstrip(),
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        made.set_defaults(command=function)
        return made

    def study_options(made: Parser) -> None:
        made.add_argument("--label_fraction", type=float, default=0.1, help="labels that are kept, in (0, 1]")
        made.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")
        made.add_argument("--steps", type=int, help="generator updates of each GAN")
        made.add_argument("--quick", action="store_true", help="every stage shrunken, for a first look")

    made = command(
        demo, "demo", "The whole few-labels job on scikit-learn's digits, with a report.", "--quick"
    )
    made.add_argument("--model_dir", default="runs/demo", help="where everything is written")
    study_options(made)

    made = command(
        few_labels,
        "few-labels",
        "Infer labels from few, train GANs on them, score them and write a report.",
        "--data my_images/ --model_dir runs/mine",
    )
    made.add_argument("--data", required=True, help="digits, a folder of class folders, .parquet, .npz")
    made.add_argument("--model_dir", required=True, help="where everything is written")
    made.add_argument("--image_size", type=int, help="crop and resize images to this side")
    made.add_argument(
        "--methods", nargs="+", choices=list(METHOD_LABELS), default=["s3gan"], help="GANs to train"
    )
    made.add_argument("--extractor", help="measure with this classifier; default: the pre-trained encoder")
    made.add_argument(
        "--gin_bindings", action="append", default=[], help="added to every GAN's configuration"
    )
    study_options(made)

    made = command(
        train,
        "train",
        "Train one GAN from a gin configuration.",
        "--model_dir runs/mine --gin_config resnet_cifar10.gin --data cifar10/",
    )
    made.add_argument("--model_dir", required=True, help="where everything is written")
    made.add_argument(
        "--gin_config", action="append", default=[], help="configuration file; may be given often"
    )
    made.add_argument("--gin_bindings", action="append", default=[], help="one binding; may be given often")
    made.add_argument("--data", help="name or path; default: dataset.name of the configuration")
    made.add_argument(
        "--data_fake_dataset", action="store_true", help="noise in the shape that dataset.name says"
    )
    made.add_argument("--image_size", type=int, help="crop and resize images to this side")
    made.add_argument("--labels", help="label file to use instead; default: replace_labels.file_pattern")
    made.add_argument("--sample_every", type=int, default=500, help="steps between pictures")

    made = command(
        explain,
        "explain",
        "Tell what a gin configuration does and costs, what in it is dead and what is wrong; nothing runs.",
        "resnet_cifar10.gin --gin_bindings 'options.disc_iters = 1'",
    )
    made.add_argument("configs", nargs="+", help="configuration files")
    made.add_argument("--gin_bindings", action="append", default=[], help="one binding; may be given often")
    made.add_argument(
        "--image_shape", nargs=3, type=int, metavar=("H", "W", "C"), help="default: that of dataset.name"
    )
    made.add_argument("--num_classes", type=int, help="default: that of dataset.name")
    made.add_argument("--compile", action="store_true", help="compile a step, to tell all of its memory")

    made = command(evaluate, "evaluate", "Score the newest checkpoint of a run.", "runs/demo/s3gan")
    made.add_argument("run", help="run folder")
    made.add_argument("--data", help="name or path; default: what the run was trained on")
    made.add_argument("--extractor", default="digits", help="name, or file of compare-gan classifier")
    made.add_argument("--images", type=int, default=5000, help="images to generate")

    made = command(sample, "sample", "Draw a grid of images from a run.", "runs/demo/s3gan --out samples.png")
    made.add_argument("run", help="run folder")
    made.add_argument("--out", required=True, help="PNG file")
    made.add_argument("--columns", type=int, default=10, help="images of each class")
    made.add_argument("--seed", type=int, default=0, help="of the latent vectors")

    made = command(report, "report", "Write the report of a study folder again.", "runs/demo")
    made.add_argument("study", help="folder of demo or few-labels")
    made.add_argument("--out", help="HTML file; default: report.html in the folder")

    made = command(
        classifier,
        "classifier",
        "Train a classifier on all labels, to measure scores with.",
        "--data digits --out digits.npz",
    )
    made.add_argument("--data", required=True, help="digits, a folder of class folders, .parquet, .npz")
    made.add_argument("--out", required=True, help="file to write")
    made.add_argument("--image_size", type=int, help="crop and resize images to this side")
    made.add_argument("--width", type=int, default=32, help="channels of the first layer")
    made.add_argument("--steps", type=int, default=800, help="updates")
    made.add_argument("--seed", type=int, default=0, help="of weights and order")
    return top


if __name__ == "__main__":
    run()
