# Runs a private PostgreSQL in the folder $2 with the programs in $1 until standard input ends.
# Nothing is worth keeping, so it does not wait for the disk, and keeps its data in memory where there is room: each test has a
# database of some 600 files, and ext4 takes half a second to make them where as many were just deleted.
bin=$1 dir=$2
cd "$dir" || exit
data=$dir
trap 'rm -rf "$dir" "$data"' EXIT
trap '' INT HUP
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
if [ "${room:-0}" -gt 1000000 ]; then
	data=$(mktemp -d /dev/shm/tallystick-postgres-XXXXXX) || data=$dir
fi
"$bin/initdb" --no-sync --auth=trust --username=tallystick --encoding=UTF8 --locale=C.UTF-8 --pgdata="$data/data" >log 2>&1 &&
	"$bin/pg_ctl" --wait --pgdata="$data/data" --log=log --options="-k '$dir' -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=32MB -c max_wal_size=128MB" start >>log 2>&1 ||
	{ tail -n 20 log; exit 1; }
echo ready
cat >/dev/null
"$bin/pg_ctl" --mode=immediate --pgdata="$data/data" stop >/dev/null 2>&1
