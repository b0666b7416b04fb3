"""Memorisation scores of other people's code for the same features, and their recorded values.

To record again, with torch, tqdm and the folders `dgm_eval` (github.com/layer6ai-labs/dgm-eval) and `fld`
(github.com/marcojira/fld) on PYTHONPATH: `python -m tests.metrics.copy_references`.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

RECORDED = Path(__file__).with_name("recorded_copies.json")
COMMITS = {"dgm-eval": "74c79f7", "fld": "ffbbf20"}
CASES = ("alike", "copied", "far", "wide")


class Sets(NamedTuple):
    """Features of three sets, float32 [N, F]."""

    train: np.ndarray
    held_out: np.ndarray
    generated: np.ndarray


def sets(case: str) -> Sets:
    """Three separated clusters; the generated samples are like the others, near copies, or farther apart."""
    rng, dim = np.random.default_rng(5), 80 if case == "wide" else 6
    centres = 12 * np.eye(3, dim)

    def draw(count: int, spread: float = 1.0) -> np.ndarray:
        return centres[rng.integers(0, 3, count)] + spread * rng.normal(size=(count, dim))

    train, held_out, generated = draw(300), draw(150), draw(240, 1.6 if case == "far" else 1.0)
    if case == "copied":
        generated[:120] = train[rng.integers(0, len(train), 120)] + 0.05 * rng.normal(size=(120, dim))
    return Sets(*(x.astype(np.float32) for x in (train, held_out, generated)))


def of_dgm_eval(case: str) -> dict[str, float]:
    authpct, ct = (importlib.import_module(f"dgm_eval.metrics.{name}") for name in ("authpct", "ct"))
    # Distances are [M, 1] there, for which SciPy returns an array that NumPy 2.4 does not take as a number.
    ct.mannwhitneyu = lambda x, y, **settings: mannwhitneyu(x.ravel(), y.ravel(), **settings)
    train, held_out, generated = sets(case)
    return {
        "authpct": authpct.compute_authpct(train, generated),
        "ct": float(ct.compute_CTscore(train, held_out, generated)),
        "ct_modified": float(ct.compute_CTscore_mem(train, held_out, generated)),
    }


def of_fld(case: str) -> dict[str, float]:
    """The parts of FLD that depend on no random choice."""
    for name in ("seaborn", "matplotlib", "matplotlib.pyplot"):  # imported, but not used
        sys.modules.setdefault(name, ModuleType(name))
    torch = importlib.import_module("torch")
    mixtures, library = importlib.import_module("fld.MoG"), importlib.import_module("fld.metrics.FLD")
    train, held_out, generated = (torch.from_numpy(x) for x in sets(case))
    raw: Any = library.FLD(baseline_nll=1e-12)
    train_half, test_half, rest = mixtures.preprocess_feat(train[:150], held_out, train[150:])
    half = mixtures.MoG(train_half)
    half.fit(rest)
    return {
        "gap": library.FLD(eval_feat="gap").compute_metric(train, held_out, generated),
        "hundred_nll": raw.compute_metric(train, held_out, generated),
        "hundred_nll_of_half": 100 * half.get_dim_adjusted_nlls(test_half).mean().item(),
    }


if __name__ == "__main__":
    found = {case: of_dgm_eval(case) | of_fld(case) for case in CASES}
    RECORDED.write_text(json.dumps({"commits": COMMITS} | found, indent=1) + "\n")
