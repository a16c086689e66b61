#!/usr/bin/env bash
# Stops the server that make run started: scripts/stop.sh DATA
set -euo pipefail
pid=$(cat "$1/server.pid" 2>/dev/null) || { echo "no server of make run on $1"; exit 0; }
if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = tallystick ]; then
	kill "$pid"
	for _ in $(seq 300); do # it may be finishing a request
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 "$pid" 2>/dev/null || { echo "the server (process $pid) does not stop" >&2; exit 1; }
	echo "stopped"
fi
rm -f "$1/server.pid"
