"""A plain hold: an event after so many outliers in a row, over after so many usual rows in a row."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np

from scenarios.generic.tables import read
from zhiwei.contracts import Bools, Field, Ints, Judgement, State

Rows = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class HoldSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be chosen."""

    rows: Rows
    """Outliers in a row that make an event."""
    clear_rows: Rows
    """Usual rows in a row that end it."""
    timeout: Rows
    """Event rows after which the change counts as lasting."""


class Hold:
    """Discriminator that counts rows in a row; between usual and clear the event goes on."""

    name = "hold"

    def __init__(self, *, settings: Mapping[str, object], file: str) -> None:
        self._chosen = read(HoldSettings, settings, file=file, key=self.name)
        self.fields: tuple[Field, ...] = (
            Field("hold.outliers", "int16"),
            Field("hold.usual", "int16"),
            Field("hold.event_rows", "int16"),
            Field("hold.active", "bool"),
        )

    def judge(self, state: State, entity: Ints, outlier: Bools) -> Judgement:
        """One more row of each entity. entity: (n,) each at most once."""
        most = self._chosen
        before = state["hold.active"][entity]
        outliers = np.where(outlier, np.minimum(state["hold.outliers"][entity] + 1, most.rows), 0)
        usual = np.where(outlier, 0, np.minimum(state["hold.usual"][entity] + 1, most.clear_rows))
        event = np.where(before, usual < most.clear_rows, outliers >= most.rows)
        count = np.where(event, state["hold.event_rows"][entity] + 1, 0)
        timed_out = event & (count >= most.timeout)
        state["hold.outliers"][entity] = np.where(timed_out, 0, outliers)
        state["hold.usual"][entity] = usual
        state["hold.event_rows"][entity] = np.where(timed_out, 0, count)
        state["hold.active"][entity] = event & ~timed_out
        return Judgement(
            event=event,
            probability=np.where(event, 1.0, outliers / most.rows),
            began=event & ~before,
            returned=before & ~event,
            timed_out=timed_out,
        )
