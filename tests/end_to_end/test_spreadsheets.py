"""Files as spreadsheets write them: they are uploaded as they are, trained on, and predicted from by records."""

import gzip
from typing import Any

import pytest

from tests.end_to_end.conftest import Service
from tests.passengers import passengers

PEOPLE = passengers(200)
COLUMNS = ("age", "fare", "sex", "port", "rescued")
SMALL: dict[str, Any] = {
    "target": "rescued",
    "architecture": {"layers": [{"type": "Dense", "units": 4, "activation": "relu"},
                                {"type": "Dense", "units": 1, "activation": "sigmoid"}]},
    "compile": {"loss": "binary_crossentropy", "optimizer": {"type": "Adam", "learning_rate": 0.01}},
    "fit": {"epochs": 2},
    "seed": 3,
}  # fmt: skip


def as_text(delimiter: str, decimal: str) -> str:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return text.replace(".", decimal) if isinstance(value, float) else text

    rows = [[cell(person[column]) for column in COLUMNS] for person in PEOPLE]
    return "\r\n".join(delimiter.join(row) for row in [list(COLUMNS), *rows])


def upload(service: Service, body: bytes, media_type: str = "text/csv", **query: str) -> dict[str, Any]:
    answer = service.post("/v1/datasets", data=body, headers={"Content-Type": media_type}, params=query)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def types(dataset: dict[str, Any]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in dataset["columns"]}


def test_unicode_text_is_a_table_like_any_other(service: Service) -> None:
    """UTF-16 with tabs and decimal commas, as Excel saves it, packed or not; a prediction may be UTF-16 too."""
    plain = upload(service, as_text(",", ".").encode())
    body, tabs = as_text("\t", ",").encode("utf-16"), "text/tab-separated-values"
    found = upload(service, body, f"{tabs}; charset=utf-16")
    packed = upload(service, gzip.compress(body), "application/gzip")
    assert plain["sha256"] == found["sha256"] == packed["sha256"]
    answer = service.post("/v1/datasets", data=body[:-1], headers={"Content-Type": tabs})
    assert (answer.status_code, f"at position {len(body) - 2} is not" in answer.text) == (400, True)
    service.train(model="unicode", dataset=found["id"], **SMALL)
    answers = [
        service.post(
            "/v1/models/unicode/predict",
            data=as_text(",", ".").encode(encoding),
            headers={"Content-Type": f"text/csv; charset={encoding}"},
        ).json()["predictions"]
        for encoding in ("utf-8", "utf-16")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(PEOPLE)


def test_a_category_stands_for_a_missing_one_from_the_training_to_the_prediction(service: Service) -> None:
    """By name, or as the most frequent one; a record without a value is answered as one with that category."""
    known = [person["port"] for person in PEOPLE if person["port"] is not None]
    usual = max(sorted(set(known)), key=known.count)
    dataset = upload(service, as_text(",", ".").encode())["id"]
    features = {"port": {"as": "one_hot", "missing": {"category": "Rome"}}}
    body = {**SMALL, "model": "filled", "dataset": dataset, "features": features}
    refused = service.post("/v1/jobs", json=body)
    (fault,) = refused.json()["errors"]
    assert (refused.status_code, fault["pointer"]) == (422, "/features/port/missing/category")
    assert all(repr(port) in fault["detail"] for port in set(known))
    asked: list[tuple[Any, str]] = [({"category": "Cork"}, "Cork"), ("most_frequent", usual)]
    for missing, fill in asked:
        features = {"fare": "log", "port": {"as": "one_hot", "missing": missing}}
        job = service.train(model="filled", dataset=dataset, **{**SMALL, "features": features})
        version = service.get(f"/v1/models/filled/versions/{job['version']}").json()
        (port,) = [one for one in version["preparation"]["features"] if one["column"] == "port"]
        assert port["missing"] == {"category": fill}
        without, with_fill, other = service.predict(
            "filled", [{"fare": 7.5}, {"fare": 7.5, "port": fill}, {"fare": 7.5, "port": min({*known} - {fill})}]
        )
        assert without == with_fill != other


def test_decimal_commas_are_numbers_from_the_upload_to_the_prediction(service: Service) -> None:
    """The table is that of the same file with points; a prediction in such CSV is told how to come."""
    points = upload(service, as_text(",", ".").encode())
    found = upload(service, as_text(";", ",").encode())
    said = upload(service, as_text(";", ",").encode(), decimal=",", delimiter=";")
    assert types(found)["fare"] == "float64"
    assert points["sha256"] == found["sha256"] == said["sha256"]
    assert types(upload(service, as_text(";", ",").encode(), decimal="."))["fare"] == "string"
    answer = service.post("/v1/datasets", data=b"a;b\n1.234,5;1\n", headers={"Content-Type": "text/csv"},
                          params={"decimal": ","})  # fmt: skip
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/0/a")
    assert service.post("/v1/datasets", data=b"a\n1\n", params={"decimal": "'"}).status_code == 422
    service.train(model="commas", dataset=found["id"], **SMALL)
    predict, csv = "/v1/models/commas/predict", {"Content-Type": "text/csv"}
    answer = service.post(predict, data=as_text(";", ",").encode(), headers=csv)
    assert (answer.status_code, "commas separate them" in answer.json()["detail"]) == (422, True)
    answer = service.post(predict, data=as_text(",", ".").encode(), headers=csv)
    assert len(answer.json()["predictions"]) == len(PEOPLE)
    (alone,) = service.predict("commas", [{column: PEOPLE[0][column] for column in COLUMNS[:-1]}])
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(alone["probability"], abs=1e-6)


def test_an_option_that_there_is_not_is_told_with_what_came(service: Service) -> None:
    """Both at once; the punctuation is named, since it would be lost among that of a list."""
    answer = service.post(
        "/v1/datasets",
        data=b"a;b\n1;2\n",
        headers={"Content-Type": "text/csv"},
        params={"decimal": "x", "delimiter": "#"},
    )
    assert answer.status_code == 422
    said = {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}
    assert said == {
        "/decimal": "'x' came; a point or a comma was expected.",
        "/delimiter": "'#' came; a comma, a semicolon, a bar or a tab (%09) was expected.",
    }
