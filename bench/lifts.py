"""A publisher of lifts: about 80 bytes a reading, packets at QoS 1; a process of its own like ``bench.load``.

At a paced rate every lift reports once in ``INTERVAL_S``. Every ``STUCK_EVERY``-th of them stops between
floors with somebody inside soon after the start and stays there, so that an entrapment is complete with the
reading 45 s later; and ten times a second a lift's alarm button is pressed on the urgent level.
"""

import argparse
import sys
import time

from bench.load import Connection, say

INTERVAL_S = 5
STUCK_EVERY = 50
HOLD_READINGS = 9
"""45 s at one reading each 5 s: with the tenth the hold is reached."""
PRESS_EVERY_S = 0.1
WARM_UP_S = 10.0
"""Before the first press: each process loads code with its first readings."""
SLOT_S = 0.005
"""What is due within such a slot is sent together: a write for each reading would cost more than ours do."""
OLD_LIFTS = 50
OLD_AGE_MS = 12 * 3600 * 1000


def reading(ts_ms: int, number: int, *, stuck: bool) -> bytes:
    """A car at a landing or under way, or one that stands between floors with a person in it."""
    if stuck:
        return b'{"ts":%d,"moving":false,"in_door_zone":false,"door_closed":true,"person":true}' % ts_ms
    if number % 3 == 0:
        return b'{"ts":%d,"moving":true,"in_door_zone":false,"door_closed":true,"person":false}' % ts_ms
    return b'{"ts":%d,"moving":false,"in_door_zone":true,"door_closed":false,"person":false}' % ts_ms


def topic_of(lift: int) -> bytes:
    return b"zw/v1/elevator/lift-%05d/kit" % lift


def pace(connection: Connection, rate: int, seconds: float) -> None:
    """So many readings a second, evenly, each lift once in INTERVAL_S; and the alarm buttons."""
    lifts = rate * INTERVAL_S
    say("built")
    sys.stdin.readline()
    began = time.monotonic()
    pressed = number = 0
    while number < int(rate * seconds):
        time.sleep(SLOT_S)
        packets = []
        while number < min((time.monotonic() - began) * rate, rate * seconds):
            lift, turn = number % lifts, number // lifts
            stuck = lift % STUCK_EVERY == 0 and turn > lift // STUCK_EVERY % INTERVAL_S
            now_ms = int(time.time() * 1000)
            packets.append(connection.packet(topic_of(lift), reading(now_ms, number, stuck=stuck)))
            if number / rate >= WARM_UP_S + pressed * PRESS_EVERY_S:
                body = b'{"ts":%d,"alarm_button":true,"in_door_zone":false,"door_closed":true}' % now_ms
                packets.append(connection.packet(topic_of(lifts + pressed) + b"/urgent", body))
                pressed += 1
            number += 1
        connection.send(packets)
    connection.finish()


def backlog(connection: Connection, messages: int) -> None:
    """A gateway that empties its buffer: readings of twelve hours ago, as fast as they are taken."""
    first_ms = int(time.time() * 1000) - OLD_AGE_MS
    packets = [
        connection.packet(
            b"zw/v1/elevator/old-%02d/kit" % (number % OLD_LIFTS),
            reading(first_ms + number // OLD_LIFTS * INTERVAL_S * 1000, number, stuck=False),
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
    parser.add_argument("--backlog", type=int, default=0, help="so many old readings in place of a paced run")
    parser.add_argument("--in-flight", type=int, default=2000)
    said = parser.parse_args()
    client = "bench-old" if said.backlog else "bench-lifts"
    connection = Connection(said.port, client, said.in_flight)
    if said.backlog:
        backlog(connection, said.backlog)
    else:
        pace(connection, said.rate, said.seconds)
    say("done")


if __name__ == "__main__":
    main()
