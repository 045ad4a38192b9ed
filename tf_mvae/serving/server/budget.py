"""Bytes that all requests together may hold in memory."""

__all__ = ["ByteBudget", "Reservation"]


class ByteBudget:
    """Counts bytes that are held, up to a limit. Belongs to one event loop."""

    def __init__(self, limit: int):
        """Nothing is held yet."""
        self.limit = limit
        self.held = 0

    def reserve(self) -> "Reservation":
        """Returns a reservation of no bytes; a context that releases what it holds."""
        return Reservation(self)


class Reservation:
    """What one request holds of a budget."""

    def __init__(self, budget: ByteBudget):
        """Holds nothing yet."""
        self._budget = budget
        self._held = 0

    def resize(self, size: int) -> bool:
        """Holds `size` bytes; returns False, and changes nothing, if there is no room."""
        held = self._budget.held + size - self._held
        if size > self._held and held > self._budget.limit:
            return False
        self._budget.held, self._held = held, size
        return True

    def release(self) -> None:
        """Holds nothing any more."""
        self.resize(0)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
