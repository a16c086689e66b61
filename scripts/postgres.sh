#!/usr/bin/env bash
# Runs a command beside a private PostgreSQL that waits for the disk, with an empty database that
# TALLYSTICK_BENCH_DATABASE names:
#   scripts/postgres.sh bin/tallystick bench --clients 256
# It gets a quarter of the memory, at most 8 GB, as its documentation advises, and up to 16 GB for its log, of which it
# finds 2 GB of files in place, as a database does that has been in use: making one of 16 MB holds all commits up for 10 ms.
# PGOPTIONS_SERVER adds settings ("-c shared_buffers=512MB"). TMPDIR says on which disk it is.
set -euo pipefail

bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1 || command -v initdb)")
[ -x "$bin/initdb" ] || { echo "PostgreSQL is not installed: scripts/setup.sh installs it" >&2; exit 1; }
quarter=$(awk '/^MemTotal:/ { mb = int($2 / 4096); print mb < 8192 ? mb : 8192 }' /proc/meminfo 2>/dev/null || echo 512)
dir=$(mktemp -d "${TMPDIR:-/tmp}/tsb-pg-XXXXXX")
as=()
if [ "$(id -u)" -eq 0 ]; then # as whom PostgreSQL does not run
	chown postgres "$dir"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
end() {
	(cd "$dir" && "${as[@]}" "$bin/pg_ctl" --mode=fast --pgdata="$dir/data" stop >/dev/null 2>&1) || true
	rm -rf "$dir"
}
trap end EXIT
(
	cd "$dir"
	"${as[@]}" "$bin/initdb" --auth=trust --username=tallystick --encoding=UTF8 --locale=C.UTF-8 --pgdata="$dir/data"
	"${as[@]}" "$bin/pg_ctl" --wait --pgdata="$dir/data" --log="$dir/log" --options="-k '$dir' -c listen_addresses= -c max_connections=600 \
		-c shared_buffers=${quarter}MB -c max_wal_size=16GB -c min_wal_size=2GB -c checkpoint_timeout=15min ${PGOPTIONS_SERVER:-}" start
	for _ in $(seq 120); do
		echo "SELECT pg_logical_emit_message(FALSE, '', ''); SELECT pg_switch_wal();"
	done | "$bin/psql" --quiet --host="$dir" --username=tallystick postgres
	"$bin/psql" --quiet --host="$dir" --username=tallystick --command=CHECKPOINT postgres
) >"$dir/start" 2>&1 || { cat "$dir/start" "$dir/log" >&2; exit 1; }
TALLYSTICK_BENCH_DATABASE="postgres:///postgres?host=$dir&user=tallystick" "$@"
