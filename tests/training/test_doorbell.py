"""The doorbell wakes whoever waits for it, and nobody is hurt when it is not there."""

import select
from pathlib import Path

from service.training.doorbell import MAX_PATH_BYTES, Doorbell, ring


def is_readable(bell: Doorbell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def test_a_ring_is_seen_until_it_is_answered(tmp_path: Path) -> None:
    """Any number of rings before the answer are one."""
    path = tmp_path / "bell"
    bell = Doorbell.install(path)
    assert bell is not None
    assert not is_readable(bell)
    ring(path)
    ring(path)
    assert is_readable(bell)
    bell.answer()
    assert not is_readable(bell)
    bell.remove()
    assert not path.exists()


def test_ringing_never_waits(tmp_path: Path) -> None:
    """Rings that nobody answers are dropped at some point, at once."""
    bell = Doorbell.install(tmp_path / "bell")
    assert bell is not None
    for _ in range(5000):
        ring(tmp_path / "bell")
    bell.answer()
    assert not is_readable(bell)
    bell.remove()


def test_a_ring_without_a_supervisor_is_no_error(tmp_path: Path) -> None:
    """Neither where there is nothing, nor where a dead one has left its socket, nor where no address fits."""
    ring(tmp_path / "none")
    ring(Path("/" + "x" * 200))
    bell = Doorbell.install(tmp_path / "bell")
    assert bell is not None
    left = tmp_path / "left"
    left.hardlink_to(tmp_path / "bell")
    bell.remove()
    ring(left)


def test_a_new_supervisor_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    """What a killed one left behind does not hinder it, and only this user may ring."""
    path = tmp_path / "bell"
    path.write_bytes(b"left behind")
    bell = Doorbell.install(path)
    assert bell is not None
    assert path.stat().st_mode & 0o777 == 0o600
    bell.remove()


def test_where_no_socket_can_be_there_is_no_doorbell(tmp_path: Path) -> None:
    """A path that is too long, or a folder that is not there; the supervisor looks by itself then."""
    assert Doorbell.install(tmp_path / ("x" * MAX_PATH_BYTES)) is None
    assert Doorbell.install(Path("/nonexistent/bell")) is None
