"""``zhiwei new scenario NAME``: a folder that runs, to be changed line by line into what one needs."""

import re
from collections.abc import Iterator
from pathlib import Path

from zhiwei import registry
from zhiwei.errors import ZhiweiError

_TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


def new_scenario(name: str, root: Path) -> Iterator[str]:
    """Write ``scenarios/NAME`` and its first golden case below root; says what is left to do.

    Raises ZhiweiError for a name that cannot be, is taken, or a folder that exists.
    """
    if not _NAME.fullmatch(name):
        raise ZhiweiError(f"{name!r}: expected a lower-case word of letters, digits and '_', 2 to 31 long")
    if name in registry.names("scenarios"):
        raise ZhiweiError(f"a scenario {name!r} is installed already")
    folder = root / "scenarios" / name
    if not (root / "scenarios").is_dir():
        raise ZhiweiError(f"{root} has no folder scenarios: run this at the top of a checkout")
    if folder.exists():
        raise ZhiweiError(f"{folder} exists already")
    folder.mkdir()
    title = "".join(part.capitalize() for part in name.split("_"))
    for source in sorted(_TEMPLATE.glob("*.txt")):
        text = source.read_text(encoding="utf-8").replace("@Name@", title).replace("@name@", name)
        (folder / source.name.removesuffix(".txt")).write_text(text, encoding="utf-8")
        yield f"wrote {folder / source.name.removesuffix('.txt')}"
    yield f'register it: "{name}": "scenarios.{name}:SCENARIO" in zhiwei/registry.py, BUILT_IN'
    yield "then `make test`: the contract checks run over it"
