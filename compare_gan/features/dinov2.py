"""DINOv2: Oquab et al., https://arxiv.org/abs/2304.07193. Distances in its features agree better with human
judgement of generated images than those in Inception's: Stein et al., https://arxiv.org/abs/2306.04675.

Images are resized and normalised as dgm-eval does by default, which defines FD-DINOv2.
"""

from compare_gan.core.registry import EXTRACTORS
from compare_gan.features.preprocessing import IMAGENET, Preprocessing
from compare_gan.features.pretrained import Pretrained, Recipe
from compare_gan.features.public import DINOV2_VITB14, DINOV2_VITL14
from compare_gan.features.vit import ViT
from compare_gan.features.vit_names import DINOV2, DINOV2_HUGGING_FACE
from compare_gan.features.weights import read_weights

NAMINGS, PREPROCESSING = (DINOV2, DINOV2_HUGGING_FACE), Preprocessing(224, *IMAGENET)
BASE = Recipe("dinov2_vitb14", ViT(NAMINGS, 768, 12, 12, grid=16, trained_grid=37), PREPROCESSING, 32)
LARGE = Recipe("dinov2_vitl14", ViT(NAMINGS, 1024, 24, 16, grid=16, trained_grid=37), PREPROCESSING, 32)


@EXTRACTORS.register("dinov2_vitb14")
def dinov2_vitb14() -> Pretrained:
    """Features [N, 768] of images of any size."""
    path = DINOV2_VITB14.path()
    return BASE.extractor(read_weights(path), str(path))


@EXTRACTORS.register("dinov2_vitl14")
def dinov2_vitl14() -> Pretrained:
    """Features [N, 1024] of images of any size: those of FD-DINOv2."""
    path = DINOV2_VITL14.path()
    return LARGE.extractor(read_weights(path), str(path))
