"""What is wrong with data, in the order found, and the places of it."""

from typing import Final

from service.errors import Fault, Invalid


class FaultList:
    """Faults in the order found; it keeps the first `LIMIT` and counts the rest."""

    LIMIT: Final = 20

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self._more = 0

    def add(self, pointer: str, detail: str) -> None:
        if len(self._kept) < self.LIMIT:
            self._kept.append(Fault(pointer=pointer, detail=detail))
        else:
            self._more += 1

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that nobody need describe them."""
        return len(self._kept) >= self.LIMIT

    def count_more(self, number: int) -> None:
        """Count faults without describing them."""
        self._more += number

    def __len__(self) -> int:
        return len(self._kept) + self._more

    def raise_if_any(self, advice: str = "") -> None:
        """Raise Invalid with everything that was found; `advice` is a sentence beside the usual one."""
        if not self._kept:
            return
        rest = [Fault(pointer="", detail=f"... and {self._more} more")] if self._more else []
        detail = f"Faults in the data: {len(self)}. Mend what `errors` lists and send again."
        raise Invalid(f"{detail} {advice}".strip(), self._kept + rest)


def escape(token: str) -> str:
    """One token of a JSON Pointer, as RFC 6901 escapes it; half a character, which JSON can hold, becomes `?`."""
    return token.replace("~", "~0").replace("/", "~1").encode(errors="replace").decode()
