"""The service behind the REST and gRPC APIs: versions, limits, and calls of the model."""

import asyncio
import concurrent.futures
from collections.abc import Callable

from tf_mvae.serving.server.batching import Batcher
from tf_mvae.serving.server.budget import ByteBudget
from tf_mvae.serving.server.call import Call, find_signature
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.repository import Repository, State
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings

__all__ = ["Service"]

# Larger bodies are parsed in a thread, so that the event loop is not blocked.
_LARGE_BODY = 128 << 10
_KINDS = {"classify": "classification", "regress": "regression"}


class Service:
    """Answers requests of both APIs, with common limits and common batches.

    All methods must be called from one event loop.

    Attributes:
        settings: The server's settings.
        repository: The served versions.
        metrics: The server's metrics.
        batcher: Runs the calls of the model.
        bodies: The memory budget of all request bodies.
        answers: The memory budget of all responses that are not sent yet.
    """

    def __init__(self, settings: Settings, repository: Repository, metrics: Metrics):
        """Starts the threads of the model.

        Args:
            settings: The server's settings.
            repository: The served versions.
            metrics: The metrics to count in.
        """
        self.settings = settings
        self.repository = repository
        self.metrics = metrics
        self.batcher = Batcher(settings, metrics)
        self.bodies = ByteBudget(settings.max_bodies_bytes)
        self.answers = ByteBudget(settings.max_answers_bytes)
        # One thread: Python runs one at a time anyway, and a parsed body takes many times the
        # memory of the body.
        self._parser = concurrent.futures.ThreadPoolExecutor(1, "parser")

    def find(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> ServedVersion:
        """Returns a served version; default: the newest.

        Args:
            name: The model's name in the request.
            version: The number of the version.
            label: Its label, instead of the number.

        Raises:
            RequestError: The model or the version is not served.
        """
        self._check_name(name)
        return self.repository.find(version, label)

    def states(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> dict[int, State]:
        """Returns the states of all versions, newest first, or of one version.

        Args:
            name: The model's name in the request.
            version: The number of a version.
            label: Its label, instead of the number.

        Raises:
            RequestError: There is no such model or version.
        """
        self._check_name(name)
        states = self.repository.states
        if label is not None:
            version = self.find(name, label=label).version
        if version is not None:
            if version not in states:
                raise RequestError(404, f"Could not find version {version} of model {name}")
            states = {version: states[version]}
        return {number: states[number] for number in sorted(states, reverse=True)}

    async def answer(
        self, found: ServedVersion, parse: Callable[[], Call], body_bytes: int, held
    ) -> list[bytes]:
        """Returns the response body of a predict request, in blocks.

        Args:
            found: The version to call.
            parse: Returns the call of the request; it runs in a thread for a large body.
            body_bytes: The bytes of the request's body.
            held: Reserves the bytes of the response; the caller releases it.

        Raises:
            RequestError: The request is wrong, a limit is exceeded, or the model raised an error.
        """
        with self.repository.use(found):
            async with self.batcher.in_time():
                return await self._answer(found, parse, body_bytes, held)

    async def _answer(self, found: ServedVersion, parse: Callable[[], Call], body_bytes: int, held):
        if body_bytes > _LARGE_BODY:
            loop = asyncio.get_running_loop()
            with self.batcher.waiting():
                call = await loop.run_in_executor(self._parser, parse)
        else:
            call = parse()
        return await self.batcher.submit(found, call, held)

    def refuse_method(self, found: ServedVersion, method: str, signature: str) -> RequestError:
        """Returns the error for a request to `classify` or `regress`.

        Args:
            found: The version.
            method: `classify` or `regress`.
            signature: The signature's name.
        """
        actual = find_signature(signature, found.signatures).method
        wanted = f"tensorflow/serving/{method}"
        if actual != wanted:
            return RequestError(
                400,
                f"Expected {_KINDS[method]} signature method_name to be {wanted}. Was: {actual}",
            )
        return RequestError(501, f"{method} is not served; export a predict signature")

    def close(self) -> None:
        """Ends the threads after their current work, without waiting for them."""
        self.batcher.close()
        self._parser.shutdown(wait=False)

    def _check_name(self, name: str) -> None:
        if name != self.settings.model_name:
            raise RequestError(404, f"Servable not found for request: Latest({name[:100]})")
