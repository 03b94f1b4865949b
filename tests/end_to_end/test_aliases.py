"""Deploying behind an alias: versions come, move and go while clients ask, and no request fails."""

import threading
from typing import Any

import requests

from tests.end_to_end.conftest import Service, wait_for

CLIENTS = 4
VERSIONS = 5


def body(seed: int) -> dict[str, Any]:
    return {
        "model": "deployed",
        "architecture": {"layers": [{"type": "Dense", "units": 3}, {"type": "Dense", "units": 1}]},
        "compile": {"loss": "mse"},
        "fit": {"epochs": 1},
        "seed": seed,
        "data": {"x": [[0.0, 1.0], [1.0, 0.0]], "y": [0.0, 1.0]},
    }


class Asking:
    """Clients that ask without a pause, by the alias and for the newest, and note every answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        #: Of each client, the answers' statuses and versions, in order.
        self.answers: list[list[tuple[int, Any]]] = [[] for _ in range(CLIENTS)]

    def _ask(self, number: int) -> None:
        query = "?version=stable" if number % 2 else ""
        url = f"{self._service.url}/v1/models/deployed/predict{query}"
        with requests.Session() as session:
            while not self._over.is_set():
                answer = session.post(url, json={"instances": [[1.0, 2.0]]}, timeout=60)
                self.answers[number].append((answer.status_code, answer.json().get("version")))

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def put(service: Service, version: int, **headers: str) -> requests.Response:
    url = f"{service.url}/v1/models/deployed/aliases/stable"
    return service.http.put(url, json={"version": version}, headers=headers, timeout=60)


def test_no_request_fails_while_versions_come_move_and_go(service: Service) -> None:
    """Each client sees versions in the order in which they were deployed, and the last one in the end."""
    service.train(**body(1))
    tag = put(service, 1).headers["ETag"]
    with Asking(service) as asking:
        for version in range(2, VERSIONS + 1):
            service.train(**body(version))
            moved = put(service, version, **{"If-Match": tag})
            assert moved.status_code == 200, moved.text
            tag = moved.headers["ETag"]
            assert service.delete(f"/v1/models/deployed/versions/{version - 1}").status_code == 204
        before = [len(answers) for answers in asking.answers]
        wait_for(lambda: all(len(now) > was + 2 for now, was in zip(asking.answers, before, strict=True)), 60)
    for answers in asking.answers:
        assert {status for status, _ in answers} == {200}
        versions = [version for _, version in answers]
        assert versions == sorted(versions)
        assert versions[-1] == VERSIONS


def test_a_rollback_is_one_request(service: Service) -> None:
    """From the next request on, whichever worker answers."""
    for seed in (1, 2):
        service.train(**body(seed) | {"model": "rolled"})
    url = f"{service.url}/v1/models/rolled/aliases/stable"
    first = service.http.put(url, json={"version": 1}, timeout=60)
    second = service.http.put(url, json={"version": 2}, headers={"If-Match": first.headers["ETag"]}, timeout=60)
    previous = second.json()["previous_version"]
    rolled = service.http.put(url, json={"version": previous}, headers={"If-Match": second.headers["ETag"]}, timeout=60)
    assert rolled.json()["version"] == 1
    for _ in range(20):
        # Each request has a connection of its own, so that both workers answer some.
        answer = requests.post(
            f"{service.url}/v1/models/rolled/predict?version=stable", json={"instances": [[1.0, 2.0]]}, timeout=60
        )
        assert answer.json()["version"] == 1
