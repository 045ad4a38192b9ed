"""Batching: waiting requests for one signature run in one call of the model."""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from tf_mvae.serving.server.bounds import answer_bytes
from tf_mvae.serving.server.budget import Reservation
from tf_mvae.serving.server.call import Call
from tf_mvae.serving.server.calls import is_independent, run_together
from tf_mvae.serving.server.errors import RequestError, overloaded
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings

__all__ = ["Batcher"]

# A call that decodes more rows, and cannot be divided into parts, counts as long.
_LONG_ROWS = 256
# Long calls may use 1 / _LONG_FRACTION of the queue.
_LONG_FRACTION = 8
# Shorter responses are not counted in the memory budget.
_SHORT_ANSWER = 64 << 10


@dataclasses.dataclass(eq=False)
class _Waiting:
    call: Call
    answer: asyncio.Future
    since: float


@dataclasses.dataclass(eq=False)
class _Queue:
    """Waiting calls of one version, signature and shape, which may be run together."""

    version: ServedVersion
    signature: str
    limit: int
    long: bool
    waiting: collections.deque = dataclasses.field(default_factory=collections.deque)
    timer: asyncio.TimerHandle | None = None
    running: int = 0

    @property
    def examples(self) -> int:
        return sum(entry.call.examples for entry in self.waiting)


class Batcher:
    """Runs calls on a few threads, with one queue for each version, signature and shape.

    A free thread takes the waiting calls of a queue, up to `max_batch_size` examples; a batch that
    is not full first waits `batch_timeout_micros` for further calls. While a batch of a queue runs,
    new calls wait for the next one; a second batch of the same queue runs at the same time only if
    it is full. Queues take turns. The number of all waiting calls is limited to `max_queue`.

    A request with more independent examples is divided into parts that run one after another, so
    that other requests run in between. A long call that cannot be divided (samples depend on the
    shape of their noise) never uses the last free thread. All methods must be called from one event
    loop.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        """Starts the threads.

        Args:
            settings: The server's settings.
            metrics: The metrics to count in.
        """
        self._settings = settings
        self._metrics = metrics
        self._pool = concurrent.futures.ThreadPoolExecutor(settings.num_threads, "model")
        self._free = settings.num_threads
        self._free_for_long = max(settings.num_threads - 1, 1)
        self._most_long = max(settings.max_queue // _LONG_FRACTION, 1)
        self._queues: collections.OrderedDict[tuple, _Queue] = collections.OrderedDict()
        self._waiting = 0
        self._scheduled = False

    async def submit(
        self, version: ServedVersion, call: Call, reservation: Reservation
    ) -> list[bytes]:
        """Runs a call and returns the body of its response, in blocks.

        Args:
            version: The version to call.
            call: The call.
            reservation: Reserves the bytes of the response; the caller releases it.

        Raises:
            RequestError: The queue or the memory budget is full, or the model raised an error.
        """
        self.check_room()
        self._reserve(call, reservation)
        written = [await self._run(version, part) for part in self._parts(version, call)]
        blocks = call.answer.join(written)
        size = sum(map(len, blocks))
        if not reservation.resize(size if size > _SHORT_ANSWER else 0):
            raise self._no_room_for_answer()
        return blocks

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Limits a request to `request_seconds`, from its parsing on.

        Raises:
            RequestError: The time is over.
        """
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                yield
        except TimeoutError:
            self._metrics.refused.labels("timeout").inc()
            raise RequestError(
                504, f"no answer within {self._settings.request_seconds:g} seconds"
            ) from None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts a request that waits for something else than the model."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _reserve(self, call: Call, reservation: Reservation) -> None:
        """Reserves memory for the response; raises an error if there is not enough."""
        size = answer_bytes(call.signature, call.inputs, call.examples, call.answer.value_bytes)
        most = self._settings.max_answers_bytes
        if size > most:
            raise RequestError(
                400,
                f"the answer would be about {size} bytes long, which is more than "
                f"--max_answers_bytes={most} of this server allows; ask for fewer examples or "
                "samples at a time",
            )
        if size > _SHORT_ANSWER and not reservation.resize(size):
            raise self._no_room_for_answer()

    def _no_room_for_answer(self) -> RequestError:
        self._metrics.refused.labels("answers").inc()
        return overloaded("answers that are not read yet fill --max_answers_bytes")

    def _parts(self, version: ServedVersion, call: Call) -> list[Call]:
        size = 1 if call.signature.one_by_one else self._settings.max_batch_size
        if call.examples <= size or not is_independent(version, call):
            return [call]
        return [call.part(start, start + size) for start in range(0, call.examples, size)]

    async def _run(self, version: ServedVersion, call: Call) -> Any:
        """Queues a call, waits for it, and returns its outputs in the response's format."""
        queue = self._queue_of(version, call)
        loop = asyncio.get_running_loop()
        entry = _Waiting(call, loop.create_future(), time.monotonic())
        queue.waiting.append(entry)
        self._count(1)
        if not self._scheduled:  # calls of the same turn of the event loop form one batch
            self._scheduled = True
            loop.call_soon(self._dispatch)
        try:
            return await entry.answer
        finally:
            entry.answer.cancel()  # after a timeout the call is skipped
            if entry in queue.waiting:
                queue.waiting.remove(entry)
                self._count(-1)

    def check_room(self) -> None:
        """Checks that the queue is not full; called before a body is read, to reject early.

        Raises:
            RequestError: `max_queue` requests are waiting.
        """
        if self._waiting >= self._settings.max_queue:
            self._metrics.refused.labels("queue_full").inc()
            raise overloaded(f"{self._settings.max_queue} requests wait for the model")

    @property
    def busy(self) -> bool:
        """Whether a call of the model is running."""
        return self._free < self._settings.num_threads

    def close(self) -> None:
        """Ends the threads after the calls that are running, without waiting for them."""
        self._pool.shutdown(wait=False)

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.queued.set(self._waiting)

    def _queue_of(self, version: ServedVersion, call: Call) -> _Queue:
        name = call.signature.name
        together = (
            self._settings.batching
            and not call.signature.one_by_one
            and is_independent(version, call)
        )
        long = not together and call.decoded > max(_LONG_ROWS, self._settings.max_batch_size)
        if long:
            self._check_room_for_long()
        shapes = ()
        if together:
            shapes = tuple((not len(array), array.shape[1:]) for array in call.inputs.values())
        key = (id(version), name, shapes, long)
        if key not in self._queues:
            limit = self._settings.max_batch_size if together else 1
            self._queues[key] = _Queue(version, name, limit, long)
        return self._queues[key]

    def _check_room_for_long(self) -> None:
        waiting = sum(len(queue.waiting) for queue in self._queues.values() if queue.long)
        if waiting >= self._most_long:
            self._metrics.refused.labels("queue_full").inc()
            raise overloaded(f"{waiting} long requests wait for the model")

    def _dispatch(self) -> None:
        """Starts batches of the queues that are ready, in turns, while threads are free."""
        self._scheduled = False
        started = True
        while started:
            started = False
            for key in list(self._queues):
                queue = self._queues[key]
                if not queue.waiting:
                    if not queue.running:
                        del self._queues[key]  # a new call makes it again, after the others
                elif self._free and self._ready(queue) and (self._free_for_long or not queue.long):
                    self._start(queue)
                    self._queues.move_to_end(key)
                    started = True

    def _ready(self, queue: _Queue) -> bool:
        if queue.limit == 1 or queue.examples >= queue.limit:
            return True
        if queue.running:
            return False
        wait = self._settings.batch_timeout_micros / 1e6
        left = queue.waiting[0].since + wait - time.monotonic()
        if left <= 0:
            return True
        if queue.timer is None or queue.timer.when() < asyncio.get_running_loop().time():
            queue.timer = asyncio.get_running_loop().call_later(left, self._dispatch)
        return False

    def _start(self, queue: _Queue) -> None:
        batch = [queue.waiting.popleft()]
        room = queue.limit - batch[0].call.examples
        while queue.waiting and queue.waiting[0].call.examples <= room:
            batch.append(queue.waiting.popleft())
            room -= batch[-1].call.examples
        self._count(-len(batch))
        self._free -= 1
        self._free_for_long -= queue.long
        queue.running += 1
        self._metrics.batch_size.labels(queue.signature).observe(
            sum(entry.call.examples for entry in batch)
        )
        loop = asyncio.get_running_loop()
        calls = [entry.call for entry in batch]
        done = self._pool.submit(run_together, queue.version, queue.signature, calls)
        done.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finish, queue, batch, done)
        )

    def _finish(
        self, queue: _Queue, batch: list[_Waiting], done: concurrent.futures.Future
    ) -> None:
        self._free += 1
        self._free_for_long += queue.long
        queue.running -= 1
        for entry, answer in zip(batch, done.result(), strict=True):
            if entry.answer.done():
                continue
            if isinstance(answer, Exception):
                entry.answer.set_exception(answer)
            else:
                entry.answer.set_result(answer)
        self._dispatch()
