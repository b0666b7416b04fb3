"""Train, evaluate and compare GANs in JAX, above all when labels are scarce.

    import compare_gan as cg

    data = cg.open_dataset("digits")
    few = cg.keep_labels(data, fraction=0.1)
    labelled = cg.infer_labels(few)
    gan = cg.s3gan(cg.presets.small(labelled.spec), rotated_batch_fraction=4, project_y=True)
    run = cg.train(gan, labelled, "runs/mine", steps=1500)
    images = run.sample(64, label=3)

Importing this package imports nothing else; a name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:  # for type checkers and editors; `_NAMES` is what happens
    from compare_gan import presets as presets
    from compare_gan.architectures import ARCHITECTURES as ARCHITECTURES
    from compare_gan.augmentations import AUGMENTATIONS as AUGMENTATIONS
    from compare_gan.core.errors import UserError as UserError
    from compare_gan.core.interrupt import Interrupted as Interrupted
    from compare_gan.core.placement import Placement as Placement
    from compare_gan.core.types import Batch as Batch
    from compare_gan.core.types import GANState as GANState
    from compare_gan.core.types import ImageSpec as ImageSpec
    from compare_gan.data import DATASETS as DATASETS
    from compare_gan.data import ImageDataset as ImageDataset
    from compare_gan.data import LoadOptions as LoadOptions
    from compare_gan.data import Split as Split
    from compare_gan.data import open_dataset as open_dataset
    from compare_gan.evaluation.during_training import Scoring as Scoring
    from compare_gan.evaluation.options import EvalOptions as EvalOptions
    from compare_gan.export.folder import open_sampler as open_sampler
    from compare_gan.features import EXTRACTORS as EXTRACTORS
    from compare_gan.features import open_extractor as open_extractor
    from compare_gan.fewlabels import LabelRecipe as LabelRecipe
    from compare_gan.gans.gan import GAN as GAN
    from compare_gan.gans.s3gan import s3gan as s3gan
    from compare_gan.gans.ssgan import ssgan as ssgan
    from compare_gan.gans.step import train_step as train_step
    from compare_gan.labelling import infer_labels as infer_labels
    from compare_gan.labelling import keep_labels as keep_labels
    from compare_gan.losses import LOSSES as LOSSES
    from compare_gan.metrics import METRICS as METRICS
    from compare_gan.penalties import PENALTIES as PENALTIES
    from compare_gan.regularizers import REGULARIZERS as REGULARIZERS
    from compare_gan.runs import Run as Run
    from compare_gan.runs import open_run as open_run
    from compare_gan.runs import train as train
    from compare_gan.scoring import score_images as score_images
    from compare_gan.studies import StudyResult as StudyResult
    from compare_gan.studies import study as study
    from compare_gan.tasks import TASKS as TASKS
    from compare_gan.tf1.bundle import read_tensor_bundle as read_tensor_bundle
    from compare_gan.tf1.convert import import_tf as import_tf
    from compare_gan.training.divergence import DivergencePolicy as DivergencePolicy
    from compare_gan.training.hooks import Action as Action
    from compare_gan.training.hooks import Hook as Hook
    from compare_gan.training.schedule import TrainSchedule as TrainSchedule

_NAMES = {  # module -> public names
    "architectures": ("ARCHITECTURES",),
    "augmentations": ("AUGMENTATIONS",),
    "core.errors": ("UserError",),
    "core.interrupt": ("Interrupted",),
    "core.placement": ("Placement",),
    "core.types": ("Batch", "GANState", "ImageSpec"),
    "data": ("DATASETS", "ImageDataset", "LoadOptions", "Split", "open_dataset"),
    "evaluation.during_training": ("Scoring",),
    "evaluation.options": ("EvalOptions",),
    "export.folder": ("open_sampler",),
    "features": ("EXTRACTORS", "open_extractor"),
    "fewlabels": ("LabelRecipe",),
    "gans.gan": ("GAN",),
    "gans.s3gan": ("s3gan",),
    "gans.ssgan": ("ssgan",),
    "gans.step": ("train_step",),
    "labelling": ("infer_labels", "keep_labels"),
    "losses": ("LOSSES",),
    "metrics": ("METRICS",),
    "penalties": ("PENALTIES",),
    "regularizers": ("REGULARIZERS",),
    "runs": ("Run", "open_run", "train"),
    "scoring": ("score_images",),
    "studies": ("StudyResult", "study"),
    "tasks": ("TASKS",),
    "tf1.bundle": ("read_tensor_bundle",),
    "tf1.convert": ("import_tf",),
    "training.divergence": ("DivergencePolicy",),
    "training.hooks": ("Action", "Hook"),
    "training.schedule": ("TrainSchedule",),
}
_MODULES = ("presets",)
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *sorted([*_HOME, *_MODULES])]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found  # the next access does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
