"""The benchmark of accuracy gives everybody the same rows, speaks as a client, and judges by the better anchor."""

import base64
import csv
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import quality
from benchmarks.accuracy import anchors, kerasd, time_series
from benchmarks.accuracy.cases import CASES, Rows, png
from benchmarks.accuracy.learners import LEARNERS, Contest, Failed, Learner
from benchmarks.accuracy.report import report, table
from benchmarks.accuracy.scores import Scores, judge, score
from benchmarks.machine import Machine

MACHINE = Machine(
    processor="Abacus",
    cores=2,
    used_cores=2,
    system="Linux x86_64",
    python="3.12.1",
    java="",
    libraries={"kerasd": "0.1.0"},
)
#: Those whose rows need no environment of their own.
LOCAL = [case for case in CASES.values() if case.form != "sequences"]
STEPS = Rows(
    records=[{"sequence": [[1.0, 2.0], [3.0, 4.0]]}, {"sequence": [[5.0, 6.0]]}],
    columns=[],
    roles={},
    labels=["up", "down"],
)


def some_scores() -> Scores:
    scores = Scores()
    for learner, values in {"kerasd": [0.95, 0.97], "boosting": [0.9, 0.92], "perceptron": [0.97, 0.98]}.items():
        for value in values:
            scores.add("iris", learner, value)
            scores.add("diabetes", learner, value - 0.5)
            scores.add("wine", learner, value - (0.01 if learner == "kerasd" else 0))
    scores.absences["iris", "autokeras"] = "not installed: no network\nat all"
    return scores


@pytest.mark.parametrize("case", LOCAL, ids=lambda case: case.name)
def test_records_and_columns_are_the_same_rows(case: Any) -> None:
    """Whoever is given columns has as many rows, each with every column."""
    rows = case.load()
    assert len(rows.records) == len(rows.columns) == len(rows.labels) > 100
    assert all(record.keys() >= rows.roles.keys() for record in rows.columns)
    assert case.target not in rows.records[0]
    assert (len(set(rows.labels)) < 20) is case.classes


def test_passengers_have_gaps_and_every_kind_of_column() -> None:
    """They are what people have, and numbers came as numbers."""
    rows = CASES["passengers"].load()
    assert set(rows.roles.values()) == {"number", "category", "text", "date"}
    assert any(value is None for record in rows.records for value in record.values())
    assert {type(record["fare"]) for record in rows.records} == {float}


def test_images_are_the_files_of_the_same_digits() -> None:
    """A pixel of 16 is white."""
    rows = CASES["images"].load()
    with Image.open(io.BytesIO(rows.records[3]["image"])) as picture:
        pixels = np.asarray(picture).ravel()
    assert pixels.tolist() == [round(value * 255 / 16) for value in rows.columns[3].values()]


def test_a_split_has_every_class_in_both_parts() -> None:
    """A quarter is asked; another seed asks for other rows, and the same seed for the same ones."""
    case = CASES["iris"]
    rows = case.load()
    train, test = quality.split(case, rows, 0)
    assert (len(train), len(test)) == (112, 38)
    assert set(train).isdisjoint(test)
    assert set(Counter(rows.labels[place] for place in test).values()) <= {12, 13}
    assert (train, test) == quality.split(case, rows, 0) != quality.split(case, rows, 1)


def test_a_table_is_uploaded_as_csv_with_the_target_last() -> None:
    """Gaps are empty cells, and the rows that are asked for later are not in it."""
    case = CASES["passengers"]
    rows = case.load()
    content, media_type, query = kerasd.file_of(case, rows, [0, 5])
    lines = list(csv.reader(io.StringIO(content.decode())))
    assert (media_type, query, len(lines)) == ("text/csv", {}, 3)
    assert lines[0][-1] == "rescued"
    assert lines[2][-1] == rows.labels[5]
    gaps = [place for place, value in enumerate(rows.records[5].values()) if value is None]
    assert [place for place, cell in enumerate(lines[2]) if cell == ""] == gaps


def test_images_are_uploaded_in_a_folder_for_each_label() -> None:
    """The zip holds the files themselves."""
    case = CASES["images"]
    rows = case.load()
    content, media_type, _ = kerasd.file_of(case, rows, [0, 3])
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        assert files.namelist() == [f"{rows.labels[0]}/00000.png", f"{rows.labels[3]}/00003.png"]
        assert files.read(files.namelist()[1]) == rows.records[3]["image"]
    assert media_type == "application/zip"


def test_sequences_are_uploaded_with_a_line_for_each_step() -> None:
    """The label stands in each of them."""
    content, _, query = kerasd.file_of(CASES["motions"], STEPS, [0, 1])
    lines = content.decode().splitlines()
    assert lines[0] == "id,time,channel_0,channel_1,class"
    assert lines[1:] == ["s0,0,1.0,2.0,up", "s0,1,3.0,4.0,up", "s1,0,5.0,6.0,down"]
    assert query == {"sequence": "id", "time": "time"}


def test_records_are_asked_as_they_are() -> None:
    """Files go as Base64, all else as it is, and answers are labels or numbers."""
    file = png(np.zeros((2, 2)))
    assert kerasd.as_instance({"image": file, "age": None}) == {
        "image": {"b64": base64.b64encode(file).decode()},
        "age": None,
    }
    assert kerasd.answer_of({"label": "up", "probability": 0.9}) == "up"
    assert kerasd.answer_of(152.5) == 152.5


def test_all_but_the_target_is_left_to_kerasd() -> None:
    """Only that the digits' numbers are classes is said."""
    body = kerasd.submission(CASES["iris"], "iris-0", "ds_1", 0)
    assert body == {"model": "iris-0", "dataset": "ds_1", "target": "class", "architecture": "auto", "seed": 0}
    for name, column in {"digits": "class", "images": "label", "power": "class"}.items():
        assert kerasd.submission(CASES[name], "m", "ds_1", 0)["target"] == {"column": column, "as": "classes"}


def test_anchors_are_given_every_column_by_its_role() -> None:
    """A date is three numbers, a category as many as it has values, and words one each; gaps are filled by the mean."""
    rows = CASES["passengers"].load()
    values = anchors.columns_to_numbers(rows, scaled=True).fit_transform(anchors.matrix(rows))
    assert np.isfinite(values).all()
    assert values.shape[0] == len(rows.labels)
    assert len(anchors.places(rows, "number", "date")) == 4 + 3
    assert np.allclose(values[:, :7].mean(axis=0), 0, atol=1e-6)
    assert set(np.unique(values[:, 7:])) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["boosting", "perceptron"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_anchors_learn(name: str) -> None:
    """They answer with labels of the set, and are mostly right."""
    case = CASES["iris"]
    rows = case.load()
    train, test = quality.split(case, rows, 0)
    answers = LEARNERS[name].answers(Contest(client=None, trials=1), case, rows, train, test, 0)
    assert set(answers) <= set(rows.labels)
    assert score(case, answers, [rows.labels[place] for place in test]) > 0.9


def test_scores_are_parts_of_right_labels_and_r2() -> None:
    """Labels are compared as texts; the mean of a quantity is worth 0, and the truth 1."""
    assert score(CASES["digits"], [1, 2, 3, 4], ["1", "2", "3", "5"]) == 0.75
    assert score(CASES["diabetes"], [2.0, 2.0], [1.0, 3.0]) == 0
    assert score(CASES["diabetes"], [1.0, 3.0], [1.0, 3.0]) == 1


def test_the_better_anchor_is_the_bar() -> None:
    """Two points below it is near enough; a quantity has no bar."""
    verdicts = {verdict.case: verdict for verdict in judge(some_scores())}
    assert (verdicts["iris"].anchor, verdicts["iris"].met) == ("perceptron", True)
    assert verdicts["iris"].difference == pytest.approx(-0.015)
    assert verdicts["wine"].met is False
    assert verdicts["diabetes"].met is None


def test_a_learner_that_failed_once_has_no_score() -> None:
    """A mean over fewer seeds than the others' would compare different rows."""
    scores = some_scores()
    scores.absences["iris", "kerasd"] = "failed: out of memory"
    assert scores.mean("iris", "kerasd") is None
    assert "iris" not in [verdict.case for verdict in judge(scores)]


def test_the_table_names_scores_differences_and_what_is_missing() -> None:
    """It can be pasted into the README as it stands."""
    text = report(some_scores(), MACHINE, 2, markdown=True)
    assert '|  | kerasd, "auto" | HistGradientBoosting | MLP | AutoKeras | difference |  |' in text
    assert "| iris | 96.0 ± 1.0 | 91.0 ± 1.0 | 97.5 ± 0.5 | not installed | -1.5 | met |" in text
    assert "| wine | 95.0 ± 1.0 | 91.0 ± 1.0 | 97.5 ± 0.5 | - | -2.5 | NOT met |" in text
    assert "- AutoKeras, iris: not installed: no network ... at all." in text
    assert "2 seed(s)" in text


def test_scores_survive_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run can be drawn again from what it has written."""
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(quality.to_json(some_scores(), MACHINE, 2)), encoding="utf-8")
    assert table(Scores.from_json(json.loads(file.read_text(encoding="utf-8")))) == table(some_scores())
    assert quality.main(["--redraw", str(file)]) == 0
    assert "NOT met" in capsys.readouterr().out


def test_a_failure_is_told_and_the_others_go_on() -> None:
    """Who failed on a case is not asked there again."""
    asked: list[int] = []

    def fail(*given: Any) -> list[Any]:
        asked.append(given[-1])
        raise Failed("too hard")

    unlucky = Learner(name="autokeras", title="AutoKeras", answers=fail)
    scores = quality.measure_all([CASES["iris"]], [unlucky, LEARNERS["boosting"]], 2, 1)
    assert (asked, scores.absences) == ([0], {("iris", "autokeras"): "failed: too hard"})
    assert len(scores.values["iris", "boosting"]) == 2


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists what there is."""
    for option in ("--only", "--learners"):
        with pytest.raises(SystemExit):
            quality.main([option, "nothing"])
    assert "nothing is not one of kerasd, boosting, perceptron, autokeras" in capsys.readouterr().err


def test_time_series_are_read_line_by_line() -> None:
    """Channels are parted by colons, and the class comes last."""
    lines = time_series.rows_of("# a comment\n@classLabel true\n@data\n1,2,3:4,5,6:walking\n7:8:running\n")
    values, label = time_series.series(lines[0])
    assert (values.tolist(), label) == ([[1, 4], [2, 5], [3, 6]], "walking")
    assert time_series.series(lines[1])[0].shape == (1, 2)
