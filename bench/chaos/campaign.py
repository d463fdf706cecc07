"""One bed, its publisher, and faults one after the other, chosen by a seed."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.chaos.faults import EVERY, SECOND, SERVERS, WEBHOOK, WORKERS, Act, Bag, Fault, possible
from bench.chaos.homes import CHANNEL, SCENARIO, START_US, Homes, Key
from bench.chaos.report import Evidence, Report, by_kind, report
from bench.chaos.servers import SESSION_S, Servers
from streams.telemetry.influx import Influx
from streams.telemetry.lines import DIGITS
from zhiwei.clock import MICROS
from zhiwei.testing.servers.process import offspring
from zhiwei.wiring import receiver
from zhiwei.wiring.trial import Trial

_BETWEEN_S = (0.3, 1.5)
"""Between the end of a fault and the next."""
_PAUSE_S = (0.5, SESSION_S - 1)
_MOST_S = 600.0
"""Until everything has arrived, on a busy machine."""
_FAILS = {
    Act.REFUSE: receiver.Fault.AWAY,
    Act.ANSWER_503: receiver.Fault.UNAVAILABLE,
    Act.SILENCE: receiver.Fault.SILENT,
}

Say = Callable[[str], None]


def silently(_: str) -> None:
    """For whoever does not want to hear."""


class Campaign:
    """Made, then run once."""

    def __init__(
        self,
        folder: Path,
        servers: Servers,
        *,
        name: str,
        seed: int,
        snapshot_s: float = 0.5,
        program: Sequence[str] = (),
    ) -> None:
        """folder: empty. name: of topics, database, bucket and session; no other campaign here has it.

        program: what Python runs as workers of streams, where it is not ours.
        """
        self._servers, self._chance = servers, random.Random(seed)
        config = servers.settings(name, snapshot_s)
        self.bed = Trial(folder, config, mqtt_port=servers.mosquitto.port, client_id=name, workers=(SECOND,))
        self._done: list[Fault] = []
        for child in self.bed.supervisor.children:
            if program and child.name in WORKERS:
                child.program = program

    def run(
        self, count: int, say: Say = silently, *, faults: Iterable[Fault] = EVERY, found_between: int = 0
    ) -> Report:
        """Publish, disturb so many times, wait until all has arrived, and compare.

        found_between: before each fault so many revisions of findings must be new. Raises AssertionError,
        naming what is missing, where something does not arrive at all.
        """
        bag = Bag(faults, self._chance)
        with self.bed, self.bed.log("readings") as log:
            homes = Homes(self._servers.mosquitto.port, log)
            homes.start()
            for number in range(1, count + 1):
                if found_between:
                    self._wait_for(len(self.bed.revisions()) + found_between)
                time.sleep(self._chance.uniform(*_BETWEEN_S))
                fault = bag.draw(partial(possible, second=not self.bed.child(SECOND).done))
                say(f"{number:>4} {fault}")
                self._do(fault, homes)
                self._done.append(fault)
            self.bed.child(SECOND).done = False
            homes.ending.set()
            self._finish(homes, say)
            return report(by_kind(self._done), self._evidence(homes))

    def _wait_for(self, revisions: int) -> None:
        self.bed.until(lambda: len(self.bed.revisions()) >= revisions, f"{revisions} revisions", _MOST_S)

    def _finish(self, homes: Homes, say: Say) -> None:
        def told() -> bool:
            assert homes.failure is None, f"the publisher failed: {homes.failure!r}"
            return not homes.is_alive()

        def wanting() -> str:
            return f"every story is on the log; wanting: {homes.unseen()}"

        say("all faults done; waiting until everything has arrived")
        self.bed.until(told, wanting, _MOST_S)
        self.bed.drain(_MOST_S)

    # ------------------------------------------------------------------ faults

    def _do(self, fault: Fault, homes: Homes) -> None:
        if fault.target == WEBHOOK:
            self._fail_receiver(fault.act)
        elif fault.target in SERVERS:
            self._do_to_server(fault, homes)
        else:
            self._do_to_role(fault)

    def _do_to_role(self, fault: Fault) -> None:
        child = self.bed.child(fault.target)
        if fault.act is Act.ADD:
            child.done = False
            return
        if fault.act is Act.REMOVE:
            child.done = True
        number = {Act.KILL: signal.SIGKILL, Act.PAUSE: signal.SIGSTOP, Act.PAUSE_LONG: signal.SIGSTOP}.get(
            fault.act, signal.SIGTERM
        )
        # As soon as there is a process: an earlier fault may have ended it.
        self.bed.until(lambda: self._signal(fault.target, number), f"{fault.target} runs")
        if number is signal.SIGSTOP:
            time.sleep(2 * SESSION_S if fault.act is Act.PAUSE_LONG else self._chance.uniform(*_PAUSE_S))
            self._signal(fault.target, signal.SIGCONT)

    def _signal(self, role: str, number: signal.Signals) -> bool:
        """Whether there was a process to tell. One that is asked to end tells what it started by itself."""
        process = self.bed.child(role).process
        if process is None or process.poll() is not None:
            return False
        for pid in (process.pid, *(() if number is signal.SIGTERM else offspring(process.pid))):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return True

    def _do_to_server(self, fault: Fault, homes: Homes) -> None:
        server = self._servers.named()[fault.target]
        if fault.act is Act.PAUSE:
            server.pause()
            time.sleep(self._chance.uniform(*_PAUSE_S))
            server.resume()
            return
        if fault.act is Act.RESTART:
            server.stop()
            server.start()
        else:
            server.restart()
        if server is self._servers.mosquitto:
            homes.broker_died()

    def _fail_receiver(self, act: Act) -> None:
        self.bed.receiver.fail(_FAILS[act])
        time.sleep(self._chance.uniform(*_PAUSE_S))
        self.bed.receiver.fail(receiver.Fault.NONE)

    # ------------------------------------------------------------------ what was seen

    def _evidence(self, homes: Homes) -> Evidence:
        return Evidence(
            homes=homes.count,
            sent=homes.sent,
            seen=dict(homes.seen),
            stored=self._stored(),
            findings={(one.entity, one.rule, str(one.phase)) for one in self.bed.findings()},
            events=self.bed.events(),
            attempts=self.bed.receiver.attempts,
        )

    def _stored(self) -> set[Key]:
        """The messages that InfluxDB has."""
        with Influx(self.bed.settings.influx) as influx:
            answers = influx.ask(
                f'from(bucket: "{influx.bucket}") |> range(start: {START_US // MICROS})'
                f' |> filter(fn: (r) => r._measurement == "{SCENARIO}" and r._field == "{CHANNEL}")'
                " |> map(fn: (r) => ({entity: r.entity, ns: int(v: r._time)}))"
            )
        return {(row["entity"], int(row["ns"]) // DIGITS) for answer in answers for row in answer.rows}
