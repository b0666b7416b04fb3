"""The same features, the same scores: other libraries, now and as recorded."""

import json
import warnings

import numpy as np
import pytest

from compare_gan.metrics.cmmd import gaussian_discrepancy
from compare_gan.metrics.frechet import distance_of_features, frechet_distance, moments
from compare_gan.metrics.inception_score import inception_score
from compare_gan.metrics.kernel import kernel_distance
from compare_gan.metrics.mind import sliced_distance
from compare_gan.metrics.prdc import manifolds
from compare_gan.metrics.vendi import vendi_score

from .references import CASES, LIBRARIES, RECORDED, directions, logits, pair

VALUES = json.loads(RECORDED.read_text())


def ours(library, case):
    real, fake = pair(case)
    if library == "prdc":
        return manifolds(real, fake, radius_k=5)._asdict()
    if library == "cmmd":
        return {"cmmd": gaussian_discrepancy(real, fake)}
    if library == "vendi-score":
        return {"vendi": vendi_score(fake)}
    scores = {"fid_score": frechet_distance(*moments(real), *moments(fake))}
    if library == "dgm-eval":
        scores["vendi"] = vendi_score(fake)
    if library == "torch-fidelity":
        precise, drawn = manifolds(real, fake), directions(real.shape[1]).astype(np.float64)
        units = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        scores |= {
            "kid_score": kernel_distance(real, fake).mean,
            "inception_score": inception_score(logits(case)),
            "mind": sliced_distance(real, fake, units),
        }
        scores |= {"precision": precise.precision, "recall": precise.recall}
    return scores


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_agrees_with_what_was_recorded(library, case):
    # Roots of zero eigenvalues, of which the others' products of singular matrices are full, are noise there.
    tolerance = 1e-6 if case != "wide" else 1e-5
    assert ours(library, case) == pytest.approx(VALUES[library][case], rel=tolerance)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_recorded_is_what_the_library_says(library, capsys):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {case: LIBRARIES[library](case) for case in CASES}
    except ImportError as error:
        pytest.skip(f"{library} is not on the path, or lacks {error.name or error}")
    for case in CASES:
        assert found[case] == pytest.approx(VALUES[library][case], rel=1e-6)


def test_both_forms_of_the_distance_agree():
    real, fake = pair("wide")
    assert distance_of_features(real, fake) == pytest.approx(
        frechet_distance(*moments(real), *moments(fake)), rel=1e-9
    )
    np.testing.assert_array_less(0, distance_of_features(*pair("apart")))
