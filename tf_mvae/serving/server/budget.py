"""A memory budget that all requests share."""

__all__ = ["ByteBudget", "Reservation"]


class ByteBudget:
    """Counts reserved bytes up to a limit; must be used from one event loop.

    Example:
    ```python
    from tf_mvae.serving.server.budget import ByteBudget

    budget = ByteBudget(limit=100)
    with budget.reserve() as reservation:
        reservation.resize(60)  # True
        budget.held  # 60
    budget.held  # 0
    ```
    """

    def __init__(self, limit: int):
        """Makes an unused budget.

        Args:
            limit: The largest number of bytes to reserve.
        """
        self.limit = limit
        self.held = 0

    def reserve(self) -> "Reservation":
        """Returns a reservation of 0 bytes; as a context manager it releases itself."""
        return Reservation(self)


class Reservation:
    """The bytes of a budget that one request has reserved."""

    def __init__(self, budget: ByteBudget):
        """Makes a reservation of 0 bytes."""
        self._budget = budget
        self._held = 0

    def resize(self, size: int) -> bool:
        """Changes the reservation to `size` bytes; returns False if that exceeds the limit."""
        held = self._budget.held + size - self._held
        if size > self._held and held > self._budget.limit:
            return False
        self._budget.held, self._held = held, size
        return True

    def release(self) -> None:
        """Releases all bytes."""
        self.resize(0)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
