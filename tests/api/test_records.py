"""Versions that were trained on tables: raw records by every protocol, labels back, and what is wrong with records."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from pyarrow import ipc
from werkzeug.test import TestResponse

from service.api.media import ARROW_FILE, ARROW_STREAM, CSV, JSON_LINES, NPY, NPZ
from service.app import create_app
from service.config import Settings
from service.inference.records import MAX_INPUT_BYTES
from tests.api.prepared import (
    CATEGORIES,
    CLASS,
    NUMBERS,
    PRICE,
    ROWS,
    SURVIVED,
    TAGS,
    columns_of,
    numbers_for,
    publish,
)
from tests.api.served import LOG, Published

JSON = "application/json"
#: What the binary network says of ROWS.
P = numbers_for(SURVIVED)[:, 0]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A service with a version for each task, one of several targets, and one that takes no records."""
    published = Published(tmp_path_factory.mktemp("prepared"), max_body_bytes=30_000_000, invocations_model="survived")
    publish(published, "survived", SURVIVED)
    publish(published, "class", CLASS)
    publish(published, "tags", TAGS)
    publish(published, "price", PRICE)
    publish(published, "several", SURVIVED, PRICE)
    loss = {"type": "BinaryCrossentropy", "from_logits": True}
    publish(published, "logits", SURVIVED, compile={"loss": {"out": loss}})
    published.logarithm(LOG)
    return published.settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


def ask(client: FlaskClient, data: Any, model: str = "survived", query: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()} or {"Content-Type": JSON}
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    return client.post(f"/v1/models/{model}/predict{query}", data=content, headers=named)


def refused(answer: TestResponse, status: int = 422) -> dict[str, str]:
    """What is wrong by where it is."""
    assert answer.status_code == status, answer.text
    body = answer.get_json()
    assert body["detail"]
    return {error["pointer"]: error["detail"] for error in body["errors"]}


def close(found: Any, due: Any) -> None:
    np.testing.assert_allclose(found, due, rtol=1e-5, atol=1e-6)


def check_survived(predictions: list[dict[str, Any]]) -> None:
    assert [one["label"] for one in predictions] == ["yes" if p > 0.5 else "no" for p in P]
    close([one["probability"] for one in predictions], np.maximum(P, 1 - P))
    close([list(one["probabilities"].values()) for one in predictions], np.stack([1 - P, P], axis=1))
    assert {tuple(one["probabilities"]) for one in predictions} == {("no", "yes")}


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns_of([])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_arrow(new: Any, table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


TABLE = pa.table(columns_of(ROWS))
NAMES = list(columns_of([]))
CELLS = [[row.get(name) for name in NAMES] for row in ROWS]


def as_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, numbers=NUMBERS, categories=CATEGORIES)
    return file.getvalue()


BODIES = {
    JSON: json.dumps({"instances": ROWS}).encode(),
    JSON_LINES: "\n".join(map(json.dumps, ROWS)).encode() + b"\n",
    CSV: as_csv(ROWS),
    ARROW_STREAM: as_arrow(ipc.new_stream, TABLE),
    ARROW_FILE: as_arrow(ipc.new_file, TABLE),
    NPZ: as_npz(),
}


@pytest.mark.parametrize("content_type", BODIES)
def test_each_body_gets_labels(client: FlaskClient, content_type: str) -> None:
    """The same ones whatever carries the records; the network's own numbers in .npz do, too."""
    answer = ask(client, BODIES[content_type], Content_Type=content_type)
    assert answer.status_code == 200, answer.text
    check_survived(answer.get_json()["predictions"])
    assert answer.get_json()["model"] == "survived"
    assert answer.headers["X-Model-Version"] == "1"


def test_each_task_has_its_answer(client: FlaskClient) -> None:
    """Classes, any number of labels, quantities, and several targets by their names."""
    for task, model in ((CLASS, "class"), (TAGS, "tags")):
        found = ask(client, {"instances": ROWS}, model).get_json()["predictions"]
        numbers = numbers_for(task)
        close([list(one["probabilities"].values()) for one in found], numbers)
        if task is CLASS:
            assert [one["label"] for one in found] == [CLASS.labels[place] for place in numbers.argmax(axis=1)]
        else:
            assert [one["labels"] for one in found] == [
                [label for label, p in zip(TAGS.labels, row, strict=True) if p > 0.5] for row in numbers
            ]
    close(ask(client, {"instances": ROWS}, "price").get_json()["predictions"], numbers_for(PRICE)[:, 0])
    several = ask(client, {"instances": ROWS}, "several").get_json()["predictions"]
    check_survived([one["survived"] for one in several])
    close([one["price"] for one in several], numbers_for(PRICE)[:, 0])


def test_logits_are_answered_as_probabilities(client: FlaskClient) -> None:
    """Where the loss of the version took them as such."""
    found = ask(client, {"instances": ROWS}, "logits").get_json()["predictions"]
    close([one["probabilities"]["yes"] for one in found], 1 / (1 + np.exp(-P)))


def test_columns_get_columns(client: FlaskClient) -> None:
    """`inputs` is a list of values for each column, and so is the answer."""
    found = ask(client, {"inputs": columns_of(ROWS)}).get_json()["outputs"]
    assert found["label"] == ["yes" if p > 0.5 else "no" for p in P]
    close(found["probabilities"]["yes"], P)
    close(ask(client, {"inputs": columns_of(ROWS)}, "price").get_json()["outputs"], numbers_for(PRICE)[:, 0])
    assert ask(client, {"inputs": ROWS}).get_json()["outputs"] == found


def test_a_table_is_answered_with_a_table(client: FlaskClient) -> None:
    """The label, its probability, and that of each label, in CSV and in both of Arrow's formats."""
    names = ["label", "probability", "probability_no", "probability_yes"]
    answer = ask(client, BODIES[CSV], Content_Type=CSV, Accept=CSV)
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert (answer.mimetype, header) == (CSV, names)
    assert [row[0] for row in rows] == ["yes" if p > 0.5 else "no" for p in P]
    close([float(row[3]) for row in rows], P)
    for media_type, opened in ((ARROW_STREAM, ipc.open_stream), (ARROW_FILE, ipc.open_file)):
        table = opened(ask(client, BODIES[JSON], Content_Type=JSON, Accept=media_type).data).read_all()
        assert table.schema.names == names
        assert table["label"].to_pylist() == ["yes" if p > 0.5 else "no" for p in P]
        close(table["probability_yes"].to_pylist(), P)


def test_tables_of_other_tasks(client: FlaskClient) -> None:
    """Several labels are one text in CSV and lists in Arrow; several targets have prefixes."""
    lines = ask(client, BODIES[CSV], "tags", Content_Type=CSV, Accept=CSV).text.splitlines()
    chosen = [[label for label, p in zip(TAGS.labels, row, strict=True) if p > 0.5] for row in numbers_for(TAGS)]
    assert lines[0] == "labels,probability_crew,probability_rich"
    assert [line.split(",")[0] for line in lines[1:]] == ["|".join(labels) for labels in chosen]
    table = ipc.open_stream(ask(client, BODIES[CSV], "tags", Content_Type=CSV, Accept=ARROW_STREAM).data).read_all()
    assert table["labels"].to_pylist() == chosen
    assert ask(client, BODIES[CSV], "price", Content_Type=CSV, Accept=CSV).text.splitlines()[0] == "value"
    several = ask(client, BODIES[CSV], "several", Content_Type=CSV, Accept=CSV).text.splitlines()[0]
    assert several.split(",")[0::4] == ["survived.label", "price.value"]


def test_numpy_files_carry_the_network_s_numbers(client: FlaskClient) -> None:
    """In both directions; one array cannot carry two inputs."""
    answer = ask(client, BODIES[NPZ], Content_Type=NPZ, Accept=NPY)
    close(np.load(io.BytesIO(answer.data), allow_pickle=False)[:, 0], P)
    close(np.load(io.BytesIO(ask(client, BODIES[JSON], Content_Type=JSON, Accept=NPZ).data))["out"][:, 0], P)
    file = io.BytesIO()
    np.save(file, NUMBERS)
    assert "'numbers', 'categories'" in ask(client, file.getvalue(), Content_Type=NPY).get_json()["detail"]


@pytest.mark.parametrize(
    ("rows", "due"),
    [
        ([[22, 7.25]], {"/instances/0": "A list of 2 came; expected a record"}),
        ([1, "a", None], dict.fromkeys(("/instances/0", "/instances/1", "/instances/2"), "expected a record")),
        ([], {"/instances": "An empty list came"}),
        ("age", {"/instances": 'The text "age" came; expected a list of records'}),
        ([ROWS[0], ROWS[1] | {"age": "old"}], {"/instances/1/age": 'The text "old" came; expected a number'}),
        ([ROWS[0] | {"sex": "mole"}], {"/instances/0/sex": "Did you mean 'male'"}),
        ([ROWS[0] | {"fare": None}], {"/instances/0/fare": "no value came"}),
        ([{"age": 1}], {"/instances/0/fare": "no value came", "/instances/0/sex": "no value came"}),
        ([ROWS[0] | {"hometown": "Oslo"}], {"/instances/0/hometown": "There is no column 'hometown'"}),
        ([ROWS[0] | {"home town": [1]}], {"/instances/0/home town": "A list of 1 came"}),
        ([{"numbers": [1, 2, 3], "categories": [1, 2]}], {"/instances/0/numbers": "There is no column 'numbers'"}),
    ],
)
def test_what_is_wrong_with_rows_is_told(client: FlaskClient, rows: Any, due: dict[str, str]) -> None:
    """Each fault where it is, and a record that is right in the sentence."""
    answer = ask(client, {"instances": rows})
    found = refused(answer)
    for pointer, words in due.items():
        assert words in found[pointer]
    assert 'A valid record is {"age": 30.0, "fare": 50.0, "sex": "female"' in answer.get_json()["detail"]


def test_the_example_of_an_error_is_valid(client: FlaskClient) -> None:
    """It can be sent as it is."""
    detail = ask(client, {"instances": [[1, 2]]}).get_json()["detail"]
    example = json.loads(detail.partition("A valid record is ")[2].removesuffix("."))
    assert ask(client, {"instances": [example]}).status_code == 200


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        ({"age": [1, 2], "fare": [1], "sex": ["male"]}, {"/inputs": "'age' has 2, 'fare' has 1, 'sex' has 1"}),
        ({"age": 1, "fare": [1], "sex": ["male"]}, {"/inputs/age": "The number 1 came; expected a list of values"}),
        ({"fare": [], "sex": []}, {"/inputs": "expected at least one row"}),
        ({}, {"/inputs": "An empty object came"}),
        (7, {"/inputs": "The number 7 came"}),
        ({"fare": [1, 2]}, {"/inputs/sex": "The column 'sex' is missing"}),
        ({"fare": [1, 2], "sexx": ["male"] * 2}, {"/inputs/sexx": "Did you mean 'sex'"}),
        ({"fare": [1, "x"], "sex": ["male", "?"]}, {"/inputs/fare/1": '"x"', "/inputs/sex/1": "which is new"}),
        ([1, 2], {"/inputs/1": "expected a record"}),
    ],
)
def test_what_is_wrong_with_columns_is_told(client: FlaskClient, columns: Any, due: dict[str, str]) -> None:
    """By column and row."""
    found = refused(ask(client, {"inputs": columns}))
    for pointer, words in due.items():
        assert words in found[pointer]


@pytest.mark.parametrize(
    ("text", "status", "due"),
    [
        ("age,fare,sex\n1,x,male\n", 422, {"/0/fare": "Row 1 (line 2): In the column 'fare': The text \"x\" came"}),
        ("fare,sex\n1,male\n\n2,?\n", 422, {"/1/sex": "Row 2 (line 4)"}),
        (
            "age;fare;sex\n1;2,5;male\n",
            422,
            {"": "in CSV for predictions, commas separate them and numbers have decimal"},
        ),
        ('fare,sex\n"2,5",male\n', 422, {"/0/fare": "expected a number with a decimal point. Send a point for"}),
        ("fare,sex\n1\n2,male,3\n", 422, {"/0": "1 cell came in row 1 (line 2)", "/1": "3 cells came in row 2"}),
        ("fare,sex\n", 422, {"": "No rows came"}),
        ("fare,fare,sex\n1,1,male\n", 422, {"": "came 2 times"}),
        ("fare,sex,hometown\n1,male,Oslo\n", 422, {"/hometown": "Did you mean 'home town'"}),
        ("age\n1\n", 422, {"/fare": "The column 'fare' is missing", "/sex": "The column 'sex' is missing"}),
        ("1,2\n3,4\n", 422, {"": "numbers only"}),
        ("", 422, {"": "first line is empty"}),
        ('fare,sex\n1,"a\0\n', 422, {}),
        (b"fare,sex\n1,m\xe4le\n", 400, {"": "The byte at position 12 is not UTF-8"}),
    ],
)
def test_what_is_wrong_with_csv_is_told(client: FlaskClient, text: Any, status: int, due: dict[str, str]) -> None:
    """By row, line and column."""
    content = text if isinstance(text, bytes) else text.encode()
    found = refused(ask(client, content, Content_Type=CSV), status)
    for pointer, words in due.items():
        assert words in found[pointer]


@pytest.mark.parametrize("charset", ["", "; charset=UTF-16"])
def test_csv_may_be_utf16(client: FlaskClient, charset: str) -> None:
    """With its byte order mark, as spreadsheets save it."""
    body = "fare,sex,age,home town\r\n71,female,38.5,Bergen\r\n".encode("utf-16")
    found = ask(client, body, Content_Type=CSV + charset).get_json()["predictions"]
    close([one["probabilities"]["yes"] for one in found], P[[1]])
    assert ask(client, {"instances": []}, Content_Type="application/json; charset=utf-16").status_code == 415


def test_csv_may_be_written_in_many_ways(client: FlaskClient) -> None:
    """With other columns of the table, a byte order mark, quotes, line ends of any kind, and words for no value."""
    text = (
        '\ufeffname,home town,sex,fare,age\r\n"Ann, or ""A""\nB",Bergen,female,7.10e1,38.50\r\n,NA,male, 53.1 ,nan\r\n'
    )
    found = ask(client, text.encode(), Content_Type=CSV).get_json()["predictions"]
    close([one["probabilities"]["yes"] for one in found], P[[1, 3]])


def test_arrow_has_values_of_many_types(client: FlaskClient) -> None:
    """Narrow and wide numbers, large texts and nulls."""
    table = pa.table(
        {
            "age": pa.array([22, None], pa.int16()),
            "fare": pa.array([7.25, 53.1], pa.float32()),
            "sex": pa.array(["male", "male"], pa.large_string()),
            "home town": pa.array(["Oslo", None]),
            "name": pa.nulls(2),
        }
    )
    found = ask(client, as_arrow(ipc.new_stream, table), Content_Type=ARROW_STREAM).get_json()["predictions"]
    close([one["probabilities"]["yes"] for one in found], P[[0, 3]])


@pytest.mark.parametrize(
    ("table", "due"),
    [
        (TABLE.append_column("sec", pa.array([1] * 4)), {"/sec": "There is no column 'sec'"}),
        (TABLE.drop_columns(["sex"]), {"/sex": "The column 'sex' is missing"}),
        (TABLE.slice(0, 0), {"": "No rows came"}),
        (TABLE.set_column(0, "age", pa.array([{"a": 1}] * 4)), {"/age": "is of Arrow's type struct<a: int64>"}),
        (TABLE.set_column(2, "sex", TABLE["sex"].dictionary_encode()), {"/sex": "Dictionaries must be decoded"}),
        (TABLE.set_column(1, "fare", pa.array([1.0, None, 2.0, float("inf")])), {"/1/fare": "no value came"}),
    ],
)
def test_what_is_wrong_with_arrow_is_told(client: FlaskClient, table: pa.Table, due: dict[str, str]) -> None:
    """Before a row is read, where the columns say it."""
    found = refused(ask(client, as_arrow(ipc.new_stream, table), Content_Type=ARROW_STREAM))
    for pointer, words in due.items():
        assert words in found[pointer]


def test_lines_that_are_no_json_are_told(client: FlaskClient) -> None:
    """By line; faults of records by row. A version without a preparation takes lines too."""
    assert "Line 2" in refused(ask(client, b'{"fare": 1}\n{\n', Content_Type=JSON_LINES), 400)["/1"]
    assert "/1/fare" in refused(ask(client, b'{"sex":"male","fare":1}\n\n{"sex":"male"}', Content_Type=JSON_LINES))
    assert "/0" in refused(ask(client, b"[1, 2, 3]\n", LOG, Content_Type=JSON_LINES))
    answer = ask(client, b"[1, 1]\n[1, 1]\n", LOG, Content_Type=JSON_LINES)
    assert answer.get_json()["predictions"] == [[0.0, 0.0], [0.0, 0.0]]


def test_many_rows_are_answered_in_their_order(client: FlaskClient) -> None:
    """They are encoded and written some at a time; a fault far behind is found where it is."""
    rows = [ROWS[place % 4] for place in range(5000)]
    found = ask(client, {"instances": rows}).get_json()["predictions"]
    close([one["probabilities"]["yes"] for one in found], np.tile(P, 1250))
    rows[4321] = rows[4321] | {"age": "?"}
    assert list(refused(ask(client, {"instances": rows}))) == ["/instances/4321/age"]
    columns = columns_of(rows)
    assert list(refused(ask(client, {"inputs": columns}))) == ["/inputs/age/4321"]


def test_faults_are_counted(client: FlaskClient) -> None:
    """Twenty are told, and how many more there are."""
    errors = ask(client, {"instances": [{"fare": "?", "sex": "male"}] * 50}).get_json()["errors"]
    assert (len(errors), errors[-1]["detail"]) == (21, "... and 30 more")


def test_too_many_rows_are_refused(client: FlaskClient) -> None:
    """Short records must not become arrays without a limit."""
    table = pa.table({"fare": pa.nulls(MAX_INPUT_BYTES // 20 + 1), "sex": pa.nulls(MAX_INPUT_BYTES // 20 + 1)})
    answer = ask(client, as_arrow(ipc.new_stream, table), Content_Type=ARROW_STREAM)
    assert answer.status_code == 413
    assert "in several requests" in answer.get_json()["detail"]


def test_tensorflow_serving_takes_records(client: FlaskClient) -> None:
    """By row and by column; its clients get plain numbers, as they know them."""
    rows = client.post("/v1/models/survived:predict", json={"instances": ROWS})
    close(rows.get_json()["predictions"], P.reshape(-1, 1))
    columns = client.post("/v1/models/survived:predict", json={"inputs": columns_of(ROWS)})
    close(columns.get_json()["outputs"], P.reshape(-1, 1))
    several = client.post("/v1/models/several:predict", json={"instances": ROWS[:1]}).get_json()["predictions"]
    close(several[0]["survived"], P[:1])
    wrong = client.post("/v1/models/survived:predict", json={"instances": [[1, 2, 3]]})
    assert wrong.status_code == 400
    assert "/instances/0" in wrong.get_json()["error"]
    assert "A valid record is" in wrong.get_json()["error"]
    tensors = client.get("/v1/models/survived/metadata").get_json()["metadata"]["signature_def"]["signature_def"]
    assert list(tensors["serving_default"]["inputs"]) == ["numbers", "categories"]


def test_tensorflow_serving_classifies(client: FlaskClient) -> None:
    """Labels with their scores; an example's values may be lists of one, and a context is common to all."""
    examples = [{name: [value] for name, value in row.items() if name != "home town"} for row in ROWS[:2]]
    body = {"signature_name": "serving_default", "context": {"home town": "Oslo"}, "examples": examples}
    found = client.post("/v1/models/survived:classify", json=body).get_json()["results"]
    due = ask(client, {"instances": [row | {"home town": "Oslo"} for row in ROWS[:2]]}).get_json()["predictions"]
    assert found == [[["no", one["probabilities"]["no"]], ["yes", one["probabilities"]["yes"]]] for one in due]
    tags = client.post("/v1/models/tags/versions/1:classify", json={"examples": ROWS}).get_json()["results"]
    assert [[label for label, _ in row] for row in tags] == [["crew", "rich"]] * 4


def test_tensorflow_serving_regresses(client: FlaskClient) -> None:
    """One number for each example."""
    found = client.post("/v1/models/price:regress", json={"examples": ROWS}).get_json()["results"]
    close(found, numbers_for(PRICE)[:, 0])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("survived:regress", {"examples": ROWS}, "asked with :predict or :classify"),
        ("price:classify", {"examples": ROWS}, "asked with :predict or :regress"),
        ("several:classify", {"examples": ROWS}, "asked with :predict."),
        (f"{LOG}:classify", {"examples": [[1, 2]]}, "asked with :predict."),
        ("survived:classify", {}, "Missing 'examples' key"),
        ("survived:classify", [], "not a JSON object with the key 'examples'"),
        ("survived:classify", {"examples": []}, "An empty list came"),
        ("survived:classify", {"examples": 3}, "The number 3 came"),
        ("survived:classify", {"examples": [3]}, "/examples/0"),
        ("survived:classify", {"examples": ROWS, "context": []}, "'context' must be an object"),
        ("survived:classify", {"examples": ROWS, "signature_name": "other"}, 'signature key "other" not found'),
        ("survived:classify", {"examples": [{"fare": [1, 2], "sex": "male"}]}, "/examples/0/fare"),
    ],
)
def test_wrong_examples_are_told(client: FlaskClient, path: str, body: Any, words: str) -> None:
    """As TensorFlow Serving's clients read errors."""
    answer = client.post(f"/v1/models/{path}", json=body)
    assert answer.status_code == 400
    assert words in answer.get_json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "index": [1, 2, 3, 4], "data": CELLS}},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": columns_of(ROWS)},
    ],
)
def test_mlflow_s_forms_have_raw_columns(client: FlaskClient, body: Any) -> None:
    """And labelled answers."""
    answer = client.post("/invocations", json=body)
    check_survived(answer.get_json()["predictions"])


def test_mlflow_s_csv_has_raw_columns(client: FlaskClient) -> None:
    """Likewise."""
    answer = client.post("/invocations", data=BODIES[CSV], content_type=CSV)
    check_survived(answer.get_json()["predictions"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dataframe_split": {"data": [[1, 2]]}}, "/dataframe_split/columns: A list of the columns' names"),
        ({"dataframe_split": {"columns": ["fare", "sex"], "data": []}}, "with at least one row"),
        ({"dataframe_split": {"columns": ["fare", "sex"], "data": [[1]]}}, "/dataframe_split/data/0: A list of 1 came"),
        ({"dataframe_split": {"columns": ["fare", "sex"], "data": [[1, "?"]]}}, "/dataframe_split/data/0/1: "),
        ({"dataframe_split": {"columns": ["fare", "x"], "data": [[1, 2]]}}, "There is no column 'x'"),
        ({"dataframe_split": {"columns": ["fare", "fare", "sex"], "data": [[1, 2, "male"]]}}, "came 2 times"),
        ({"dataframe_split": {"columns": [1, 2], "data": [[1, 2]]}}, "/dataframe_split/columns"),
        ({"dataframe_records": [{"fare": 1}]}, "/dataframe_records/0/sex"),
        ({"dataframe_records": []}, "/dataframe_records: An empty list came"),
    ],
)
def test_wrong_data_frames_are_told(client: FlaskClient, body: Any, words: str) -> None:
    """Where MLflow's clients look for it."""
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 400
    assert words in answer.get_json()["message"]


def test_the_open_inference_protocol_speaks_of_the_network(client: FlaskClient) -> None:
    """Its tensors are the encoded ones; asked for classes, it says the labels."""
    numbers = {"name": "numbers", "shape": [4, 3], "datatype": "FP32", "data": NUMBERS.ravel().tolist()}
    categories = {"name": "categories", "shape": [4, 2], "datatype": "INT32", "data": CATEGORIES.ravel().tolist()}
    inputs = [numbers, categories]
    (output,) = client.post("/v2/models/survived/infer", json={"inputs": inputs}).get_json()["outputs"]
    close(output["data"], P)
    for model, labels, due in (("class", CLASS.labels, 2), ("survived", ("yes",), 1)):
        wanted = [{"name": "out", "parameters": {"classification": 2}}]
        body = {"inputs": inputs, "outputs": wanted}
        (output,) = client.post(f"/v2/models/{model}/infer", json=body).get_json()["outputs"]
        assert output["shape"] == [4, due]
        for text in output["data"]:
            _, index, label = text.split(":")
            assert labels[int(index)] == label
    quantity = {"inputs": inputs, "outputs": [{"name": "out", "parameters": {"classification": 1}}]}
    (output,) = client.post("/v2/models/price/infer", json=quantity).get_json()["outputs"]
    assert {text.count(":") for text in output["data"]} == {1}


def test_a_version_says_what_it_takes(client: FlaskClient) -> None:
    """Its preparation in a client's words, and a record that can be sent; others say null."""
    shown = client.get("/v1/models/survived/versions/1").get_json()
    assert shown["preparation"]["rows"] == {"train": 70, "validation": 20, "test": 10}
    assert shown["preparation"]["targets"] == [{"column": "survived", "as": "binary", "labels": ["no", "yes"]}]
    assert [one["as"] for one in shown["preparation"]["features"]] == ["standardize", "min_max", "one_hot", "one_hot"]
    assert shown["preparation"]["ignored"] == ["name"]
    assert shown["evaluation"] is None
    assert ask(client, {"instances": [shown["example"]]}).status_code == 200
    (listed,) = client.get("/v1/models/survived/versions").get_json()["items"]
    assert {**listed, "model_version_status": shown["model_version_status"]} == shown
    other = client.get(f"/v1/models/{LOG}/versions/1").get_json()
    assert (other["preparation"], other["example"], other["evaluation"]) == (None, None, None)


def test_answers_without_numbers_are_refused_where_that_is_wanted(client: FlaskClient, tmp_path: Path) -> None:
    """`nan=error` names the rows, as it does of plain numbers; else the label is null."""
    published = Published(tmp_path)
    publish(published, "broken", SURVIVED, broken=True)
    asked = create_app(published.settings).test_client()
    (row,) = ask(asked, {"instances": ROWS[:1]}, "broken").get_json()["predictions"]
    assert row == {"label": None, "probability": None, "probabilities": {"no": None, "yes": None}}
    refusal = ask(asked, {"instances": ROWS[:1]}, "broken", "?nan=error")
    assert refusal.status_code == 422
    assert list(refused(refusal)) == ["/predictions/0/0"]
