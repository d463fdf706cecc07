"""A publisher of lifts: about 80 bytes a reading, packets at QoS 1; a process of its own like ``bench.load``.

At a paced rate every lift reports in turn, through a gateway that it shares with others. Every
``STUCK_EVERY``-th of them stops between floors with somebody inside at a time of its own and stays there, so
that entrapments are complete all through the run, each with the reading 45 s later; and some times a second
(``--presses``) a lift's alarm button is pressed on the urgent level.
"""

import argparse
import sys
import time

from bench.load import Connection, say

STUCK_EVERY = 50
PRESSES = 10.0
HOLD_S = 45.0
WARM_UP_S = 10.0
"""Before the first press and the first stop: each process loads code with its first readings."""
SLOT_S = 0.005
"""What is due within such a slot is sent together: a look at the clock for each reading would cost more than
ours do."""
GATEWAYS = 97
"""Connections at a paced rate, with 83 lifts of 8,030 each; a prime, so that the lifts that get stuck are
with all of them. Mosquitto takes one packet from each connection and then looks after all others: one gateway
for a whole city would have one turn where a city has a hundred."""
OLD_LIFTS = 50
OLD_INTERVAL_MS = 5000
OLD_AGE_MS = 12 * 3600 * 1000
_BLOCK = 200
"""Packets of a write, where nothing paces them."""


def reading(ts_ms: int, number: int, *, stuck: bool) -> bytes:
    """A car at a landing or under way, or one that stands between floors with a person in it."""
    if stuck:
        return b'{"ts":%d,"moving":false,"in_door_zone":false,"door_closed":true,"person":true}' % ts_ms
    if number % 3 == 0:
        return b'{"ts":%d,"moving":true,"in_door_zone":false,"door_closed":true,"person":false}' % ts_ms
    return b'{"ts":%d,"moving":false,"in_door_zone":true,"door_closed":false,"person":false}' % ts_ms


def topic_of(lift: int) -> bytes:
    return b"zw/v1/elevator/lift-%05d/kit" % lift


def pace(gateways: list[Connection], lifts: int, rate: int, seconds: float, presses: float) -> None:
    """So many readings a second, evenly, the lifts in turn; and so many alarm buttons a second.

    With none of these nobody is stuck either: it is a calm city, for a bed to warm up with. A reading bears
    the time at which it was due: where the broker keeps a gateway waiting, that counts.
    """
    stops_for_s = seconds - HOLD_S - WARM_UP_S - 5  # the last entrapment is complete 5 s before the end
    count = -(-lifts // STUCK_EVERY)
    stops_at_s = [WARM_UP_S + place * max(0.0, stops_for_s) / count for place in range(count)]
    say("built")
    sys.stdin.readline()
    began, began_ms = time.monotonic(), time.time() * 1000
    pressed = number = 0
    while number < int(rate * seconds):
        time.sleep(SLOT_S)
        due: list[tuple[int, bytes, bytes]] = []
        passed_s = time.monotonic() - began
        while number < min(passed_s * rate, rate * seconds):
            lift, due_s = number % lifts, number / rate
            stuck = presses > 0 and lift % STUCK_EVERY == 0 and due_s >= stops_at_s[lift // STUCK_EVERY]
            due_ms = int(began_ms + due_s * 1000)
            due.append((lift, topic_of(lift), reading(due_ms, number, stuck=stuck)))
            if presses and due_s >= WARM_UP_S + pressed / presses:
                body = b'{"ts":%d,"alarm_button":true,"in_door_zone":false,"door_closed":true}' % due_ms
                due.append((pressed, topic_of(lifts + pressed) + b"/urgent", body))
                pressed += 1
            number += 1
        packets: dict[Connection, list[bytes]] = {}
        for lift, topic, body in due:
            gateway = gateways[lift % len(gateways)]
            packets.setdefault(gateway, []).append(gateway.packet(topic, body))
        for gateway, waiting in packets.items():
            gateway.send(waiting)
    for gateway in gateways:
        gateway.finish()


def saturate(connection: Connection, lifts: int, messages: int) -> None:
    """A reading a second of each lift, the last one now, as fast as they are taken."""
    now_ms, turns = int(time.time() * 1000), messages // lifts
    blocks, block = [], []
    for number in range(messages):
        lift, turn = number % lifts, number // lifts
        stuck = lift % STUCK_EVERY == 0 and turn > 0
        ts_ms = now_ms - (turns - turn) * 1000
        block.append(connection.packet(topic_of(lift), reading(ts_ms, number, stuck=stuck)))
        if len(block) == _BLOCK:
            blocks.append(b"".join(block))
            block.clear()
    blocks.append(b"".join(block))
    say("built")
    sys.stdin.readline()
    for place, data in enumerate(blocks):
        connection.send_block(data, min(_BLOCK, messages - place * _BLOCK))
    connection.finish()


def gather(connection: Connection, lifts: int, messages: int) -> None:
    """What lifts say, a reading a second of each, while nobody takes it in: the last one now, none stuck."""
    say("built")
    sys.stdin.readline()
    first_ms = int(time.time() * 1000) - messages // lifts * 1000
    for place in range(0, messages, _BLOCK):
        connection.send(
            [
                connection.packet(topic_of(n % lifts), reading(first_ms + n // lifts * 1000, n, stuck=False))
                for n in range(place, min(place + _BLOCK, messages))
            ]
        )
    connection.finish()


def backlog(connection: Connection, messages: int) -> None:
    """A gateway that empties its buffer: readings of twelve hours ago, as fast as they are taken."""
    first_ms = int(time.time() * 1000) - OLD_AGE_MS
    packets = [
        connection.packet(
            b"zw/v1/elevator/old-%02d/kit" % (number % OLD_LIFTS),
            reading(first_ms + number // OLD_LIFTS * OLD_INTERVAL_MS, number, stuck=False),
        )
        for number in range(messages)
    ]
    say("built")
    sys.stdin.readline()
    for place in range(0, messages, 200):
        connection.send(packets[place : place + 200])
    connection.finish()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=80.0)
    parser.add_argument("--presses", type=float, default=PRESSES, help="of an alarm button, a second")
    parser.add_argument("--lifts", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=0, help="so many, as fast as they are taken")
    parser.add_argument("--gathered", type=int, default=0, help="so many, of a time that ends now")
    parser.add_argument("--backlog", type=int, default=0, help="so many old readings in place of a paced run")
    parser.add_argument("--in-flight", type=int, default=2000)
    said = parser.parse_args()

    def connection(client: str) -> Connection:
        return Connection(said.port, client, said.in_flight)

    if said.backlog:
        backlog(connection("bench-old"), said.backlog)
    elif said.gathered:
        gather(connection("bench-old"), said.lifts, said.gathered)
    elif said.messages:
        saturate(connection("bench-lifts"), said.lifts, said.messages)
    else:
        gateways = [connection(f"bench-gateway-{number}") for number in range(GATEWAYS)]
        pace(gateways, said.lifts, said.rate, said.seconds, said.presses)
    say("done")


if __name__ == "__main__":
    main()
