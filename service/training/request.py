"""A job's request as the registry keeps it, and its fingerprint."""

import hashlib
import json
from typing import Any

#: What a result depends on, beside the data and the way that the steps are run.
_ASKED = ("network", "input_shapes", "compilation", "fitting", "seed", "initial")
#: What is a part of it only where it is there.
_OF_TABLES = "preparation"


def request_sha256(request: dict[str, Any]) -> str:
    """SHA-256 over the parts of a request that decide the result, as JSON with sorted keys and without spaces."""
    asked = {name: request.get(name) for name in _ASKED}
    if _OF_TABLES in request:
        asked[_OF_TABLES] = request[_OF_TABLES]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
