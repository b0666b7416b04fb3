"""Label inference from few labels, and the studies that compare GANs trained on the result."""

from compare_gan.fewlabels.inferred import Inferred, Predictions
from compare_gan.fewlabels.probe import probe, write_probe
from compare_gan.fewlabels.quality import label_quality, write_quality
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract, pretrain, read_features
from compare_gan.fewlabels.stages import infer_labels, keep_labels

__all__ = [
    "Features",
    "Inferred",
    "LabelRecipe",
    "Predictions",
    "extract",
    "infer_labels",
    "keep_labels",
    "label_quality",
    "pretrain",
    "probe",
    "read_features",
    "write_probe",
    "write_quality",
]
