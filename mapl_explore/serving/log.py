"""What the log of a server leaves out, so that the terminal shows faults alone.

An extension of the server: as a setting it would take the place of a person's own ``logging_config``.
"""

import logging
from typing import Any

from tornado.websocket import WebSocketClosedError


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    logging.getLogger("asyncio").addFilter(is_a_fault)


def is_a_fault(record: logging.LogRecord) -> bool:
    """Return whether a record is of anything else than a page that was closed while a kernel wrote to it."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, WebSocketClosedError)
