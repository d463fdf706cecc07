"""The peer: stock paho and one Faust message for each reading, the way tutorials put the two together.

Same broker, same packets, same log underneath (so the same durability of a record); the rule is a single
limit, far less than ours judge. Prints ``ready``, then the count of readings seen whenever asked by a line.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

import faust
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "readings.tutorial"
_MOST_PENDING = 2000


def main(port: int, directory: str) -> None:
    """Until its standard input ends."""
    app = faust.App(
        "tutorial",
        broker=f"embedded://{directory}",
        datadir=str(Path(directory) / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=1,
        stream_wait_empty=False,
        store="memory://",
    )
    topic = app.topic(TOPIC, value_serializer="json", partitions=1)
    bad: dict[str, int] = {}
    seen = 0

    async def check(stream: Any) -> None:
        nonlocal seen
        async for reading in stream:
            station = reading["station"]
            bad[station] = bad.get(station, 0) + 1 if reading["turbidity"] > 1.0 else 0
            if bad[station] == 3:
                bad[station] = -1_000_000  # told once
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
            await topic.send(value={**json.loads(payload), "station": name.split("/")[3]})

        subscribed = threading.Event()
        client.on_message = received
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_connect = lambda c, *_: c.subscribe("zw/v1/#", qos=1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        await asyncio.to_thread(subscribed.wait)
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(seen, flush=True)

    asyncio.run(run())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
