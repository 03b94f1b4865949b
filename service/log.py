"""Logging, set up once for each process: JSON lines on stdout, or plain lines where stdout is a terminal."""

import logging
import sys

import structlog
from structlog.typing import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]

#: A failure as data. Local variables stay out of it: they can hold a client's rows.
_TRACES = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure(level: str) -> None:
    """Send structlog's and the standard library's events to stdout, one line an event, from `level` upwards."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_formatter(terminal=sys.stdout.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Alembic reports its own set-up at every start, at the level of news.
    logging.getLogger("alembic").setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def adopt(*names: str) -> None:
    """Take the loggers' own handlers away, so that what a library logs comes out as all other lines do."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True


def _formatter(*, terminal: bool) -> logging.Formatter:
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer()] if terminal else [_TRACES, structlog.processors.JSONRenderer(default=str)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
