"""Ours, the tutorials' way, and eKuiper on the same packets over the same kind of broker, in turn.

Ours judges all lift rules and has each reading on disk, in Kafka, before it is acknowledged; the others judge
five simple rules. eKuiper keeps nothing on disk and needs no log server, so what it costs is set beside ours
with and without Kafka. What the MQTT broker costs is in nobody's figure.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.city.bed import broker, socket_to_finding
from bench.city.paced import paced
from bench.city.paced import say as say_paced
from bench.city.saturated import saturated
from bench.city.saturated import say as say_saturated
from bench.ekuiper import VERSION, Counts, EKuiper
from bench.embedded import cpu_of_tree, load_on
from bench.peers import Load
from zhiwei.testing.servers.kafka import Kafka

_LOOK_S = 0.25
_MOST_S = 120.0
_SETTLED_AFTER_S = 1.0
"""A paced load's last alarm buttons may be under way when as many messages as were asked for are done."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A run of eKuiper."""

    messages: int
    """Published, at QoS 1."""
    seen: int
    """By its rules."""
    found: int
    seconds: float
    cpu_s: float
    """Of its process."""

    @property
    def dropped(self) -> int:
        return self.messages - self.seen

    @property
    def rate(self) -> float:
        return self.seen / self.seconds

    @property
    def cpu_us(self) -> float:
        """Of a message that its rules have seen."""
        return self.cpu_s / max(1, self.seen) * 1e6


def times_ours(theirs_us: float, ours_us: Mapping[str, float]) -> tuple[float, float]:
    """How many times ours a message costs them: ours from socket to finding, and Kafka added.

    ours_us: CPU of a message by role and server.
    """
    alone = socket_to_finding(ours_us)
    return theirs_us / alone, theirs_us / (alone + ours_us[Kafka.name])


def ekuiper(port: int, folder: Path, load: Load, messages: int, *, discards: bool) -> Streamed:
    """eKuiper on a broker that runs, until all has got to its rules or was dropped; at most some minutes.

    messages: so many are published, at least; alarm buttons of a paced load come on top. discards: whether
    what is too much for its buffers is dropped, as is the default.
    """
    most_s = _MOST_S + messages / 2000
    with EKuiper(folder, port) as peer, load() as go:
        peer.start_rules(discards=discards)
        before, began = cpu_of_tree(peer.pid), time.monotonic()
        go()
        while not done(peer.counts(), messages) and time.monotonic() - began < most_s:
            time.sleep(_LOOK_S)
        seconds, after = time.monotonic() - began, cpu_of_tree(peer.pid)
        time.sleep(_SETTLED_AFTER_S)
        now = peer.counts()
    return Streamed(max(messages, now.received), now.seen, now.found, seconds, after - before)


def done(now: Counts, messages: int) -> bool:
    """Whether nothing is under way any more, if no more than so many were published."""
    return now.seen + now.failed >= max(messages, now.received)


def peers(lifts: int, messages: int, peer_messages: int, rate: int, seconds: float, workers: int) -> None:
    """As fast as they go and at a rate; prints each when it is done."""
    fast = saturated(lifts, messages, peer_messages, workers)
    say_saturated(fast)
    with (
        TemporaryDirectory(prefix="zw-city-ekuiper-") as place,
        broker(Path(place) / "mosquitto") as mosquitto,
    ):
        run = partial(ekuiper, mosquitto.port)
        load = partial(load_on, mosquitto.port, "--lifts", str(lifts), module="bench.lifts")
        all_at_once = partial(load, "--messages", str(messages))
        for discards in (False, True):
            theirs = run(Path(place) / f"fast-{discards}", all_at_once, messages, discards=discards)
            say(theirs, "as fast as it goes", fast.cpu_us, discards=discards)
        evenly = partial(load, "--rate", str(rate), "--seconds", str(seconds))
        even = run(Path(place) / "even", evenly, int(rate * seconds), discards=True)
    ours = paced(lifts, rate, seconds, workers)
    say_paced(ours)
    say(even, f"at {rate} msg/s", ours.cpu_us, discards=True)


def say(theirs: Streamed, pace: str, ours_us: Mapping[str, float], *, discards: bool) -> None:
    """A line for people."""
    alone, with_log = times_ours(theirs.cpu_us, ours_us)
    full = "drops" if discards else "waits"
    print(
        f"eKuiper {VERSION}, QoS 1, {pace}, {full} when full: {theirs.messages} messages, "
        f"{theirs.seen} seen, {theirs.dropped} dropped, {theirs.found} findings, {theirs.rate:,.0f} msg/s, "
        f"CPU µs per message {theirs.cpu_us:.1f}; {alone:.1f} times ours, {with_log:.1f} times with our Kafka"
    )
