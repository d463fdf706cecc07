#!/bin/sh
# An archive from which Zhiwei installs without any network, on machines like this one: same system, same
# processor, same Python. Called by `make bundle`.
#
# usage: bundle.sh UV PYTHON [FOLDER]   the archive is put into FOLDER, default dist
set -eu

uv=$1 python=$2 out=${3:-dist}
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
machine=$("$python" -c 'import platform, sys
print(platform.system().lower(), platform.machine(), "py%d%d" % sys.version_info[:2], sep="-")')
name=zhiwei-$version-$machine
tree=$work/$name

# Only what is in the repository: no data, no secrets that lie beside it.
mkdir -p "$tree/wheels"
git ls-files -z >"$work/files"
tar --null -T "$work/files" -cf - | tar -xf - -C "$tree"

"$uv" export --frozen --no-dev --no-emit-project --quiet --output-file "$tree/wheels/requirements.txt" >/dev/null
"$uv" venv --quiet --seed --python "$python" "$work/pip"
# Hashes of uv.lock are checked here, and again where it is installed.
"$work/pip/bin/python" -m pip download --quiet --disable-pip-version-check --only-binary :all: \
	--require-hashes --requirement "$tree/wheels/requirements.txt" --dest "$tree/wheels"
"$uv" build --quiet --wheel --out-dir "$tree/wheels" .
rm -f "$tree/wheels/.gitignore"
cp deploy/install.sh "$tree/install.sh"

mkdir -p "$out"
tar -czf "$out/$name.tar.gz" -C "$work" "$name"
echo "$out/$name.tar.gz"
