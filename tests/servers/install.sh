#!/usr/bin/env bash
# What tests and benchmarks need beside Python packages: a browser, fonts, and the real servers. Run by
# `make servers`; what is here already is left alone. Debian's packages need root; what is no package goes into
# .tools/servers. Ends with 1, having said why, if something cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

KAFKA_VERSION=4.1.2
SLF4J_VERSION=1.7.36 # of the series that Kafka's jars are made for
INFLUXDB_VERSION=1.8.10

tools=.tools/servers
log=$tools/install.log
missing=0

has() {
	PATH=$PATH:/usr/sbin command -v "$1" >/dev/null 2>&1
}

lack() {
	echo "not installed: $1" >&2
	missing=1
}

# Runs a command quietly; shows the end of what it said if it fails.
quietly() {
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 15 "$log" >&2
		return 1
	fi
}

install_packages() {
	local policy=/usr/sbin/policy-rc.d made=
	# Packages start their services as they are installed; this forbids it. Tests start their own.
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		made=$policy
	fi
	local failed=0
	quietly apt-get update -qq || failed=1
	DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -qq --no-install-recommends "$@" || failed=1
	[ -z "$made" ] || rm -f "$made"
	return $failed
}

debian() {
	local wanted=()
	has chromium || wanted+=(chromium)
	# Not grep -q: it would end before fc-list does, which pipefail takes for a failure.
	fc-list 2>/dev/null | grep "Noto Sans CJK" >/dev/null || wanted+=(fontconfig fonts-noto-cjk)
	has mosquitto || wanted+=(mosquitto)
	has mosquitto_pub || wanted+=(mosquitto-clients)
	{ has postgres && has initdb; } || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || wanted+=(postgresql)
	has ps || wanted+=(procps)
	if [ ${#wanted[@]} -eq 0 ]; then
		return
	fi
	if ! has apt-get || [ "$(id -u)" -ne 0 ]; then
		lack "${wanted[*]} (as root on Debian this command installs them; else use your system's packages)"
	elif ! install_packages "${wanted[@]}"; then
		lack "${wanted[*]}"
	fi
}

kafka() {
	if [ -e "$tools/kafka/lib/kafka_2.13-$KAFKA_VERSION.jar" ] && has java; then
		return
	fi
	local java
	java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || true
	if [ "${java:-0}" -lt 17 ] || ! has mvn; then
		lack "Kafka $KAFKA_VERSION: it needs Java 17 or later and Maven (Debian: default-jre-headless, maven)"
		return
	fi
	rm -rf "$tools/kafka" && mkdir -p "$tools/kafka"
	cat >"$tools/kafka/pom.xml" <<-END
		<project>
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>zhiwei</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
		  <dependencies>
		    <dependency>
		      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version>
		    </dependency>
		    <dependency>
		      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J_VERSION</version>
		    </dependency>
		  </dependencies>
		</project>
	END
	# Moved into place when whole: an interrupted run must not look like an installed Kafka.
	if quietly mvn -q -B -f "$tools/kafka/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime "-DoutputDirectory=$PWD/$tools/kafka/part"; then
		mv "$tools/kafka/part" "$tools/kafka/lib"
	else
		lack "Kafka $KAFKA_VERSION: Maven could not fetch its jars"
	fi
}

influxdb() {
	local folder=$tools/influxdb-$INFLUXDB_VERSION
	if [ ! -x "$folder/influxd" ]; then
		if ! has go; then
			lack "InfluxDB $INFLUXDB_VERSION: it is built with Go (Debian: golang-go)"
			return
		fi
		echo "building InfluxDB $INFLUXDB_VERSION, once; some minutes"
		if ! quietly env GOBIN="$PWD/$folder" go install "github.com/influxdata/influxdb/cmd/influxd@v$INFLUXDB_VERSION"; then
			lack "InfluxDB $INFLUXDB_VERSION: Go could not build it"
			return
		fi
	fi
	if ! [ "$tools/bin/influxd" -ef "$folder/influxd" ]; then
		mkdir -p "$tools/bin"
		ln -sfn "../influxdb-$INFLUXDB_VERSION/influxd" "$tools/bin/influxd"
	fi
}

mkdir -p "$tools"
debian
kafka
influxdb
if [ $missing -eq 0 ]; then
	echo "servers, chromium and fonts are here"
fi
exit $missing
