"""Logs as JSON, one line per event, on standard error."""

import datetime
import json
import logging

__all__ = ["JsonFormatter", "set_up"]

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, and the entries of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
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
        # TensorFlow's logger. It warns about models without saved gradients, which are not needed.
        ("absl", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
