"""What clients saw of several registers, kept for each by itself, and judged in the end."""

from __future__ import annotations

from scripts.history.checker import NEVER, Operation, first_violation
from scripts.history.run import Run
from scripts.history.shrink import shrink


class Violation(Exception):
    """The registry did what it must not; the message shows it, and `shown` are the operations that prove it."""

    def __init__(self, message: str, shown: tuple[Operation, ...] = ()) -> None:
        super().__init__(message)
        self.shown = shown


class Recorded:
    """The histories of some registers. Shared by the clients of a run."""

    def __init__(self, run: Run, registers: list[str]) -> None:
        self.registers = registers
        self._run = run
        self._histories: dict[str, list[Operation]] = {register: [] for register in registers}

    def add(self, operation: Operation | None, *registers: str) -> None:
        """Note an operation in the histories of the registers that it was about; None is an operation without trace."""
        if operation is None:
            return
        with self._run.guard:
            for register in registers:
                self._histories[register].append(operation)

    def judge(self) -> str:
        """Return what was checked. Raises `Violation` for the first register that is not linearizable."""
        for register, history in self._histories.items():
            if first_violation(history) is not None:
                shown = shrink(history)
                lines = "\n".join(f"  {show(one)}" for one in shown)
                raise Violation(
                    f"{register} is no linearizable register; of its {len(history)} operations these can't all be"
                    f" true:\n{lines}",
                    tuple(shown),
                )
        every = [one for history in self._histories.values() for one in history]
        unknown = sum(one.returned == NEVER for one in every)
        checked = f"{len(every)} operations on {len(self._histories)} registers"
        return f"{checked} are linearizable ({unknown} of unknown outcome)"


def show(one: Operation) -> str:
    """Return an operation as a line: when it was called, when it returned, what it did and what it found."""
    returned = "never     " if one.returned == NEVER else f"{one.returned:.6f}"
    found = " (404)" if one.found is False else ""
    return f"{one.called:.6f} to {returned} {one.kind} {one.value or 'nothing'}{found}"
