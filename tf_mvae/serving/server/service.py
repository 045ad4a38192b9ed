"""What the REST API and the gRPC API share: versions, limits, and calls of the model."""

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

# Bodies above this are parsed in a thread, so that the event loop goes on.
_LARGE_BODY = 128 << 10
_KINDS = {"classify": "classification", "regress": "regression"}


class Service:
    """Answers requests of both protocols, within the same limits and in the same batches.

    All methods belong to one event loop.

    Attributes:
        settings: Limits, the model's name, the token.
        repository: The versions that are served.
        metrics: What is counted.
        batcher: Runs the calls.
        bodies: The bytes of the bodies of all requests.
        answers: The bytes of all answers that are not sent yet.
    """

    def __init__(self, settings: Settings, repository: Repository, metrics: Metrics):
        """Starts the threads of the model."""
        self.settings = settings
        self.repository = repository
        self.metrics = metrics
        self.batcher = Batcher(settings, metrics)
        self.bodies = ByteBudget(settings.max_bodies_bytes)
        self.answers = ByteBudget(settings.max_answers_bytes)
        # One at a time: Python runs one thread at a time, and what a parser makes of a body is
        # many times as long.
        self._parser = concurrent.futures.ThreadPoolExecutor(1, "parser")

    def find(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> ServedVersion:
        """Returns a version that is served; the newest if none is named.

        Raises:
            RequestError: The model or the version is not served.
        """
        self._check_name(name)
        return self.repository.find(version, label)

    def states(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> dict[int, State]:
        """Returns the states of the versions, newest first; of one if one is named.

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
        """Returns the body of the answer to a predict request, in blocks.

        Args:
            found: The version that answers.
            parse: Returns the call that the request asks for; runs in a thread for a long body.
            body_bytes: How long the body is.
            held: The reservation that holds the bytes of the answer until the caller releases it.

        Raises:
            RequestError: The request is wrong, there is no room, the time is over, or the model
                refused.
        """
        with self.repository.use(found):
            if body_bytes > _LARGE_BODY:
                loop = asyncio.get_running_loop()
                call = await loop.run_in_executor(self._parser, parse)
            else:
                call = parse()
            return await self.batcher.submit(found, call, held)

    def refuse_method(self, found: ServedVersion, method: str, signature: str) -> RequestError:
        """Returns why `classify` or `regress` of a signature is not answered."""
        actual = find_signature(signature, found.signatures).method
        wanted = f"tensorflow/serving/{method}"
        if actual != wanted:
            return RequestError(
                400,
                f"Expected {_KINDS[method]} signature method_name to be {wanted}. Was: {actual}",
            )
        return RequestError(501, f"{method} is not served; export a predict signature")

    def close(self) -> None:
        """Lets the threads end with what they run."""
        self.batcher.close()
        self._parser.shutdown(wait=False)

    def _check_name(self, name: str) -> None:
        if name != self.settings.model_name:
            raise RequestError(404, f"Servable not found for request: Latest({name[:100]})")
