"""The scores of a run as TensorBoard events."""

import compare_gan.metrics  # noqa: F401  (registers them)
from compare_gan.core.events import EventFile
from compare_gan.evaluation.scores import PROTOCOL_FIELDS, fingerprint, write_scores
from tests.helpers.events import values

ROW = {name: "x" for name in PROTOCOL_FIELDS} | {"step": 10, "frechet_distance": 2.0, "class_agreement": None}


def test_event_files_mirror_the_table_of_a_run_that_has_some(tmp_path):
    write_scores(tmp_path, ROW)
    assert not (tmp_path / "scores").exists()
    EventFile(tmp_path)  # training writes events
    write_scores(tmp_path, ROW | {"step": 5, "frechet_distance_mean": 2.5, "frechet_distance": None})
    assert values(tmp_path / "scores") == {
        ("scores/frechet_distance", 5): 2.5,
        ("scores/frechet_distance", 10): 2.0,
    }


def test_scores_of_several_protocols_are_curves_of_their_own(tmp_path):
    EventFile(tmp_path)
    write_scores(tmp_path, ROW | {"step": 5, "frechet_distance": 2.5})
    write_scores(tmp_path, ROW | {"class_agreement": 0.25})
    other = ROW | {"data": "other"}
    write_scores(tmp_path, other)
    assert values(tmp_path / "scores") == {
        (f"scores/frechet_distance/{fingerprint(ROW)}", 5): 2.5,
        (f"scores/frechet_distance/{fingerprint(ROW)}", 10): 2.0,
        (f"scores/frechet_distance/{fingerprint(other)}", 10): 2.0,
        ("scores/class_agreement", 10): 0.25,
    }
