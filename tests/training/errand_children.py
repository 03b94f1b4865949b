"""What stands in for an errand's child in the tests of the desk: real processes that only say and do a few things."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from service.errors import Fault, Invalid
from service.training.errand import Wire, problem
from service.training.zygote import Child
from tests.training.children import Pipe

Play = Callable[[Pipe, socket.socket, int], None]


class StagedZygote:
    """Starts processes that play one part."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._context = multiprocessing.get_context("forkserver")
        self.children: list[Child] = []

    def start(self, function: str, arguments: tuple[Any, ...]) -> Child:
        assert function == "service.training.errand_child:run_errand"
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(target=self._play, args=(theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        self.children.append(Child(process=process, connection=ours))
        return self.children[-1]


def answer(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    """Say what was heard."""
    wire = Wire(connection)
    wire.send({"result": {"threads": threads, "heard": wire.receive(20)}}, 20)
    wire.wait_for_the_end()


def refuse(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    """Find two faults."""
    wire = Wire(connection)
    wire.receive(20)
    faults = [Fault(pointer="/data/x", detail="one"), Fault(pointer="/data/y", detail="two")]
    wire.send(problem(Invalid("Two things are wrong.", faults)), 20)


def be_killed(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_badly(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    os._exit(3)


def die_in_the_middle_of_a_word(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    connection.sendall(b'{"result": {"half')
    os._exit(3)


def take_memory(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    """Take 96 MiB, and hold them."""
    held = bytearray(96 * 2**20)
    held[:: 2**12] = b"x" * (len(held) // 2**12)
    time.sleep(60)


def work_for_long(pipe: Pipe, connection: socket.socket, threads: int) -> None:
    """Do nothing until the client has hung up."""
    Wire(connection).wait_for_the_end()
