"""Requests for one signature are run together, as many as wait, and answered apart."""

import asyncio
import collections
import concurrent.futures
import dataclasses
import logging
import time

import numpy as np
import tensorflow as tf

from tf_mvae.serving.server.codec import Call, write_answer
from tf_mvae.serving.server.errors import RequestError, from_tensorflow, overloaded
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings

__all__ = ["Batcher"]

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class _Waiting:
    call: Call
    answer: asyncio.Future
    since: float


@dataclasses.dataclass(eq=False)
class _Queue:
    """Requests that may be run together: one version, signature and shape."""

    version: ServedVersion
    signature: str
    limit: int
    waiting: collections.deque = dataclasses.field(default_factory=collections.deque)
    timer: asyncio.TimerHandle | None = None
    running: int = 0

    @property
    def examples(self) -> int:
        return sum(entry.call.examples for entry in self.waiting)


class Batcher:
    """Runs calls on a few threads, from queues for each signature and shape, bounded together.

    A thread that is free takes what waits, up to `max_batch_size` examples; a batch that is
    not full waits `batch_timeout_micros` for more first. While a batch runs, the requests that
    could have joined it gather for the next, and the other threads are for other queues, until
    a whole batch waits. Queues take turns. All methods belong to one event loop.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        """Starts the threads."""
        self._settings = settings
        self._metrics = metrics
        self._pool = concurrent.futures.ThreadPoolExecutor(settings.num_threads, "model")
        self._free = settings.num_threads
        self._queues: collections.OrderedDict[tuple, _Queue] = collections.OrderedDict()
        self._waiting = 0
        self._scheduled = False

    async def submit(self, version: ServedVersion, call: Call) -> bytes:
        """Returns the body of the answer to a call.

        Raises:
            RequestError: There is no room, the time is over, or the model refused.
        """
        self.check_room()
        queue = self._queue_of(version, call)
        loop = asyncio.get_running_loop()
        entry = _Waiting(call, loop.create_future(), time.monotonic())
        queue.waiting.append(entry)
        self._count(1)
        if not self._scheduled:  # what arrives in one turn of the event loop goes together
            self._scheduled = True
            loop.call_soon(self._dispatch)
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                return await entry.answer
        except TimeoutError:
            self._metrics.refused.labels("timeout").inc()
            raise RequestError(
                504, f"no answer within {self._settings.request_seconds:g} seconds"
            ) from None
        finally:
            entry.answer.cancel()  # a batch to come passes it over
            if entry in queue.waiting:
                queue.waiting.remove(entry)
                self._count(-1)

    def check_room(self) -> None:
        """Refuses if as many requests wait as may; asked before a body is read, it costs little.

        Raises:
            RequestError: There is no room.
        """
        if self._waiting >= self._settings.max_queue:
            self._metrics.refused.labels("queue_full").inc()
            raise overloaded(f"{self._settings.max_queue} requests wait for the model")

    @property
    def busy(self) -> bool:
        """Whether a call of the model runs."""
        return self._free < self._settings.num_threads

    def close(self) -> None:
        """Lets the threads end with the calls that they run."""
        self._pool.shutdown(wait=False)

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.queued.set(self._waiting)

    def _queue_of(self, version: ServedVersion, call: Call) -> _Queue:
        name = call.signature.name
        lengths = {len(array) for array in call.inputs.values() if array.ndim}
        together = (
            self._settings.batching
            and name in version.batchable
            # Inputs that were left out may be empty; they meet the like only.
            and lengths <= {0, call.examples}
            and call.examples in lengths
        )
        shapes = ()
        if together:
            shapes = tuple((not len(array), array.shape[1:]) for array in call.inputs.values())
        key = (id(version), name, shapes)
        if key not in self._queues:
            limit = self._settings.max_batch_size if together else 1
            self._queues[key] = _Queue(version, name, limit)
        return self._queues[key]

    def _dispatch(self) -> None:
        """Gives free threads to the queues that are ready, in turns."""
        self._scheduled = False
        started = True
        while started:
            started = False
            for key in list(self._queues):
                queue = self._queues[key]
                if not queue.waiting:
                    if not queue.running:
                        del self._queues[key]  # it is made again at need, behind the others
                elif self._free and self._ready(queue):
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
        queue.running += 1
        self._metrics.batch_size.labels(queue.signature).observe(
            sum(entry.call.examples for entry in batch)
        )
        loop = asyncio.get_running_loop()
        calls = [entry.call for entry in batch]
        done = self._pool.submit(_answers, queue.version, queue.signature, calls)
        done.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finish, queue, batch, done)
        )

    def _finish(
        self, queue: _Queue, batch: list[_Waiting], done: concurrent.futures.Future
    ) -> None:
        self._free += 1
        queue.running -= 1
        for entry, answer in zip(batch, done.result(), strict=True):
            if entry.answer.done():
                continue
            if isinstance(answer, Exception):
                entry.answer.set_exception(answer)
            else:
                entry.answer.set_result(answer)
        self._dispatch()


def _answers(version: ServedVersion, name: str, calls: list[Call]) -> list[bytes | Exception]:
    """Runs calls together; where that fails, each alone, so that none suffers for another."""
    try:
        outputs = version.run(name, _concatenate(calls))
    except Exception as error:
        if len(calls) > 1 and isinstance(error, tf.errors.OpError):
            return [_answers(version, name, [call])[0] for call in calls]
        said = from_tensorflow(error)
        if said.status >= 500:
            _LOG.exception("model failed", extra={"signature": name, "version": version.version})
        return [said] * len(calls)
    answers: list[bytes | Exception] = []
    start = 0
    for call in calls:
        stop = start + call.examples
        own = {k: v[start:stop] for k, v in outputs.items()} if len(calls) > 1 else outputs
        answers.append(_guarded(own, call))
        start = stop
    return answers


def _guarded(outputs: dict[str, np.ndarray], call: Call) -> bytes | Exception:
    try:
        return write_answer(outputs, call.rows, call.examples)
    except RequestError as error:
        return error
    except Exception:
        _LOG.exception("answer not written")
        return RequestError(500, "the answer cannot be written")


def _concatenate(calls: list[Call]) -> dict[str, np.ndarray]:
    if len(calls) == 1:
        return calls[0].inputs
    return {name: np.concatenate([c.inputs[name] for c in calls]) for name in calls[0].inputs}
