"""CLIP: Radford et al., https://arxiv.org/abs/2103.00020, as CMMD uses it: Jayasumana et al.,
https://arxiv.org/abs/2401.09603.

As in google-research/cmmd, the central square of an image is resized, and embeddings have unit length.
"""

from compare_gan.core.registry import EXTRACTORS
from compare_gan.features.preprocessing import Preprocessing
from compare_gan.features.pretrained import Pretrained, Recipe
from compare_gan.features.public import CLIP_VITL14_336
from compare_gan.features.vit import ViT, quick_gelu
from compare_gan.features.vit_names import CLIP, CLIP_HUGGING_FACE
from compare_gan.features.weights import read_weights

LARGE_336 = Recipe(
    "clip_vitl14_336",
    ViT(
        (CLIP, CLIP_HUGGING_FACE),
        width=1024,
        depth=24,
        heads=16,
        grid=24,
        trained_grid=24,
        epsilon=1e-5,
        gelu=quick_gelu,
        patch_bias=False,
        norm_first=True,
        layer_scale=False,
        outputs=768,
        unit_length=True,
    ),
    Preprocessing(336, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), fit="crop"),
    16,
)


@EXTRACTORS.register("clip_vitl14_336")
def clip_vitl14_336() -> Pretrained:
    """Features [N, 768] of unit length, of images of any size: the embeddings of CMMD."""
    path = CLIP_VITL14_336.path()
    return LARGE_336.extractor(read_weights(path), str(path))
