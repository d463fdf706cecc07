"""The archive of `make bundle` installs and works where there is no network."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
"""Port 9 (discard): nobody listens."""


@pytest.mark.soak
def test_a_bundle_installs_and_works_without_any_network(tmp_path: Path) -> None:
    uv = shutil.which("uv") or next(map(str, (ROOT / ".tools").glob("uv-*/bin/uv")))
    subprocess.run([ROOT / "deploy" / "bundle.sh", uv, sys.executable, tmp_path], check=True)
    (archive,) = tmp_path.glob("zhiwei-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    archive.unlink()
    (tree,) = tmp_path.glob("zhiwei-*")
    dead = {f"{name}_proxy": NOWHERE for name in ("http", "https", "all")} | {"no_proxy": ""}
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    alone = {**kept, **dead, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}

    def run(*command: str | Path) -> str:
        return subprocess.run(
            command, check=True, cwd=tree, env=alone, capture_output=True, text=True, timeout=1200
        ).stdout

    base = Path(sys.base_prefix) / "bin" / "python3"
    assert "installed" in run(tree / "install.sh", base)
    zhiwei = tree / ".venv" / "bin" / "zhiwei"
    found = tmp_path / "findings.jsonl"
    recorded = tree / "simulators" / "recorded"
    run(
        zhiwei, "replay", recorded / "station_b.csv.gz", "--scenario", "water",
        "--map", recorded / "station_b.toml", "--out", found,
    )  # fmt: skip
    assert "water.event" in found.read_text(encoding="utf-8")
