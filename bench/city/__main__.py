"""``python -m bench.city [saturated|paced|outage|recovery|peers]`` prints figures; without a word those of
the first two."""

import argparse
import sys

from bench.city.outage import outage
from bench.city.outage import say as say_outage
from bench.city.paced import paced
from bench.city.paced import say as say_paced
from bench.city.peers import peers
from bench.city.recovery import recovery
from bench.city.recovery import say as say_recovery
from bench.city.saturated import saturated
from bench.city.saturated import say as say_saturated
from bench.ekuiper import EKuiper
from bench.lifts import PRESSES
from zhiwei.testing.servers.installed import missing
from zhiwei.testing.servers.process import Missing


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.city", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("saturated", "paced", "outage", "recovery", "peers"))
    parser.add_argument("--lifts", type=int, default=8030)
    parser.add_argument("--messages", type=int, default=481_800, help="as fast as they go, ours")
    parser.add_argument("--peer-messages", type=int, default=80_300, help="and the peer's")
    parser.add_argument("--rate", type=int, default=8030, help="messages a second of the paced run")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the paced run")
    parser.add_argument("--outage", type=float, default=600.0, help="its seconds")
    parser.add_argument("--presses", type=float, default=PRESSES, help="of an alarm button, a second")
    parser.add_argument("--workers", type=int, default=1, help="of streams")
    said = parser.parse_args()
    if missing():
        print(f"not installed: {', '.join(missing())}; make servers installs them", file=sys.stderr)
        return 1
    if said.what == "peers":
        try:
            EKuiper.find()
        except Missing as lacking:
            print(f"not installed: {lacking}; make bench-peers builds it", file=sys.stderr)
            return 1
        peers(said.lifts, said.messages, said.peer_messages, said.rate, said.seconds, said.workers)
    if said.what in (None, "saturated"):
        say_saturated(saturated(said.lifts, said.messages, said.peer_messages, said.workers))
    if said.what in (None, "paced"):
        say_paced(paced(said.lifts, said.rate, said.seconds, said.workers, said.presses))
    if said.what == "outage":
        say_outage(outage(said.lifts, said.rate, said.outage, said.presses))
    if said.what == "recovery":
        say_recovery(recovery(said.lifts, said.rate, said.workers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
