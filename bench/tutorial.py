"""The peer: stock paho and one Faust message for each reading, the way tutorials put the two together.

Same broker, same packets, same log underneath (so the same durability of a record); the rules are those of
``bench.plain``, far less than ours judge. Prints ``ready``, then the count of readings seen whenever asked by
a line.
"""

import argparse
import asyncio
import json
import sys
import threading
from typing import Any

import faust
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from bench.plain import RULES

TOPIC = "readings.tutorial"
_MOST_PENDING = 2000


def main() -> None:
    """Until its standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True, help="of the MQTT broker")
    parser.add_argument("--log", required=True, help="URL of the log, as Faust has it")
    parser.add_argument("--folder", required=True, help="for what Faust keeps")
    parser.add_argument("--scenario", default="water", choices=list(RULES))
    parser.add_argument("--topic", default=TOPIC, help="its name on the log")
    parser.add_argument("--partitions", type=int, default=1)
    said = parser.parse_args()
    app = faust.App(
        "tutorial",
        broker=said.log,
        datadir=said.folder,
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=said.partitions,
        topic_allow_declare=False,
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        store="memory://",
    )
    topic = app.topic(
        said.topic, key_type=bytes, key_serializer="raw", value_serializer="json", partitions=said.partitions
    )
    judge = RULES[said.scenario]()
    seen = found = 0

    async def check(stream: Any) -> None:
        nonlocal seen, found
        async for reading in stream:
            found += judge(reading["entity"], reading) is not None
            seen += 1

    app.agent(topic, concurrency=1)(check)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        room = threading.Semaphore(_MOST_PENDING)
        await app.start()
        client = Client(CallbackAPIVersion.VERSION2, client_id="tutorial", clean_session=False)

        def received(_client: object, _userdata: object, message: Any) -> None:
            room.acquire()
            loop.call_soon_threadsafe(forward, message.topic, message.payload)

        def forward(name: str, payload: bytes) -> None:
            task = loop.create_task(send(name, payload))
            task.add_done_callback(lambda _: room.release())

        async def send(name: str, payload: bytes) -> None:
            entity = name.split("/")[3]
            await topic.send(key=entity.encode(), value={**json.loads(payload), "entity": entity})

        subscribed = threading.Event()
        client.on_message = received
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_connect = lambda c, *_: c.subscribe("zw/v1/#", qos=1)
        client.connect("127.0.0.1", said.port)
        client.loop_start()
        await asyncio.to_thread(subscribed.wait)
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(seen, found, flush=True)

    asyncio.run(run())


if __name__ == "__main__":
    main()
