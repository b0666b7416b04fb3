"""Training warns about settings that are allowed but likely wrong."""

import functools

import pytest

from compare_gan.nn.norms import batch_norm
from compare_gan.penalties.gradient import r1_penalty, r1_r2_penalty, r2_penalty, wgangp_penalty
from compare_gan.penalties.weights import l2_penalty
from compare_gan.training import gan as module
from compare_gan.training.schedule import TrainSchedule
from tests.gans.tiny import SPEC, tiny_gan
from tests.training.tiny import noise


@pytest.fixture
def warnings(tmp_path, monkeypatch, caplog):
    """What training of a GAN logs before its first step."""
    monkeypatch.setattr(module, "run", lambda *_, **__: None)

    def logged(**parts):
        caplog.clear()
        gan = tiny_gan(spectral_norm=False, **parts)
        module.train(gan, noise(SPEC), run_dir=tmp_path, schedule=TrainSchedule(1), tensorboard=False)
        return caplog.messages

    return logged


PARTIAL = functools.partial(r1_penalty, interval=4)


@pytest.mark.parametrize("penalty", [r1_penalty, r2_penalty, r1_r2_penalty, PARTIAL, wgangp_penalty])
def test_gradient_penalties_under_batch_statistics(warnings, penalty):
    (line,) = warnings(penalty=penalty, d_norm=batch_norm)
    assert line.startswith("the penalty needs the gradient at each image, but with D.batch_norm_fn")
    assert not warnings(penalty=penalty)
    assert not warnings(penalty=penalty, penalty_weight=0.0, d_norm=batch_norm)


def test_other_penalties_under_batch_statistics(warnings):
    assert not warnings(penalty=l2_penalty, d_norm=batch_norm)
