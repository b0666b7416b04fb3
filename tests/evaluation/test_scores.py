"""The file of scores, and the comparison of rows by their protocol."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from compare_gan.core.errors import UserError
from compare_gan.evaluation.compare import load_rows, notes, table, text
from compare_gan.evaluation.scores import (
    PROTOCOL_FIELDS,
    differences,
    discard_later_scores,
    find_scores,
    fingerprint,
    has_scores,
    read_scores,
    score,
    summarize_runs,
    validate_score_filename,
    write_scores,
)
from compare_gan.report.scores import scores_page

ROW = {name: "x" for name in PROTOCOL_FIELDS} | {"step": 10, "frechet_distance": 2.0, "class_agreement": None}


def test_a_row_replaces_one_with_the_same_protocol(tmp_path):
    write_scores(tmp_path, ROW)
    write_scores(tmp_path, ROW | {"step": 5})
    write_scores(tmp_path, ROW | {"frechet_distance": 1.5})
    write_scores(tmp_path, ROW | {"data": "other"})
    rows = [
        (r["step"], r["frechet_distance"], r["class_agreement"], r["data"]) for r in read_scores(tmp_path)
    ]
    assert rows == [("5", "2.0", "", "x"), ("10", "1.5", "", "x"), ("10", "2.0", "", "other")]


def test_scores_of_steps_that_a_rollback_discarded_are_removed(tmp_path):
    for step in (5, 10, 15):
        write_scores(tmp_path, ROW | {"step": step})
    discard_later_scores(tmp_path, 10)
    assert [row["step"] for row in read_scores(tmp_path)] == ["5", "10"]
    discard_later_scores(tmp_path, 0)
    assert read_scores(tmp_path) == []
    write_scores(tmp_path, ROW)
    assert [row["step"] for row in read_scores(tmp_path)] == ["10"]


def test_further_scores_with_the_same_protocol_join_the_row(tmp_path):
    write_scores(tmp_path, ROW)
    more = {name: ROW[name] for name in (*PROTOCOL_FIELDS, "step")} | {"precision": 0.5}
    assert not has_scores(tmp_path, more, ["prdc"])
    write_scores(tmp_path, more | {"recall": 0.1, "density": 1.0, "coverage": 0.2})
    (row,) = read_scores(tmp_path)
    assert row["frechet_distance"] == "2.0" and row["precision"] == "0.5"
    assert has_scores(tmp_path, more, ["prdc", "frechet_distance"])
    assert not has_scores(tmp_path, more | {"seed": 7}, ["prdc"])
    assert not has_scores(tmp_path, more | {"step": 11}, ["prdc"])


def test_scores_that_are_written_twice_leave_the_file_as_it_was(tmp_path):
    """Two processes scored the same checkpoint; the empty cells keep their place, too."""
    write_scores(tmp_path, ROW | {"truncation": None, "scored": "fid"})
    before = (tmp_path / "scores.csv").read_bytes()
    write_scores(tmp_path, ROW | {"truncation": None, "scored": "fid"})
    assert (tmp_path / "scores.csv").read_bytes() == before


def test_a_stored_row_is_read_back_as_it_was_written(tmp_path):
    row = ROW | {"step": 3, "seed": 7, "ema": True, "fid_score_mean": 1 / 3, "fid_score_list": "0.1_0.2"}
    write_scores(tmp_path, row)
    known = {name: row[name] for name in (*PROTOCOL_FIELDS, "step", "ema")}
    stored = find_scores(tmp_path, known)
    assert stored == row | {"fingerprint": fingerprint(row), "scored": None}
    assert find_scores(tmp_path, known | {"seed": 8}) is None


def test_a_row_that_has_changed_is_refused(tmp_path):
    write_scores(tmp_path, ROW)
    write_scores(tmp_path, ROW | {"step": 20})
    path = tmp_path / "scores.csv"
    text = path.read_text()
    path.write_text(text.replace("2.0", "1.0", 1))
    with pytest.raises(UserError, match=r"scores\.csv: the row of step 10 has changed since it was written"):
        read_scores(tmp_path)
    path.write_text("\n".join(text.splitlines()[::2]) + "\n")  # a row may be removed
    assert [row["step"] for row in read_scores(tmp_path)] == ["20"]
    unsigned = text.replace(text.splitlines()[1].rsplit(",", 1)[1], "")
    path.write_text(unsigned.replace("2.0", "1.0", 1))  # as an older version wrote it
    assert read_scores(tmp_path)[0]["frechet_distance"] == "1.0"


def test_scores_of_a_replaced_checkpoint_do_not_count(tmp_path):
    one, two = (ROW | {"checkpoint_sha256": digest} for digest in ("a" * 64, "b" * 64))
    write_scores(tmp_path, one)
    assert has_scores(tmp_path, one, ["frechet_distance"]) and has_scores(tmp_path, ROW, ["frechet_distance"])
    assert not has_scores(tmp_path, two, ["frechet_distance"])
    write_scores(tmp_path, two | {"frechet_distance": 3.0})
    (row,) = read_scores(tmp_path)
    assert row["frechet_distance"] == "3.0" and row["checkpoint_sha256"] == "b" * 64


def test_scores_in_a_file_of_another_name(tmp_path):
    write_scores(tmp_path, ROW)
    write_scores(tmp_path, ROW | {"step": 5}, "fid.csv")
    assert [row["step"] for row in read_scores(tmp_path)] == ["10"]
    assert [row["step"] for row in read_scores(tmp_path, "fid.csv")] == ["5"]
    assert has_scores(tmp_path, ROW | {"step": 5}, ["frechet_distance"], "fid.csv")
    assert not has_scores(tmp_path, ROW, ["frechet_distance"], "fid.csv")
    for wrong in ("", "a/b.csv", "..", "/x.csv", "run.json"):
        with pytest.raises(UserError, match="--score_filename is "):
            validate_score_filename(wrong)


def test_simultaneous_writers_lose_no_row(tmp_path):
    """Eight threads write at once. Without the lock, writers replace the rows of others."""
    ready = threading.Barrier(8)

    def write(thread):
        ready.wait(timeout=60)
        for i in range(4):
            write_scores(tmp_path, ROW | {"step": 4 * thread + i})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert [int(row["step"]) for row in read_scores(tmp_path)] == list(range(32))


def test_a_column_of_another_row_is_not_a_score_of_this_one(tmp_path):
    write_scores(tmp_path, ROW | {"step": 5, "scored": "frechet_distance class_agreement"})
    write_scores(tmp_path, ROW | {"step": 10, "fid_score": 1.0, "scored": "frechet_distance fid_score"})
    assert has_scores(tmp_path, ROW, ["fid_score", "frechet_distance"])
    assert not has_scores(tmp_path, ROW | {"step": 5}, ["fid_score"])
    assert has_scores(tmp_path, ROW | {"step": 5}, ["class_agreement"])  # which is None, and will be again
    assert not has_scores(tmp_path, ROW, ["class_agreement"])
    write_scores(tmp_path, ROW | {"step": 5, "fid_score": 2.0, "scored": "fid_score"})
    assert has_scores(tmp_path, ROW | {"step": 5}, ["fid_score", "class_agreement"])


def test_old_files_can_be_read(tmp_path):
    row = {name: "x" for name in PROTOCOL_FIELDS if name not in ("labels_sha256", "statistics_examples")}
    lines = [",".join(["step", "fid_score", *row]), ",".join(["7", "1.5", *row.values()])]
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    (kept,) = read_scores(tmp_path)
    assert score(kept, "fid_score") == 1.5 and load_rows([tmp_path])[0]["step"] == "7"


def test_several_sets_are_summarised_as_in_compare_gan():
    row = summarize_runs([{"fid_score": 1.0, "k": None}, {"fid_score": 3.0, "k": None}])
    assert row == {
        "fid_score_mean": 2.0,
        "fid_score_std": 1.0,
        "fid_score_list": "1.0_3.0",
        "k_mean": None,
        "k_std": None,
        "k_list": "_",
    }
    assert score(row, "fid_score") == 2.0 and score(row, "k") is None
    assert (
        summarize_runs([{"fid_score": 1.0}]) == {"fid_score": 1.0}
        and score({"fid_score": "1.0"}, "fid_score") == 1
    )


@pytest.mark.parametrize("name", PROTOCOL_FIELDS)
def test_the_fingerprint_depends_on_every_protocol_field(name):
    other = ROW | {name: "y"}
    assert fingerprint(other) != fingerprint(ROW) == fingerprint(ROW | {"ema": True, "fid_score": 1.0})
    assert differences([ROW, ROW, other]) == {name: ["x", "y"]}


def test_the_fingerprint_of_rows_without_the_new_fields_is_that_of_older_versions():
    row = {"extractor": "inception", "data": "digits", "seed": 42, "real_images": 450}
    assert fingerprint(row) == fingerprint(row | {"truncation": None}) == "4b85040297f0"  # of version 0.1.0
    assert len({fingerprint(row | more) for more in ({}, {"truncation": 0.5}, {"truncation": 0.7})}) == 3


def test_text_and_numbers_have_the_same_fingerprint(tmp_path):
    row = ROW | {"real_images": 450, "seed": 42}
    write_scores(tmp_path, row)
    (kept,) = read_scores(tmp_path)
    assert kept["fingerprint"] == fingerprint(kept) == fingerprint(row)


def test_a_file_that_is_not_a_table_of_scores(tmp_path):
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="scores.csv: not a table of scores"):
        read_scores(tmp_path)


def runs(tmp_path, **changes):
    for name, step, value, agreement in (("a", 10, 2.0, 0.5), ("a", 20, 3.0, 0.9), ("b", 10, 1.0, 0.7)):
        (tmp_path / name).mkdir(exist_ok=True)
        row = ROW | {"step": step, "frechet_distance": value, "class_agreement": agreement}
        write_scores(tmp_path / name, row | (changes if name == "b" else {}))
    return [tmp_path / "a", tmp_path / "b"]


def test_the_last_step_of_each_run_or_the_best(tmp_path):
    folders = runs(tmp_path)
    assert [row["step"] for row in load_rows(folders)] == ["20", "10"]
    assert [row["step"] for row in load_rows(folders, "frechet_distance")] == ["10", "10"]
    assert [row["step"] for row in load_rows(folders, "class_agreement")] == ["20", "10"]
    with pytest.raises(UserError, match="a: has no score 'frechet'; did you mean 'frechet_distance'"):
        load_rows(folders, "frechet")


def test_runs_with_different_protocols_are_refused_with_the_reason(tmp_path):
    folders = runs(tmp_path, fit="crop middle, box to 8", seed=7)
    with pytest.raises(UserError, match="fit: 'x' or 'crop middle, box to 8'; seed: 'x' or '7'") as error:
        load_rows(folders)
    assert "\n" not in str(error.value) and "--mixed" in str(error.value)
    assert len({row["fingerprint"] for row in load_rows(folders, mixed=True)}) == 2


def test_a_run_without_scores(tmp_path):
    with pytest.raises(UserError, match="no scores; run compare-gan evaluate"):
        load_rows([tmp_path])


def test_the_table(tmp_path):
    rows = load_rows(runs(tmp_path))
    rows[0] = rows[0] | {"frechet_distance_mean": "2.5", "frechet_distance_std": "0.25"}
    header, body = table(rows, ["frechet_distance"])
    assert header == ["run", "step", "frechet_distance", "measured"]
    assert [line[1:3] for line in body] == [["20", "2.5 ± 0.25"], ["10", "1"]]
    assert len(text(header, body).splitlines()) == 4  # with a line that says what ± is
    assert "sets of one GAN" in text(header, body)
    assert "sets of one GAN" in scores_page(header, body, notes(body))
    assert len(text(header, [["a", "20", "2.5", "x"]]).splitlines()) == 2
    assert "<td>2.5 ± 0.25</td>" in scores_page(header, body, [])
    assert scores_page(["<script>"], [], ["<script>"]).count("<script") == 1  # that of the page
    with pytest.raises(UserError, match="no run has a score 'fid'"):
        table(rows, ["fid"])
