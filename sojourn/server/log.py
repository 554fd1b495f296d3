"""The server log as JSON lines."""

from __future__ import annotations

import json
import logging
import sys
import time

_LONGEST_LINE = 200


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if not record.name.startswith("sojourn"):  # what other libraries go on to say may be of a customer
            line["message"] = line["message"].partition("\n")[0][:_LONGEST_LINE]
        if record.exc_info and record.exc_info[1] is not None:
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            # The exception's own words may hold what a customer sent.
            line["error"] = type(record.exc_info[1]).__name__
            line["where"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        return json.dumps(line, ensure_ascii=False)


def start_log() -> None:
    """One JSON object per line on standard error, without personal data."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger("sojourn").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody can bring its warnings about
