"""``python -m bench.chaos``: run a campaign and print what it showed."""

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from bench.chaos.campaign import Campaign
from bench.chaos.servers import opened
from zhiwei.testing.servers.installed import missing


def main() -> int:
    """1 where anything was lost, told twice, out of order or not written."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos",
        description="Faults by a seed over the distributed bed on real servers, and what they cost.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: 1)")
    parser.add_argument("--faults", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and data here")
    said = parser.parse_args()
    if said.keep is not None and not said.keep.is_dir():
        parser.error(f"--keep {said.keep}: expected a folder that exists")
    if missing():
        print(f"not installed: {', '.join(missing())}; make servers installs them", file=sys.stderr)
        return 1
    place = nullcontext(said.keep) if said.keep else tempfile.TemporaryDirectory(prefix="zhiwei-chaos-")
    with place as name, opened(Path(name)) as servers:
        folder = Path(name) / "bed"
        folder.mkdir()
        campaign = Campaign(folder, servers, name=f"chaos{said.seed}", seed=said.seed)
        shown = campaign.run(said.faults, lambda line: print(line, flush=True))
    print(f"seed {said.seed}")
    print(*shown.lines(), sep="\n")
    return 0 if shown.holds else 1


if __name__ == "__main__":
    sys.exit(main())
