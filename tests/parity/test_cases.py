"""Every recorded case of compare_gan that comes with the tests, and the runner itself."""

import json
import shutil
import sys

import numpy as np
import pytest

from tests.helpers.tiers import slow_unless

from .__main__ import main
from .reference import CASES
from .runner import cases, run

SLOW = {  # each takes seconds to compile; a case of the same kind is in the default tier
    "modular_nonsat_cifar_uncond",
    "modular_wasserstein_wgangp_lambda10",
    "penalty_dragan_penalty_resnet_cifar",
    "penalty_wgangp_resnet5_64",
    "penalty_wgangp_resnet_cifar_layernorm",
    "resnet5_64_dbn_accu_ch16",
    "resnet5_16_min",
    "resnet_biggan_64_ch16_uncond_selfmod_hierz",
    "resnet_biggan_deep_32_ch16_cond",
    "resnet_cifar_32_accumulators_sn",
    "resnet_cifar_32_cbn_projection_sn",
    "resnet_cifar_32_cifar10_gin",
    "resnet_cifar_32_defaults_nobn_nosn",
    "resnet_cifar_32_layernorm",
    "resnet_cifar_32_selfmod_hierz",
    "resnet_stl_48_bn_sn",
    "s3gan_batch_too_small_for_fraction",
    "s3gan_biggan32_ch16_with_generator",
    "s3gan_predictor_soft_missing",
    "s3gan_soft_labels",
    "sndcgan_128_celebahq_gin",
    "sndcgan_32_cbn",
    "sndcgan_28_gray_nosn",
    "ssgan_cond_projection_sn",
    "ssgan_dcgan_4d_features",
    "ssgan_no_selfsupervision_string_none",
    "ssgan_selfsupervision_python_None",
    "ssgan_rotation_only",
    "ssgan_sndcgan_32_sn",
    "train_biggan32_ema",
    "train_resnet_cifar_disc1",
    "train_s3gan_biggan32",
}


@pytest.mark.parametrize(
    "name", slow_unless(lambda name: name not in SLOW, [path.stem for path in cases(CASES)])
)
def test_case(name):
    outcome = run(CASES / f"{name}.json")
    assert outcome.passed, "\n".join(outcome.lines())


def ran(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["tests.parity", *map(str, words)])
    code = main()
    return code, capsys.readouterr()


def copied(name, folder):
    for suffix in (".json", ".npz"):
        shutil.copy(CASES / f"{name}{suffix}", folder)
    return json.loads((folder / f"{name}.json").read_text()), dict(np.load(folder / f"{name}.npz"))


def test_a_folder_of_cases_that_agree(tmp_path, monkeypatch, capsys):
    copied("op_unpool", tmp_path)
    (tmp_path / "index.json").write_text('{"cases": []}')
    code, captured = ran(monkeypatch, capsys, tmp_path)
    assert code == 0 and captured.out.splitlines()[-1] == "1 passed, 0 failed"
    assert "output/y" in captured.out


def test_a_number_that_differs_is_told(tmp_path, monkeypatch, capsys):
    _, arrays = copied("inception_score_64x20_flat", tmp_path)
    np.savez(tmp_path / "inception_score_64x20_flat.npz", inception_score=arrays["inception_score"] + 0.01)
    code, captured = ran(monkeypatch, capsys, tmp_path)
    assert code == 1 and captured.out.splitlines()[-1] == "0 passed, 1 failed"
    assert "off by 1.00e-02" in captured.out


def test_what_cannot_be_compared_fails(tmp_path, monkeypatch, capsys):
    """An unknown kind, an unknown output, a broken file, and a case without its arrays."""
    meta, _ = copied("op_unpool", tmp_path)
    (tmp_path / "op_unpool.json").write_text(json.dumps(meta | {"kind": "dance"}))
    meta, arrays = copied("op_rotate_images", tmp_path)
    np.savez(tmp_path / "op_rotate_images.npz", **arrays, **{"output/somersault": arrays["input/x"]})
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "alone.json").write_text('{"kind": "op"}')
    code, captured = ran(monkeypatch, capsys, tmp_path)
    assert code == 1 and captured.out.splitlines()[-1] == "0 passed, 4 failed"
    assert "no handler for kind 'dance'" in captured.out and "somersault" in captured.out


def test_a_folder_without_cases(tmp_path, monkeypatch, capsys):
    code, captured = ran(monkeypatch, capsys, tmp_path)
    assert code == 2 and "no cases here" in captured.err
