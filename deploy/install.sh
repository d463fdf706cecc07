#!/bin/sh
# Installs Zhiwei from this unpacked archive into .venv beside this file. Needs no network.
#
# usage: install.sh [PYTHON]   default: python3; it must be of the version in the archive's name
set -eu

python=${1:-python3}
cd "$(dirname "$0")"

"$python" -m venv --clear .venv
pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links wheels "$@"; }
pip --require-hashes --requirement wheels/requirements.txt
pip --no-deps wheels/zhiwei-*.whl
.venv/bin/zhiwei --version
echo "installed; next: .venv/bin/zhiwei doctor, then docs/operations.md"
