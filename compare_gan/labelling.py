"""From a few labels to a label for every image, in two calls.

The stages with their files are in `compare_gan.fewlabels`; a study runs them for several budgets, seeds and
methods.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.fewlabels import stages
from compare_gan.fewlabels.budget import PerClass, choose, refuse_too_few
from compare_gan.fewlabels.choices import fitting_recipe
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, pretrain


def keep_labels(
    data: ImageDataset, fraction: float | None = None, *, per_class: int | None = None, seed: int = 0
) -> ImageDataset:
    """Hides all training labels except a few, chosen at random and stratified by class.

    For one seed the choices are nested: a smaller budget keeps a subset of the labels of a larger one.

    >>> few = cg.keep_labels(cg.open_dataset("digits"), fraction=0.1)
    >>> int((few.train.labels >= 0).sum()), len(few.train)
    (136, 1347)

    Args:
      data: a data set with one class per labelled image.
      fraction: the fraction of the labels of each class to keep, in (0, 1]; at least one of each class.
      per_class: the number of labels to keep per class, in place of `fraction`.
      seed: of the choice.

    Returns:
      The data set in which all other training images are unlabelled (-1). Test labels are unchanged.

    Raises:
      UserError: the budget is out of range, or no training image has a label.
    """
    budget = fraction if per_class is None else PerClass(per_class)
    if budget is None or (fraction is not None and per_class is not None):
        raise UserError("keep_labels takes either fraction or per_class")
    labels = data.train.labels
    if labels.ndim != 1:
        raise UserError(f"{data.name}: has probabilities as labels; provide one class per image")
    refuse_too_few(labels, budget)
    chosen = choose(labels, budget, seed)
    kept = np.full_like(labels, UNLABELLED)
    kept[chosen] = labels[chosen]
    return data.with_labels(kept)


def infer_labels(
    data: ImageDataset,
    *,
    seed: int = 0,
    recipe: LabelRecipe | None = None,
    features: Features | None = None,
    soft: bool = False,
    folder: str | Path | None = None,
) -> ImageDataset:
    """Infers a label for every training image from the labelled ones.

    An encoder learns features of all images without labels, then classes from the few labels; its calibrated
    predictions become the labels. Lucic et al., https://arxiv.org/abs/1903.02271, section 3.

    >>> few = cg.keep_labels(cg.open_dataset("digits"), fraction=0.1)
    >>> recipe = cg.LabelRecipe(width=8, pretrain_steps=20, classify_steps=60, calibration_fits=0)
    >>> labelled = cg.infer_labels(few, recipe=recipe)
    pretrain: ...
    classify: 60/60 ...
    >>> int((labelled.train.labels >= 0).sum())
    1347

    Args:
      data: a data set in which some training images have a label; -1 = unlabelled.
      seed: of all random numbers.
      recipe: the hyperparameters; None: a recipe that fits the images and the device.
      features: features of all images, to classify linearly in place of training an encoder; `recipe` must
        then have the classifier "linear".
      soft: return probabilities [N, K] in place of classes [N].
      folder: keeps the results of each stage, and reuses those of an earlier call; None: nothing is kept.

    Returns:
      The data set with inferred labels of all training images; with `recipe.confidence`, images below it are
      unlabelled.

    Raises:
      UserError: fewer than two classes have a label, or the recipe does not fit the images.
      Interrupted: Ctrl-C or SIGTERM; with a folder, the same call resumes.
    """
    recipe = recipe or fitting_recipe(data)
    with contextlib.ExitStack() as stack:
        path = Path(folder or stack.enter_context(tempfile.TemporaryDirectory()))
        source = features or pretrain(data, recipe, seed, path)
        inferred = stages.infer_labels(data, source, recipe, seed, path)
    found = inferred.soft if soft else inferred.hard
    if found is None:
        raise UserError(f"{recipe.classifier} predicts no probabilities; leave out soft")
    return data.with_labels(found.train.labels, found.class_names)
