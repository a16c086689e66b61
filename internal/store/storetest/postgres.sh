# Runs a private PostgreSQL in the folder $2 with the programs in $1 until standard input ends.
# Nothing is worth keeping, so it does not wait for the disk.
bin=$1 dir=$2
cd "$dir" || exit
trap 'rm -rf "$dir"' EXIT
trap '' INT HUP
"$bin/initdb" --no-sync --auth=trust --username=tallystick --encoding=UTF8 --locale=C.UTF-8 --pgdata=data >log 2>&1 &&
	"$bin/pg_ctl" --wait --pgdata=data --log=log --options="-k '$dir' -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=32MB" start >>log 2>&1 ||
	{ tail -n 20 log; exit 1; }
echo ready
cat >/dev/null
"$bin/pg_ctl" --mode=immediate --pgdata=data stop >/dev/null 2>&1
