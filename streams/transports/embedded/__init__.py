"""Faust over the embedded log: ``embedded:///absolute/directory``, found through an entry point.

Kafka's promises on one machine: durable sends, order and dense offsets per partition, consumer groups
with one process each at a time. Keys and headers are not stored: a key only chooses the partition.
"""

from typing import ClassVar

from faust.transport import base

from streams.transports.embedded.consumer import Consumer
from streams.transports.embedded.producer import Producer

__all__ = ["Consumer", "Producer", "Transport"]


class Transport(base.Transport):
    """What Faust makes from the URL.

    It is built while modules are imported, before a loop runs: it opens nothing.
    """

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer

    default_port = 0
    driver_version = "embedded"
