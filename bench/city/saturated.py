"""As fast as it goes: ours from socket to finding, and the peer on the same servers, packets and lifts."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.city.bed import City, city, socket_to_finding
from bench.embedded import load_on
from bench.peers import Load, Tutorial, run
from bench.tutorial import TOPIC
from zhiwei.beds import open_log

_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Saturated:
    """Ours and the peer, one after the other on servers that run all the time."""

    messages: int
    workers: int
    stepped: float
    seconds: float
    cpu_us: dict[str, float]
    """Of a message, by role and server, until the last row is stepped."""
    peer: Tutorial

    @property
    def ours_us(self) -> float:
        """From socket to finding; telemetry and dispatch apart."""
        return socket_to_finding(self.cpu_us)


def saturated(lifts: int, messages: int, peer_messages: int, workers: int = 1) -> Saturated:
    """Publish so many messages as fast as they are taken: to ours, then to the peer alone."""
    with city(partitions=_PARTITIONS, workers=workers) as bed:
        load = partial(load_on, bed.port, "--lifts", str(lifts), module="bench.lifts")
        bed.warm_up(lifts)
        before = bed.applied()
        with load("--messages", str(messages)) as go:
            meter = bed.meter()
            go()
            bed.wait_applied(before + messages, 120 + messages / 2000)
            seconds, cpu_us = meter.read(messages)
        stepped = bed.applied() - before
        bed.trial.stop()
        peer = _peer(bed, partial(load, "--messages", str(peer_messages)), peer_messages)
    return Saturated(messages, workers, stepped, seconds, cpu_us, peer)


def _peer(bed: City, load: Load, messages: int) -> Tutorial:
    with open_log(bed.trial.settings, "readings", writer=True) as log:
        log.create_topic(TOPIC, _PARTITIONS)
        name = log.physical(TOPIC)
    options = ("--scenario", "elevator", "--partitions", str(_PARTITIONS), "--topic", name)
    with TemporaryDirectory(prefix="zw-city-peer-") as folder:
        return run(bed.port, bed.kafka.url, Path(folder), load, messages, *options)


def say(run: Saturated) -> None:
    """Lines for people."""
    each = ", ".join(f"{name} {us:.1f}" for name, us in run.cpu_us.items())
    print(
        f"ours, {run.workers} worker(s): {run.messages} messages, {run.stepped:.0f} stepped, "
        f"{run.messages / run.seconds:,.0f} msg/s; CPU µs per message: {each}; "
        f"socket to finding {run.ours_us:.1f}"
    )
    peer = run.peer
    print(
        f"stock paho + one Faust message a reading: {peer.seen} of {peer.messages} seen, "
        f"{peer.found} findings, {peer.rate:,.0f} msg/s, CPU µs per message {peer.cpu_us:.1f}; "
        f"{peer.cpu_us / run.ours_us:.1f} times ours"
    )
