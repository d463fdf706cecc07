"""What tests of detectors share: blank state, and the station of the golden case."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zhiwei.contracts import Field, Floats, State

VECTORS = Path(__file__).parent / "vectors"
Blank = Callable[..., State]


@pytest.fixture(scope="session")
def blank() -> Blank:
    """State of so many entities that have seen nothing."""

    def make(fields: Sequence[Field], entities: int, channels: int) -> State:
        shapes = {
            field.name: [channels if axis == "channel" else axis for axis in field.axes] for field in fields
        }
        return State({f.name: np.full((entities, *shapes[f.name]), f.fill, f.dtype) for f in fields})

    return make


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """The published event and the parameters; see the file."""
    content: dict[str, Any] = json.loads((VECTORS / "canary_golden.json").read_text())
    return content


@pytest.fixture(scope="session")
def station_b(golden: dict[str, Any]) -> Floats:
    """(7200, 4) CL2, PH, TURB, TOC as frames carry them: through float32."""
    columns = [channel["column"] for channel in golden["channels"]]
    with gzip.open(VECTORS / "canary_station_b.csv.gz", "rt", encoding="utf-8") as file:
        rows = [[float(row[c]) if row[c] else np.nan for c in columns] for row in csv.DictReader(file)]
    return np.array(rows, np.float32).astype(np.float64)
