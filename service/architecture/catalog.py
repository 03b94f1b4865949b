"""The closed catalog: everything that an architecture, `compile` or `fit` may name, with typed and bounded arguments."""

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from service.architecture import arguments as reading
from service.errors import Fault
