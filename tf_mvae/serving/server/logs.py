"""Logs as JSON, a line an event, on standard error."""

import datetime
import json
import logging

__all__ = ["JsonFormatter", "set_up"]

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: time, level, event, and what `extra` gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up() -> None:
    """Sends the logs of the server, uvicorn and TensorFlow to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name, level in (
        ("tf_mvae", logging.INFO),
        ("uvicorn", logging.WARNING),
        ("asyncio", logging.WARNING),
        # TensorFlow's. It warns of a model whose gradients were not saved: nobody asks for any.
        ("absl", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
