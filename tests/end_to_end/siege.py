"""A service under siege: three networks train in it while its parts are killed at random moments."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from tests.end_to_end import networks
from tests.end_to_end.chaos import (
    RECOVERY_SECONDS,
    Besieged,
    Witness,
    kill,
    kill_everything,
    look_at,
    master,
    reaches,
    runner,
    workers,
)
from tests.end_to_end.conftest import Result, Service, assert_same, result_of, wait_for

NETWORKS = {"dense": networks.dense, "lstm": networks.lstm, "conv": networks.conv}
#: Who is struck how often, of 50 times; all but the last two are kills.
TARGETS = {
    "child": 29,
    "supervisor": 6,
    "worker": 5,
    "master": 2,
    "runner": 2,
    "everything": 2,
    "order": 1,
    "pause": 3,
}
#: The random part of the time between what a moment waits for and the moment, in seconds.
MOST_DELAY = 0.6


def targets(moments: int, source: random.Random) -> list[str]:
    """Whom to kill, in a random order; each part comes up as often as `TARGETS` says."""
    deck = [name for name, count in TARGETS.items() for _ in range(count)]
    drawn: list[str] = []
    while len(drawn) < moments:
        drawn += source.sample(deck, len(deck))
    return drawn[:moments]


@dataclass
class Siege:
    """One job of each network at a time, and what was done to them: `hits` counts the killed children by network."""

    besieged: Besieged
    witness: Witness
    expected: dict[str, Result]
    random: random.Random
    jobs: dict[str, str] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)

    @property
    def service(self) -> Service:
        return self.besieged.service

    def strike(self, target: str) -> None:
        """Kill one part of the service at a random moment."""
        strikes: dict[str, Callable[[], bool]] = {
            "child": self._kill_child,
            "supervisor": self._kill_supervisor,
            "worker": self._kill_worker,
            "master": self._kill_master,
            "runner": self._kill_runner,
            "everything": self._kill_everything,
            "order": self._stop_in_order,
            "pause": self._pause_a_job,
        }
        self._keep_busy()
        while not strikes[target]():
            self._keep_busy()
        self.kills[target] = self.kills.get(target, 0) + 1

    def end(self) -> None:
        """Let the last jobs come to their end."""
        for name in tuple(self.jobs):
            self._judge(name)

    def _keep_busy(self) -> None:
        """See to it that each network has a job, and compare those that have ended."""
        for name, body in NETWORKS.items():
            if name in self.jobs and self._has_ended(self.jobs[name]):
                self._judge(name)
            if name not in self.jobs:
                answers(self.service)
                self.jobs[name] = self.service.submit(**body())["id"]
                self.witness.watch(self.jobs[name])

    def _has_ended(self, job_id: str) -> bool:
        return (look_at(self.service, job_id) or {}).get("status") == "succeeded"

    def _judge(self, name: str) -> None:
        """Compare what a network's job comes to with what it should be."""
        job_id = self.jobs.pop(name)
        job = reaches(self.service, job_id, {"succeeded"})
        self.witness.forget(job_id)
        answers(self.service)
        assert_same(result_of(self.service, job), self.expected[name])
        self.judged.append(job_id)

    def _wait_for_the_moment(self) -> None:
        time.sleep(self.random.uniform(0, MOST_DELAY))

    def _kill_child(self) -> bool:
        """Kill the child of one of the jobs, wherever it is between its fork and its last word."""
        name = self.random.choice(sorted(self.jobs))
        job_id = self.jobs[name]
        wait_for(lambda: self.besieged.children.of(job_id) or self._has_ended(job_id), RECOVERY_SECONDS)
        self._wait_for_the_moment()
        killed = kill(self.besieged.children.of(job_id))
        self.hits[name] = self.hits.get(name, 0) + killed
        return killed

    def _kill_supervisor(self) -> bool:
        self._wait_for_the_moment()
        return kill(self.besieged.supervisor())

    def _kill_worker(self) -> bool:
        self._wait_for_the_moment()
        found = workers(self.service)
        return bool(found) and kill(self.random.choice(found))

    def _kill_master(self) -> bool:
        """The workers that it leaves behind may answer for a moment; the next master's stay."""
        self._wait_for_the_moment()
        first = master(self.service)
        killed = kill(first)
        wait_for(lambda: master(self.service) not in (None, first), RECOVERY_SECONDS, self.service.log)
        return killed

    def _kill_runner(self) -> bool:
        """Its death is the kernel's word to the others to end; then it is started again."""
        self._wait_for_the_moment()
        killed = kill(runner(self.service))
        assert self.service.process is not None
        self.service.process.wait(30)
        wait_for(lambda: not self.service.processes(), 60, lambda: f"left behind: {self.service.processes()}")
        self.service.start()
        return killed

    def _kill_everything(self) -> bool:
        self._wait_for_the_moment()
        kill_everything(self.service)
        self.service.start()
        return True

    def _stop_in_order(self) -> bool:
        """End the service as an operator does: its children write their checkpoints."""
        self._wait_for_the_moment()
        assert self.service.stop() == 0
        self.service.start()
        return True

    def _pause_a_job(self) -> bool:
        """Pause a job as a client does, wherever it is, and let it go on."""
        job_id = self.jobs[self.random.choice(sorted(self.jobs))]
        wait_for(lambda: self.besieged.children.of(job_id) or self._has_ended(job_id), RECOVERY_SECONDS)
        self._wait_for_the_moment()
        answers(self.service)
        if self.service.post(f"/v1/jobs/{job_id}/pause").status_code != 200:
            return False
        job = reaches(self.service, job_id, {"paused", "succeeded"})
        return job["status"] == "paused" and self.service.post(f"/v1/jobs/{job_id}/resume").status_code == 200


def answers(service: Service) -> None:
    """Wait until somebody answers requests."""

    def alive() -> bool:
        try:
            return requests.get(f"{service.url}/health/live", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    wait_for(alive, RECOVERY_SECONDS, service.log)
