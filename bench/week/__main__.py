"""``python -m bench.week``: what was found, missed and false in a simulated week of 200 lifts, 50 pump rooms
and 100 homes. Ends with 1 where a week without field faults misses something or calls for help in vain.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.week.campaign import FAULTS, WEEK, run
from zhiwei.errors import ZhiweiError
from zhiwei.wiring.evaluate import as_table


def main() -> int:
    """0 where the week passes."""
    parser = argparse.ArgumentParser(prog="python -m bench.week", description="A simulated week, scored.")
    parser.add_argument("--seed", type=int, default=1, help="of the worlds (default: 1)")
    parser.add_argument("--faults", action="store_true", help=f"with the field faults of {FAULTS.name}")
    parser.add_argument("--scenario", choices=WEEK, help="only this world")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files here (2 GB)")
    said = parser.parse_args()
    if said.keep is not None and not said.keep.is_dir():
        parser.error(f"--keep {said.keep}: expected a folder that exists")
    chosen = [said.scenario] if said.scenario else list(WEEK)
    passed = True
    with tempfile.TemporaryDirectory(prefix="zhiwei-week-") as temporary:
        for scenario in chosen:
            try:
                scored = run(
                    scenario,
                    said.keep or Path(temporary),
                    entities=WEEK[scenario],
                    seed=said.seed,
                    faults=FAULTS if said.faults else None,
                )
            except ZhiweiError as error:
                print(error, file=sys.stderr)
                return 1
            times = ", ".join(f"{name} {spent:.0f} s" for name, spent in scored.cpu_s.items())
            print(f"\n{scenario}, seed {said.seed}: {scored.replayed.rows} rows; CPU: {times}")
            print(as_table(scored.card), flush=True)
            if not said.faults:
                print("passed" if scored.passed else "NOT passed", flush=True)
                passed &= scored.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
