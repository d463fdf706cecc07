"""What people decide about incidents: carried out once, told to the receivers and to the console."""

from collections.abc import Callable

from alerts import metrics
from alerts.feed import Feed
from alerts.incident import Action, Command
from alerts.store.commands import Outcome, submit
from alerts.store.store import Store
from zhiwei.clock import Clock, to_datetime


class Commands:
    """Carries out commands on one event store."""

    def __init__(
        self, store: Store, clock: Clock, sinks: tuple[str, ...], feed: Feed, wake: Callable[[], object]
    ) -> None:
        """sinks: names of the receivers of each event. wake: whoever delivers; called from any thread."""
        self._store = store
        self._clock = clock
        self._sinks = sinks
        self._feed = feed
        self._wake = wake

    async def give(self, key: str, incident: str, action: Action, who: str, why: str = "") -> Outcome:
        """Carry out a command, once for its key; durable when it returns.

        key: idempotency key; a second call with it gets the first one's answer.
        Raises UnknownIncident, KeyReused, ZhiweiError as ``alerts.store.commands.submit`` does. What the
        life cycle does not allow is no error: see ``Outcome.refused``.
        """
        now_us = self._clock.now_us()
        command = Command(action=action, who=who, why=why, at=to_datetime(now_us))
        outcome = await self._store.transact(
            lambda connection: submit(connection, key, incident, command, sinks=self._sinks, now_us=now_us)
        )
        if outcome.change is not None:
            metrics.EVENTS.labels(outcome.change.kind.value).inc()
            self._wake()
            self._feed.publish([outcome.change])
        return outcome
