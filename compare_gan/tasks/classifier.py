"""Classifiers of images that train both players.

AC: Odena et al., https://arxiv.org/abs/1610.09585. TAC: Gong et al., https://arxiv.org/abs/1907.02690.
ADC: Hou et al., https://arxiv.org/abs/2107.10060. Options have the names and defaults of PyTorch-StudioGAN.
"""

import abc
import dataclasses
from typing import Any

import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, DiscriminatorOut, LossPair, Metrics, SideOutputs
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.base import AuxTask
from compare_gan.tasks.projection import is_labelled, mean_over

Aux = dict[str, Array]  # `DiscriminatorOut.aux`
AUX_CLS_TYPES = ("W/O", "TAC", "ADC")


class _Classifiers(nnx.Module):
    def __init__(self, classifier: nnx.Module, twin: nnx.Module | None):
        self.classifier = classifier
        self.twin = twin


@dataclasses.dataclass(frozen=True)
class Classifier(AuxTask):
    """A classifier on the features: the base of `AC` and `D2DCE`.

    The discriminator minimises the classifier's loss on labelled real images, the generator that on generated
    images, both with weight `cond_lambda`. This favours images that are easy to classify over diverse ones;
    `aux_cls_type` is a remedy:

    - "W/O": as above. `fake_lambda` is the weight in the discriminator's loss of generated images.
    - "TAC": a second classifier learns the labels of generated images (weight `tac_dis_lambda` in the
      discriminator's loss). The generator maximises its loss (weight `tac_gen_lambda`).
    - "ADC": one classifier with 2K classes, 2y for real and 2y + 1 for generated images of class y. The
      discriminator is trained on both sides. The generator minimises the loss for class 2y and maximises that
      for 2y + 1.

    Images without a label have no part in these losses.

    Raises:
      UserError: an unknown `aux_cls_type`, a negative weight, or `fake_lambda` with TAC or ADC.
    """

    cond_lambda: float = 1.0
    fake_lambda: float = 0.0
    aux_cls_type: str = "W/O"
    tac_gen_lambda: float = 1.0
    tac_dis_lambda: float = 1.0
    name: str = "classifier"

    def __post_init__(self):
        owner = type(self).__name__
        if self.aux_cls_type not in AUX_CLS_TYPES:
            raise UserError(f"{owner}.aux_cls_type is {self.aux_cls_type!r}; use W/O, TAC or ADC")
        refuse_negative(self, "cond_lambda", "fake_lambda", "tac_gen_lambda", "tac_dis_lambda")
        if self.fake_lambda and self.aux_cls_type != "W/O":
            raise UserError(
                f"{owner}.fake_lambda is {self.fake_lambda}; it must be 0 with {owner}.aux_cls_type = "
                f"{self.aux_cls_type!r}, which has a loss of its own on generated images"
            )

    @abc.abstractmethod
    def make_classifier(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        """Creates a classifier of features [B, F]."""

    @abc.abstractmethod
    def predict(self, classifier: Any, features: Array, entry: str, train: bool) -> Aux:
        """The classifier's outputs as entries of `aux`; `entry` has a score for each class, [B, K]."""

    @abc.abstractmethod
    def class_loss(self, aux: Aux, entry: str, y: Array, rows: Array) -> Array:
        """The mean loss over the marked rows.

        Args:
          aux: has the outputs of `predict`.
          entry: as in `predict`.
          y: one-hot or soft labels [B, K].
          rows: [B], which rows are labelled.
        """

    @property
    def needs_labels(self) -> bool:
        return True

    @property
    def predicts_classes(self) -> bool:
        return self.aux_cls_type != "ADC"  # which has two logits for each class

    @property
    def twin(self) -> str:
        """The entry of TAC's second classifier."""
        return f"{self.name}_twin"

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        classes = 2 * num_classes if self.aux_cls_type == "ADC" else num_classes
        classifier = self.make_classifier(make, feature_dim, classes)
        twin = self.make_classifier(make, feature_dim, num_classes) if self.aux_cls_type == "TAC" else None
        return _Classifiers(classifier, twin)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        del y
        aux = out.aux | self.predict(head.classifier, out.features, self.name, train)
        if head.twin is not None:
            aux |= self.predict(head.twin, out.features, self.twin, train)
        return out._replace(aux=aux)

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        assert real_y is not None and fake_y is not None
        labelled, given = is_labelled(real_y), is_labelled(fake_y)
        real_aux, fake_aux = real.batch.aux, fake.batch.aux
        generated = double(fake_y, is_real=False)
        if self.aux_cls_type == "ADC":
            real_y, fake_y = double(real_y, is_real=True), double(fake_y, is_real=True)
        real_loss = self.class_loss(real_aux, self.name, real_y, labelled)
        fake_loss = self.class_loss(fake_aux, self.name, fake_y, given)
        pair = LossPair(
            self.cond_lambda * real_loss + self.fake_lambda * fake_loss, self.cond_lambda * fake_loss
        )
        metrics = {
            f"loss/{self.name}_real": real_loss,
            f"loss/{self.name}_fake": fake_loss,
            f"accuracy/{self.name}": accuracy(real_aux[self.name], real_y, labelled),
        }
        if self.aux_cls_type == "TAC":
            twin_loss = self.class_loss(fake_aux, self.twin, fake_y, given)
            pair += LossPair(twin_loss, -twin_loss).scaled(self.tac_dis_lambda, self.tac_gen_lambda)
            metrics[f"loss/{self.twin}"] = twin_loss
        if self.aux_cls_type == "ADC":
            generated_loss = self.class_loss(fake_aux, self.name, generated, given)
            pair += LossPair(generated_loss, -generated_loss).scaled(self.cond_lambda, self.cond_lambda)
            metrics[f"loss/{self.name}_generated"] = generated_loss
        return pair, metrics


def double(y: Array, *, is_real: bool) -> Array:
    """ADC's labels [B, 2K]: class k of y becomes 2k for real and 2k + 1 for generated images."""
    none = jnp.zeros_like(y)
    return jnp.stack((y, none) if is_real else (none, y), axis=-1).reshape(len(y), -1)


def accuracy(scores: Array, y: Array, rows: Array) -> Array:
    """The share of marked rows whose highest score is at their most likely class."""
    return mean_over(scores.argmax(-1) == y.argmax(-1), rows)


@TASKS.register("AC")
@dataclasses.dataclass(frozen=True)
class AC(Classifier):
    """Auxiliary classifier: linear, with softmax cross-entropy; by `aux_cls_type` also TAC-GAN and ADC-GAN.

    `fake_lambda` is 0 as in PyTorch-StudioGAN's ACGAN-Mod; in the paper it equals `cond_lambda`.
    """

    name: str = "ac"

    def make_classifier(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        return make.linear(feature_dim, num_classes, bias=None)

    def predict(self, classifier: Any, features: Array, entry: str, train: bool) -> Aux:
        return {entry: classifier(features, train=train)}

    def class_loss(self, aux: Aux, entry: str, y: Array, rows: Array) -> Array:
        return mean_over(optax.softmax_cross_entropy(aux[entry], y), rows)
