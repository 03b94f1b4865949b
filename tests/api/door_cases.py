"""Requests that Flask and the front door must answer alike, whichever of its ways the front door takes."""

import gzip
import io
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from service.config import Settings
from service.registry.aliases import Aliases, Seen
from service.registry.database import Database
from tests.api.prepared import ROWS, SURVIVED, columns_of
from tests.api.prepared import publish as publish_prepared
from tests.api.served import LOG, PAIR, Published
from tests.registry.conftest import NOON

#: Two booleans.
NOT = "not"
#: Records, which it answers with labels.
RECORDS = "records"
LIMIT = 2_500_000
JSON = {"Content-Type": "application/json"}
PLAIN = b'{"instances": [[1.0, 2.5], [0, -1e-3]]}'
MANY = json.dumps({"instances": [[0.5, 1.0]] * 400}).encode()
#: More than is waited for before a thread is given to it.
LARGE = json.dumps({"instances": [[0.123456789, 1.0]] * 70_000}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request; `hot` is one that Flask is not asked for."""

    path: str
    body: bytes = PLAIN
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    method: str = "POST"
    query: str = ""
    hot: bool = False

    @property
    def url(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def publish(folder: Path, **settings: Any) -> Settings:
    """A data folder with the versions that the cases ask; `stable` of `log` is its first of two."""
    published = Published(folder, **{"max_body_bytes": LIMIT, **settings})
    for _ in range(2):
        published.logarithm(LOG)
    published.pair(PAIR)
    published.negation(NOT)
    publish_prepared(published, RECORDS, SURVIVED)
    database = Database(published.settings.database)
    Aliases(database).put(LOG, "stable", 1, Seen(), NOON)
    database.close()
    return published.settings


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _tensors(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": tensors, **more}).encode()


NATIVE, SERVING, INFER = f"/v1/models/{LOG}/predict", f"/v1/models/{LOG}:predict", f"/v2/models/{LOG}/infer"
X = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2.5, 3, 0]}
_BINARY = _tensors({key: X[key] for key in ("name", "shape", "datatype")} | {"parameters": {"binary_data_size": 16}})
_FLOATS = struct.pack("<4f", 1, 2.5, 3, 0)

#: Bodies of rows that are wrong, or right in another form than the plain one.
_ROWS = {
    "named rows": b'{"instances": [{"x": [1, 2]}]}',
    "columns": b'{"inputs": [[1, 2], [3, 4]]}',
    "nothing": b"",
    "no JSON": b"hello",
    "half of it": PLAIN[:-4],
    "more than it": PLAIN + b"]",
    "no object": b"[[1, 2]]",
    "another key": b'{"rows": [[1, 2]]}',
    "another key besides": b'{"instances": [[1, 2]], "else": 1}',
    "both keys": b'{"instances": [[1, 2]], "inputs": [[1, 2]]}',
    "no rows": b'{"instances": []}',
    "empty rows": b'{"instances": [[]]}',
    "a short row": b'{"instances": [[1, 2], [3]]}',
    "a long row": b'{"instances": [[1, 2, 3]]}',
    "a flat row": b'{"instances": [1, 2]}',
    "a deep row": b'{"instances": [[[1], [2]]]}',
    "very deep": b'{"instances": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    "a string": b'{"instances": [["1", 2]]}',
    "null": b'{"instances": [[null, 2]]}',
    "a boolean": b'{"instances": [[true, 2]]}',
    "NaN": b'{"instances": [[NaN, 2]]}',
    "too large a number": b'{"instances": [[1e39, 2]]}',
    "far too large a number": b'{"instances": [[1e999, 2]]}',
    "an integer of many digits": b'{"instances": [[%d, 2]]}' % 10**60,
    "no UTF-8": b'{"instances": [["\xff", 2]]}',
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "a signature": b'{"signature_name": "serving_default", "instances": [[1, 2]]}',
}
#: Bodies of tensors, right and wrong; every right one is answered without Flask.
_TENSORS = {
    "no JSON": b"hello",
    "nothing": b"",
    "no object": b"[]",
    "no inputs": b"{}",
    "another name": _tensors(X | {"name": "z"}),
    "another type": _tensors(X | {"datatype": "FP64"}),
    "another shape": _tensors(X | {"shape": [4]}),
    "too few": _tensors(X | {"data": [1]}),
    "null": _tensors(X | {"data": [1, 2, 3, None]}),
    "an unknown output": _tensors(X, outputs=[{"name": "q"}]),
}

#: Bodies of records that are wrong, or that come in another form than the plain one.
_RECORDS = {
    "columns": {"inputs": columns_of(ROWS)},
    "another key besides": {"instances": ROWS, "signature_name": "serving_default"},
    "lists": {"instances": [[1, 2, 3]]},
    "no records": {"instances": []},
    "a new category": {"instances": [ROWS[0] | {"sex": "?"}]},
    "an unknown column": {"instances": [ROWS[0] | {"x": 1}]},
    "a missing column": {"instances": [{"age": 1}]},
    "tensors": {"instances": [{"numbers": [1, 2, 3], "categories": [1, 2]}]},
}
_NATIVE_RECORDS, _SERVING_RECORDS = f"/v1/models/{RECORDS}/predict", f"/v1/models/{RECORDS}:predict"
_PLAIN_RECORDS = json.dumps({"instances": ROWS}).encode()

CASES: dict[str, Case] = {
    "native, plain": Case(path=NATIVE, hot=True),
    "native, in lines": Case(path=NATIVE, body=json.dumps(json.loads(PLAIN), indent=2).encode(), hot=True),
    "native, logarithms that are not finite": Case(path=NATIVE, body=b'{"instances":[[-1,0]]}', hot=True),
    "native, a version": Case(path=f"/v1/models/{LOG}/versions/1/predict", hot=True),
    "native, a version with zeros": Case(path=f"/v1/models/{LOG}/versions/001/predict", hot=True),
    "native, a version by query": Case(path=NATIVE, query="version=1", hot=True),
    "native, an alias": Case(path=NATIVE, query="version=stable", hot=True),
    "native, the latest": Case(path=NATIVE, query="version=latest", hot=True),
    "native, an encoded path": Case(path=NATIVE.replace("log", "l%6Fg"), hot=True),
    "native, anything accepted": Case(path=NATIVE, headers=JSON | {"Accept": "*/*"}, hot=True),
    "native, JSON accepted": Case(path=NATIVE, headers=JSON | {"Accept": "application/json"}, hot=True),
    "native, many rows": Case(path=NATIVE, body=MANY, hot=True),
    "native, many rows packed": Case(path=NATIVE, body=MANY, headers=JSON | {"Accept-Encoding": "gzip"}, hot=True),
    "native, many rows deflated": Case(
        path=NATIVE, body=MANY, headers=JSON | {"Accept-Encoding": "br, deflate;q=0.5"}, hot=True
    ),
    "native, few rows not packed": Case(path=NATIVE, headers=JSON | {"Accept-Encoding": "gzip"}, hot=True),
    "native, a large body": Case(path=NATIVE, body=LARGE, hot=True),
    **{
        f"native, {name}": Case(path=NATIVE, headers={"Content-Type": name}, hot=True)
        for name in ("application/json; charset=utf-8", "application/json;charset=UTF-8")
    },
    **{
        f"native, {name} accepted": Case(path=NATIVE, headers=JSON | {"Accept": name}, hot=True)
        for name in ("application/json, */*", "application/json, text/plain, */*")
    },
    "native, an odd charset": Case(path=NATIVE, headers={"Content-Type": 'Application/JSON; Charset="utf-8"'}),
    "native, text accepted before": Case(path=NATIVE, headers=JSON | {"Accept": "text/csv, application/json, */*"}),
    "native, another charset": Case(path=NATIVE, headers={"Content-Type": "application/json; charset=latin-1"}),
    "native, no type": Case(path=NATIVE, headers={}),
    "native, another type": Case(path=NATIVE, headers={"Content-Type": "text/plain"}),
    "native, CSV accepted": Case(path=NATIVE, headers=JSON | {"Accept": "text/csv"}),
    "native, CSV or JSON accepted": Case(path=NATIVE, headers=JSON | {"Accept": "text/csv;q=0.4, application/json"}),
    "native, images accepted": Case(path=NATIVE, headers=JSON | {"Accept": "image/png"}),
    "native, packed": Case(path=NATIVE, body=gzip.compress(PLAIN), headers=JSON | {"Content-Encoding": "gzip"}),
    "native, not packed": Case(path=NATIVE, headers=JSON | {"Content-Encoding": "identity"}),
    "native, packed badly": Case(path=NATIVE, headers=JSON | {"Content-Encoding": "gzip"}),
    "native, packed oddly": Case(path=NATIVE, headers=JSON | {"Content-Encoding": "br"}),
    "native, npy": Case(path=NATIVE, body=_npy(np.ones((2, 2), "f4")), headers={"Content-Type": "application/x-npy"}),
    "native, CSV": Case(path=NATIVE, body=b"a,b\n1,2\n", headers={"Content-Type": "text/csv"}),
    "native, no number wanted": Case(path=NATIVE, query="nan=error"),
    "native, no number wanted in vain": Case(path=NATIVE, query="nan=error", body=b'{"instances":[[-1,0]]}'),
    "native, two queries": Case(path=NATIVE, query="version=1&nan=null"),
    "native, a query twice": Case(path=NATIVE, query="version=1&version=2"),
    "native, an unknown query": Case(path=NATIVE, query="vesrion=1"),
    "native, an odd query": Case(path=NATIVE, query="version=%C3%A9"),
    "native, an unknown version": Case(path=NATIVE, query="version=9"),
    "native, version 0": Case(path=f"/v1/models/{LOG}/versions/0/predict"),
    "native, a long version": Case(path=f"/v1/models/{LOG}/versions/{'9' * 30}/predict"),
    "native, an unknown alias": Case(path=NATIVE, query="version=nobody"),
    "native, an unknown model": Case(path="/v1/models/nobody/predict"),
    "native, an odd model": Case(path="/v1/models/%00%2F%C3%A9/predict"),
    "native, no model": Case(path="/v1/models//predict"),
    "native, too large": Case(path=NATIVE, body=b" " * (LIMIT + 1)),
    "native, several inputs": Case(path=f"/v1/models/{PAIR}/predict", body=b'{"instances": [{"a": [1], "b": [2]}]}'),
    "native, booleans": Case(path=f"/v1/models/{NOT}/predict", body=b'{"instances": [[true, false]]}'),
    "native, numbers for booleans": Case(path=f"/v1/models/{NOT}/predict", body=b'{"instances": [[1, 0]]}'),
    "native, GET": Case(path=NATIVE, method="GET", body=b"", headers={}),
    "native, HEAD": Case(path=NATIVE, method="HEAD", body=b"", headers={}),
    "native, OPTIONS": Case(path=NATIVE, method="OPTIONS", body=b"", headers={}),
    "native, PUT": Case(path=NATIVE, method="PUT"),
    "serving, plain": Case(path=SERVING, hot=True),
    "serving, as curl sends it": Case(
        path=SERVING, headers={"Content-Type": "application/x-www-form-urlencoded"}, hot=True
    ),
    "serving, no type": Case(path=SERVING, headers={}, hot=True),
    "serving, images accepted": Case(path=SERVING, headers={"Accept": "image/png"}, hot=True),
    "serving, a query": Case(path=SERVING, query="a=b", hot=True),
    "serving, a version": Case(path=f"/v1/models/{LOG}/versions/1:predict", hot=True),
    "serving, a label": Case(path=f"/v1/models/{LOG}/labels/stable:predict", hot=True),
    "serving, many rows": Case(path=SERVING, body=MANY, headers=JSON | {"Accept-Encoding": "gzip"}, hot=True),
    "serving, a large body": Case(path=SERVING, body=LARGE, hot=True),
    "serving, packed": Case(path=SERVING, body=gzip.compress(PLAIN), headers={"Content-Encoding": "gzip"}),
    "serving, too large": Case(path=SERVING, body=b" " * (LIMIT + 1)),
    "serving, an unknown version": Case(path=f"/v1/models/{LOG}/versions/9:predict"),
    "serving, an odd version": Case(path=f"/v1/models/{LOG}/versions/one:predict"),
    "serving, an unknown label": Case(path=f"/v1/models/{LOG}/labels/nobody:predict"),
    "serving, the latest as a label": Case(path=f"/v1/models/{LOG}/labels/latest:predict"),
    "serving, a number as a label": Case(path=f"/v1/models/{LOG}/labels/1:predict"),
    "serving, an unknown model": Case(path="/v1/models/nobody:predict"),
    "serving, another method": Case(path=f"/v1/models/{LOG}:classify"),
    "serving, several inputs": Case(path=f"/v1/models/{PAIR}:predict", body=b'{"inputs": {"a": [[1]], "b": [[2]]}}'),
    "infer, JSON": Case(path=INFER, body=_tensors(X), hot=True),
    "infer, nested": Case(path=INFER, body=_tensors(X | {"data": [[1, 2.5], [3, 0]]}, id="seven"), hot=True),
    "infer, a version": Case(path=f"/v2/models/{LOG}/versions/1/infer", body=_tensors(X), hot=True),
    "infer, an alias": Case(path=f"/v2/models/{LOG}/versions/stable/infer", body=_tensors(X), hot=True),
    "infer, bytes back": Case(
        path=INFER, body=_tensors(X, outputs=[{"name": "y", "parameters": {"binary_data": True}}]), hot=True
    ),
    "infer, classes": Case(
        path=INFER, body=_tensors(X, outputs=[{"name": "y", "parameters": {"classification": 1}}]), hot=True
    ),
    "infer, bytes": Case(
        path=INFER,
        body=_BINARY + _FLOATS,
        headers={"Inference-Header-Content-Length": str(len(_BINARY))},
        hot=True,
    ),
    "infer, bytes alone": Case(
        path=INFER, body=_FLOATS[:8], headers={"Inference-Header-Content-Length": "0"}, hot=True
    ),
    "infer, several": Case(
        path=f"/v2/models/{PAIR}/infer",
        body=_tensors(*({"name": n, "shape": [1, 1], "datatype": "FP32", "data": [2]} for n in "ab")),
        hot=True,
    ),
    "infer, booleans": Case(
        path=f"/v2/models/{NOT}/infer",
        body=_tensors({"name": "m", "shape": [1, 2], "datatype": "BOOL", "data": [True, False]}),
        hot=True,
    ),
    "infer, many rows packed": Case(
        path=INFER,
        body=_tensors(X | {"shape": [900, 2], "data": [1.5] * 1800}),
        headers={"Accept-Encoding": "gzip"},
        hot=True,
    ),
    "infer, packed": Case(path=INFER, body=gzip.compress(_tensors(X)), headers={"Content-Encoding": "gzip"}),
    "infer, a length that lies": Case(
        path=INFER, body=_tensors(X), headers={"Inference-Header-Content-Length": "99999"}
    ),
    "infer, a length that is none": Case(
        path=INFER, body=_tensors(X), headers={"Inference-Header-Content-Length": "x"}
    ),
    "infer, an unknown version": Case(path=f"/v2/models/{LOG}/versions/9/infer", body=_tensors(X)),
    "infer, an unknown model": Case(path="/v2/models/nobody/infer", body=_tensors(X)),
    "infer, too large": Case(path=INFER, body=b" " * (LIMIT + 1)),
    "infer, GET": Case(path=INFER, method="GET", body=b"", headers={}),
    "records": Case(path=_NATIVE_RECORDS, body=_PLAIN_RECORDS, hot=True),
    "records, one": Case(path=_NATIVE_RECORDS, body=json.dumps({"instances": ROWS[:1]}).encode(), hot=True),
    "records, a version": Case(path=f"/v1/models/{RECORDS}/versions/1/predict", body=_PLAIN_RECORDS, hot=True),
    "records, packed": Case(
        path=_NATIVE_RECORDS, body=_PLAIN_RECORDS, headers=JSON | {"Accept-Encoding": "gzip"}, hot=True
    ),
    "records, a large body": Case(path=_NATIVE_RECORDS, body=json.dumps({"instances": ROWS * 4000}).encode(), hot=True),
    "records, NaN": Case(path=_NATIVE_RECORDS, body=_PLAIN_RECORDS.replace(b"22", b"NaN")),
    "records, CSV accepted": Case(path=_NATIVE_RECORDS, body=_PLAIN_RECORDS, headers=JSON | {"Accept": "text/csv"}),
    "records, serving": Case(path=_SERVING_RECORDS, body=_PLAIN_RECORDS, hot=True),
    "records, serving, NaN": Case(path=_SERVING_RECORDS, body=_PLAIN_RECORDS.replace(b"22", b"NaN")),
    "records, classified": Case(path=f"/v1/models/{RECORDS}:classify", body=json.dumps({"examples": ROWS}).encode()),
    "records, as tensors": Case(
        path=f"/v2/models/{RECORDS}/infer",
        body=_tensors(
            {"name": "numbers", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 0]},
            {"name": "categories", "shape": [1, 2], "datatype": "INT32", "data": [1, 3]},
            outputs=[{"name": "out", "parameters": {"classification": 1}}],
        ),
        hot=True,
    ),
    **{
        f"records, {name}": Case(path=_NATIVE_RECORDS, body=json.dumps(body).encode())
        for name, body in _RECORDS.items()
    },
    **{
        f"records, serving, {name}": Case(path=_SERVING_RECORDS, body=json.dumps(body).encode())
        for name, body in _RECORDS.items()
    },
    **{f"native, {name}": Case(path=NATIVE, body=body) for name, body in _ROWS.items()},
    **{f"serving, {name}": Case(path=SERVING, body=body) for name, body in _ROWS.items()},
    **{f"infer, {name}": Case(path=INFER, body=body) for name, body in _TENSORS.items()},
    "a model": Case(path=f"/v1/models/{LOG}", method="GET", body=b"", headers={}),
    "the models' head": Case(path="/v1/models", method="HEAD", body=b"", headers={}),
    "no such address": Case(path="/v1/nothing", method="GET", body=b"", headers={}),
    "a model that is deleted never": Case(path="/v1/models/nobody", method="DELETE", body=b"", headers={}),
    "the health": Case(path="/health/live", method="GET", body=b"", headers={}),
}

#: These differ from one answer to the next.
_OWN = {"date", "x-request-id", "server-timing", "connection", "transfer-encoding"}


def comparable(status: int, headers: list[tuple[str, str]], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """An answer without what differs from one to the next: times, and the request's id."""
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers)
    asked = named.get("x-request-id", "").encode()
    assert asked.startswith(b"req_")
    assert len(asked) == len("req_") + 24
    kept = {name: value for name, value in named.items() if name not in _OWN}
    kept["timed"] = str("server-timing" in named)
    if "allow" in named:
        # It is a set, whose order is another one in each process.
        kept["allow"] = ", ".join(sorted(named["allow"].split(", ")))
        body = body.replace(named["allow"].encode(), kept["allow"].encode())
    return status, kept, body.replace(asked, b"")
