"""What the log of a server leaves out, so that the terminal shows faults alone."""

import logging

from tornado.websocket import WebSocketClosedError


class WithoutClosedPages(logging.Filter):
    """Leaves out that a page was closed while a kernel wrote to it, which is no fault of anyone's."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is of anything else."""
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, WebSocketClosedError)
