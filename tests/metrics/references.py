"""Scores of other libraries for the same features, and their recorded values.

Values of torch-fidelity, prdc, SciPy, Vendi-Score, dgm-eval and cmmd (of google-research) are kept in
`recorded.json`, so that the suite compares with them where they are not installed. The last three are not
packages: their folders must be on the path. To record again: `python -m tests.metrics.references`.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.linalg

RECORDED = Path(__file__).with_name("recorded.json")
KID_SIZE = 60  # so that there is one subset, of all samples


def features(seed: int, n: int, dim: int, shift: float = 0.0) -> np.ndarray:
    """[n, dim] float64: correlated, and spread over several orders of magnitude."""
    random = np.random.RandomState(seed)
    mix = np.random.RandomState(99).standard_normal((dim, dim)) / np.arange(1, dim + 1)
    return (random.standard_normal((n, dim)) + shift) @ mix


def pair(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Real and generated features of a case."""
    match case:
        case "apart":
            return features(0, KID_SIZE, 12), features(1, KID_SIZE, 12, 0.4)
        case "alike":
            return features(2, KID_SIZE, 12), features(3, KID_SIZE, 12)
        case "wide":  # fewer samples than features
            return features(4, KID_SIZE, 80), features(5, KID_SIZE, 80, 0.2)
        case _:
            raise ValueError(case)


CASES = ("apart", "alike", "wide")


def logits(case: str) -> np.ndarray:
    return 3 * pair(case)[1][:, :6]


def directions(dim: int) -> np.ndarray:
    """[20, dim] float32 normal, for MIND."""
    return np.random.RandomState(7).standard_normal((20, dim)).astype(np.float32)


def torch_fidelity() -> Any:
    """The library, without the operators of torchvision: those of PyPI want a torch that was built for CUDA.

    Raises:
      ImportError: it is not installed.
    """
    if "torch_fidelity" not in sys.modules:
        torch = importlib.import_module("torch")
        if importlib.util.find_spec("torchvision") is None:
            raise ImportError("torchvision")
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            declared = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                declared.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    for part in ("metric_fid", "metric_isc", "metric_kid", "metric_mind", "metric_prc"):
        importlib.import_module(f"torch_fidelity.{part}")
    return sys.modules["torch_fidelity"]


def of_torch_fidelity(case: str) -> dict[str, float]:
    library, torch = torch_fidelity(), importlib.import_module("torch")
    real, fake = (torch.from_numpy(x) for x in pair(case))
    statistics = [library.metric_fid.fid_features_to_statistics(x) for x in (real, fake)]
    kid = library.metric_kid.kid_features_to_metric(
        real, fake, kid_subsets=1, kid_subset_size=KID_SIZE, verbose=False
    )
    prc = library.metric_prc.prc_features_to_metric(fake, real, verbose=False)
    with mock.patch.object(torch, "randn", lambda count, dim, **_: torch.from_numpy(directions(dim))):
        mind = library.metric_mind.mind_features_to_metric(real, fake, mind_num_projections=20, verbose=False)
    isc = library.metric_isc.isc_features_to_metric(torch.from_numpy(logits(case)), splits=1)
    return {
        "fid_score": library.metric_fid.fid_statistics_to_metric(*statistics, verbose=False)[
            "frechet_inception_distance"
        ],
        "kid_score": kid["kernel_inception_distance_mean"],
        "mind": mind["monge_inception_distance"],
        "precision": prc["precision"],
        "recall": prc["recall"],
        "inception_score": isc["inception_score_mean"],
    }


def of_prdc(case: str) -> dict[str, float]:
    """With five neighbours for all four."""
    return {key: float(value) for key, value in _compute_prdc()(*pair(case), nearest_k=5).items()}


def _compute_prdc() -> Callable[..., dict[str, Any]]:
    return importlib.import_module("prdc").compute_prdc


def of_scipy(case: str) -> dict[str, float]:
    real, fake = pair(case)
    cov1, cov2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    overlap = np.trace(scipy.linalg.sqrtm(cov1 @ cov2)).real
    gap = real.mean(0) - fake.mean(0)
    return {"fid_score": float(gap @ gap + np.trace(cov1) + np.trace(cov2) - 2 * overlap)}


def of_vendi_score(case: str) -> dict[str, float]:
    vendi = importlib.import_module("vendi_score.vendi")
    return {"vendi": float(vendi.score_dual(pair(case)[1]))}


def of_dgm_eval(case: str) -> dict[str, float]:
    real, fake = pair(case)
    metrics = importlib.import_module("dgm_eval.metrics")
    return {
        "vendi": float(metrics.compute_vendi_score(fake)),
        "fid_score": float(metrics.compute_efficient_FD_with_reps(real, fake)),
    }


def of_cmmd(case: str) -> dict[str, float]:
    """On normalised features, as its CLIP gives, in double precision."""
    jax = importlib.import_module("jax")
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in pair(case))
    with jax.enable_x64(True):
        return {"cmmd": float(importlib.import_module("cmmd.distance").mmd(x, y))}


LIBRARIES: dict[str, Callable[[str], dict[str, float]]] = {
    "torch-fidelity": of_torch_fidelity,
    "prdc": of_prdc,
    "scipy": of_scipy,
    "vendi-score": of_vendi_score,
    "dgm-eval": of_dgm_eval,
    "cmmd": of_cmmd,
}


def known_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a folder on the path
        return getattr(sys.modules.get(name.replace("-", "_")), "__version__", "")


if __name__ == "__main__":
    values = {}
    for name, of in LIBRARIES.items():
        found = {case: of(case) for case in CASES}
        values[name] = {"version": known_version(name)} | found
    RECORDED.write_text(json.dumps(values, indent=1) + "\n")
