"""Facts as JSON."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy


def plain(value: Any) -> Any:
    """Return facts as JSON holds facts: a number that is not finite is None, an object without JSON is a text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() | numpy.floating():
            return float(value) if math.isfinite(value) else None
        case numpy.bool_() | numpy.integer():
            return value.item()
        case numpy.ndarray():
            return plain(value.tolist())
        case Path():
            return str(value)
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case tuple() if hasattr(value, "_asdict"):  # a NamedTuple, such as Interval: names say more than places
            return plain(value._asdict())
        case Iterable():
            return [plain(v) for v in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
    return str(value)
