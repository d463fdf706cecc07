#!/usr/bin/env bash
# eKuiper for `make bench-peers` alone, built from its Go module into .tools/servers. What is built already is
# left alone. Ends with 1, having said why, if it cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

EKUIPER_VERSION=2.4.0 # bench/ekuiper.py names it, too

folder=.tools/servers/ekuiper-$EKUIPER_VERSION
log=.tools/servers/ekuiper.log

lack() {
	echo "not installed: eKuiper $EKUIPER_VERSION: $1" >&2
	exit 1
}

if [ -x "$folder/kuiperd" ]; then
	exit 0
fi
if ! command -v go >/dev/null 2>&1; then
	lack "it is built with Go 1.25 or later"
fi
mkdir -p .tools/servers
echo "building eKuiper $EKUIPER_VERSION, once; some minutes"
if ! module=$(go mod download -json "github.com/lf-edge/ekuiper/v2@v$EKUIPER_VERSION" 2>"$log"); then
	printf '%s\n' "$module" >>"$log"
	tail -n 15 "$log" >&2
	lack "Go could not fetch it"
fi
source=$(printf '%s\n' "$module" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
rm -rf "$folder"
mkdir -p "$folder"
cp -r "$source/etc" "$folder/etc"
chmod -R u+w "$folder/etc" # the module's files are read-only, and so would its copies be
# Its go.work names a folder that is not in the module.
if ! GOWORK=off go build -C "$source" -buildvcs=false -tags core -o "$PWD/$folder/kuiperd" ./cmd/kuiperd \
	>"$log" 2>&1 </dev/null; then
	tail -n 15 "$log" >&2
	lack "Go could not build it"
fi
