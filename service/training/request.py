"""A job's request as the registry keeps it, and its fingerprint."""

import hashlib
import json
from typing import Any

#: What a result depends on, beside the data and the way that the steps are run.
_ASKED = ("network", "input_shapes", "compilation", "fitting", "seed", "initial")


def request_sha256(request: dict[str, Any]) -> str:
    """SHA-256 over the parts of a request that decide the result, as JSON with sorted keys and without spaces."""
    asked = {name: request.get(name) for name in _ASKED}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
