"""Which folder may import which, and who alone may use a client library or the system's clock.

Every file is read with ``ast``, nothing is imported. The checker is tested on files planted to break it:
``architecture/violations/<rule>/`` is a tree like ours that breaks that rule and no other, in the lines that
end in ``# wrong``; ``architecture/allowed/`` looks similar and breaks none.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLANTED = Path(__file__).parent / "architecture"

KERNEL = "zhiwei"
ASSEMBLY = ("zhiwei/wiring", "zhiwei/cli", "zhiwei/__main__.py")
"""Puts the whole together: may import everything of ours, is imported by nobody but tests."""

MAY_IMPORT: dict[str, set[str]] = {
    KERNEL: {KERNEL},
    "models": {KERNEL},
    "ingest": {KERNEL},
    "streams": {KERNEL},
    "alerts": {KERNEL},
    "simulators": {KERNEL},
    "scenarios": {KERNEL},
}
"""Folder → other folders that it may import. Parts are found by name through ``zhiwei.registry``."""

OURS = {*MAY_IMPORT, "bench", "tests"}
FREE = {"bench", "tests"}
"""May import everything: a benchmark sets ours and others side by side."""

OWNERS: dict[str, tuple[str, ...]] = {
    "paho": ("zhiwei/mqtt",),
    "confluent_kafka": ("zhiwei/kafka.py",),
    "faust": ("streams/app.py", "streams/transports"),
    "mode": ("streams/app.py", "streams/transports"),
    "iotcore": ("ingest/broker.py",),
    "influxdb_client": ("streams/telemetry/influx.py",),
    "sklearn": ("models",),
    "aiohttp": ("alerts",),
    "prometheus_client": ("zhiwei/metrics.py",),
    "pyarrow": ("zhiwei/frames.py", "ingest", "zhiwei/wiring", "streams/telemetry/lines.py"),
    "psycopg": (),
    "sqlalchemy": ("zhiwei/sql.py", "zhiwei/testing", "zhiwei/wiring", "alerts", "streams", "ingest"),
    "sqlalchemy.create_engine": ("zhiwei/sql.py",),
    "sqlalchemy.engine_from_config": ("zhiwei/sql.py",),
    "sqlalchemy.create_pool_from_url": ("zhiwei/sql.py",),
    "sqlalchemy.engine.create_engine": ("zhiwei/sql.py",),
    "sqlalchemy.ext.asyncio": ("zhiwei/sql.py",),
}
"""Library, or a name of it → the only places that use it. psycopg is used through SQLAlchemy's URLs only."""

PASSED_ON = {"yarl": ("streams/transports",), "urllib3": ("streams/telemetry/influx.py",)}
"""Not declared, but part of a declared library's interface there: Faust hands its transports yarl's URLs,
influxdb-client raises urllib3's errors."""

PURE = ("zhiwei", "scenarios")
"""Beside what they own: the standard library and these two."""
PURE_THIRD_PARTY = {"numpy", "msgspec"}

CLOCK = "zhiwei/clock.py"
SYSTEM_CLOCK = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")),
    *(f"time.{name}" for name in ("perf_counter_ns", "clock_gettime", "clock_gettime_ns")),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
}

REGISTRY = "zhiwei/registry.py"
DYNAMIC = {"importlib.import_module", "importlib.__import__", "__import__", "pkgutil.resolve_name"}

SCENARIO_FILES = {"__init__.py", "schema.py", "rules.py", "policy.toml", "README.md"}
NAMELESS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that breaks one rule."""

    rule: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.what}"


# ------------------------------------------------------------------ reading a file


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its path from the root, its imports as dotted names, its syntax."""

    path: str
    imports: tuple[tuple[str, int], ...]
    aliases: dict[str, str]
    """Name in the file → what it stands for (``dt`` → ``datetime.datetime``)."""
    tree: ast.Module

    @property
    def folder(self) -> str:
        return self.path.split("/")[0]

    def within(self, places: tuple[str, ...]) -> bool:
        """Whether the file is one of these files or lies in one of these folders."""
        return any(
            self.path == place or self.path.startswith(f"{place}/") or self.path == f"{place}.py"
            for place in places
        )

    def dotted(self, node: ast.expr) -> str | None:
        """``dt.now`` as ``datetime.datetime.now``; None for anything but names and attributes."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (value := self.dotted(node.value)):
            return f"{value}.{node.attr}"
        return None


def read(root: Path, file: Path) -> Module:
    path = file.relative_to(root).as_posix()
    tree = ast.parse(file.read_text(encoding="utf-8"), path)
    package = path.removesuffix(".py").split("/")[:-1]
    imports: list[tuple[str, int]] = []
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                imports.append((name.name, node.lineno))
                # ``import a.b`` binds ``a``, ``import a.b as c`` binds ``a.b``.
                bound = name.name if name.asname else name.name.split(".")[0]
                aliases[name.asname or bound] = bound
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for name in node.names:
                # ``from zhiwei import wiring`` imports a module as much as ``import zhiwei.wiring`` does.
                imports.append((f"{module}.{name.name}", node.lineno))
                aliases[name.asname or name.name] = f"{module}.{name.name}"
    return Module(path, tuple(imports), aliases, tree)


def begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


# ------------------------------------------------------------------ the rules, a function each


def folder_imports(module: Module) -> Iterator[Violation]:
    """The table of DESIGN.md §4."""
    if module.folder in FREE or module.within(ASSEMBLY):
        return
    allowed = MAY_IMPORT[module.folder] | {module.folder}
    for name, line in module.imports:
        other = name.split(".")[0]
        if other in OURS - allowed:
            yield Violation("folder_imports", module.path, line, f"{module.folder} imports {name}")


def assembly_imports(module: Module) -> Iterator[Violation]:
    """What puts the parts together is imported by no part."""
    if module.folder in FREE or module.within(ASSEMBLY):
        return
    for name, line in module.imports:
        if begins(name, "zhiwei.wiring") or begins(name, "zhiwei.cli"):
            yield Violation("assembly_imports", module.path, line, f"imports {name}")


def scenario_imports(module: Module) -> Iterator[Violation]:
    """A scenario imports no other scenario."""
    if module.folder != "scenarios":
        return
    own = module.path.split("/")[1].removesuffix(".py")
    for name, line in module.imports:
        if name.split(".")[0] == "scenarios" and not begins(name, f"scenarios.{own}"):
            yield Violation("scenario_imports", module.path, line, f"scenario {own} imports {name}")


def library_owners(module: Module) -> Iterator[Violation]:
    """A client library has one place."""
    if module.folder in FREE:
        return
    used = [*module.imports, *((name, line) for name, line in _names(module) if name in OWNERS)]
    for library, owners in OWNERS.items():
        if module.within(owners):
            continue
        for name, line in sorted(set(used)):
            if begins(name, library):
                where = " and ".join(owners) or "nobody"
                yield Violation("library_owners", module.path, line, f"uses {name}, which belongs to {where}")


def pure_folders(module: Module) -> Iterator[Violation]:
    """Kernel and scenarios need the standard library, NumPy and msgspec, and what they own."""
    if module.folder not in PURE or module.within((*ASSEMBLY, "zhiwei/testing")):
        return
    for name, line in module.imports:
        top = name.split(".")[0]
        known = top in sys.stdlib_module_names or top in OURS or top in PURE_THIRD_PARTY or top in OWNERS
        if not known:
            yield Violation("pure_folders", module.path, line, f"{module.folder} imports {name}")


def declared_dependencies(module: Module) -> Iterator[Violation]:
    """What is imported is in pyproject.toml: another package's dependency may go with its next release."""
    for name, line in module.imports:
        top = name.split(".")[0]
        if top in OURS or top in sys.stdlib_module_names or top == "__future__":
            continue
        if not declared() & distributions(top) and not module.within(PASSED_ON.get(top, ())):
            yield Violation("declared_dependencies", module.path, line, f"{name} is not in pyproject.toml")


def system_clock(module: Module) -> Iterator[Violation]:
    """One file reads the system's clock."""
    if module.folder in FREE or module.path == CLOCK:
        return
    for name, line in sorted({*module.imports, *_names(module)}):
        if name in SYSTEM_CLOCK:
            yield Violation("system_clock", module.path, line, f"{name}; take a Clock or a time as argument")


def dynamic_imports(module: Module) -> Iterator[Violation]:
    """Only the registry imports our parts by text. What is not written out cannot be judged, so it counts."""
    if module.folder in FREE or module.path == REGISTRY:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or module.dotted(node.func) not in DYNAMIC:
            continue
        target = node.args[0] if node.args else node.keywords[0].value if node.keywords else None
        if isinstance(target, ast.JoinedStr) and target.values:
            target = target.values[0]
        if isinstance(target, ast.Constant):
            ours = re.split(r"[.:]", str(target.value).lstrip("."))[0] in OURS or str(
                target.value
            ).startswith(".")
        else:
            ours = not module.within(ASSEMBLY)
        if ours:
            yield Violation("dynamic_imports", module.path, node.lineno, ast.unparse(node))


def _names(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and (name := module.dotted(node)):
            yield name, node.lineno


MODULE_RULES = (
    folder_imports,
    assembly_imports,
    scenario_imports,
    library_owners,
    pure_folders,
    declared_dependencies,
    system_clock,
    dynamic_imports,
)


# ------------------------------------------------------------------ rules on names of files


def scenario_files(root: Path) -> Iterator[Violation]:
    """Each scenario has the files that a reader looks for."""
    for folder in sorted((root / "scenarios").glob("[!_.]*/")):
        if folder.is_dir():
            for missing in sorted(SCENARIO_FILES - {file.name for file in folder.iterdir()}):
                path = folder.relative_to(root).as_posix()
                yield Violation("scenario_files", path, 0, f"has no {missing}")


def nameless_modules(root: Path) -> Iterator[Violation]:
    """A module is called by what is in it."""
    for file in sources(root):
        path = file.relative_to(root)
        for part in path.with_suffix("").parts:
            if part in NAMELESS:
                yield Violation("nameless_modules", path.as_posix(), 0, f"{part!r} does not say what it is")


def unknown_folders(root: Path) -> Iterator[Violation]:
    """A new top-level package needs a line in the table."""
    for folder in sorted(root.glob("[!.]*/")):
        if folder.name not in OURS and any(folder.glob("**/*.py")):
            yield Violation("unknown_folders", folder.name, 0, "is not in the table of who may import whom")


def sources(root: Path) -> Iterator[Path]:
    for folder in sorted(OURS - {"tests"}):
        yield from sorted((root / folder).rglob("*.py"))


def violations(root: Path) -> list[Violation]:
    """Everything under root that breaks a rule."""
    found = [
        violation
        for file in sources(root)
        for module in [read(root, file)]
        for rule in MODULE_RULES
        for violation in rule(module)
    ]
    return sorted([*found, *scenario_files(root), *nameless_modules(root), *unknown_folders(root)])


@cache
def declared() -> frozenset[str]:
    """Distributions that pyproject.toml names for running, not for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(normal(re.split(r"[^\w.-]", text)[0]) for text in project["dependencies"])


@cache
def distributions(top: str) -> frozenset[str]:
    """The installed distributions that bring this top-level package."""
    return frozenset(normal(name) for name in _installed().get(top, ()))


_installed = cache(packages_distributions)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ------------------------------------------------------------------ tests


def test_every_file_keeps_the_rules() -> None:
    assert "\n".join(map(str, violations(ROOT))) == ""


FILE_RULES = (scenario_files, nameless_modules, unknown_folders)
RULES = sorted(rule.__name__ for rule in (*MODULE_RULES, *FILE_RULES))


def test_every_rule_has_planted_violations() -> None:
    assert sorted(folder.name for folder in (PLANTED / "violations").iterdir()) == RULES


@pytest.mark.parametrize("rule", sorted(rule.__name__ for rule in MODULE_RULES))
def test_lines_planted_to_break_a_rule_are_reported_and_no_other(rule: str) -> None:
    root = PLANTED / "violations" / rule
    wrong = {
        (rule, file.relative_to(root).as_posix(), number)
        for file in root.rglob("*.py")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if line.endswith("# wrong")
    }
    assert wrong
    assert {(found.rule, found.file, found.line) for found in violations(root)} == wrong


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("scenario_files", ["scenarios/bare", "scenarios/bare", "scenarios/bare"]),
        (
            "nameless_modules",
            ["alerts/store/manager.py", "bench/helpers.py", "ingest/utils.py", "zhiwei/common/ids.py"],
        ),
        ("unknown_folders", ["tools"]),
    ],
)
def test_files_planted_to_break_a_rule_are_reported_and_no_other(rule: str, wrong: list[str]) -> None:
    found = violations(PLANTED / "violations" / rule)
    assert [(violation.rule, violation.file) for violation in found] == [(rule, file) for file in wrong]


def test_what_only_looks_wrong_is_not_reported() -> None:
    assert violations(PLANTED / "allowed") == []
    assert {file.name for file in sources(PLANTED / "allowed")} > {"mqtt.py", "clock.py", "registry.py"}
