#!/usr/bin/env bash
# Starts Tallystick in the background and, on a new data folder, shows its main job at work:
#   scripts/run.sh DATA LISTEN
set -euo pipefail
data=$1 listen=$2
export PATH="$PWD/bin:$PATH" TALLYSTICK_DATA=$data
umask 077
mkdir -p "$data"

alive() { tallystick whoami >/dev/null 2>&1; }

next() {
	cat <<EOF

Tallystick is running at $url (log: $data/server.log). What to type next:

  export PATH="\$PWD/bin:\$PATH" TALLYSTICK_DATA=$data
  tallystick token list                    # what there is
  tallystick token show SERIAL             # one token, and why it is as it is
  tallystick check alice                   # ask for a passcode and check it
  tallystick audit list                    # who did what
  tallystick --help
EOF
	if [ -e "$data/app.key" ]; then
		echo "  TALLY_KEY_FILE=$data/app.key tally --store $data/app   # the token app, full screen; q quits"
	fi
	local where=
	[ "$data" = .data ] || where=" DATA=$data"
	printf '  %-40s # stop the server; make run%s starts it again\n' "make stop$where" "$where"
}

if alive; then
	echo "Tallystick is running already."
	url=$(grep -o 'msg=serving .*' "$data/server.log" 2>/dev/null | tail -n 1 | grep -o 'public_url=[^ ]*' | cut -d = -f 2) || url="somewhere else than make run put it"
	next
	exit 0
fi

url=https://$listen
new=no
[ -e "$data/tallystick.db" ] || new=yes
touch "$data/server.log"
before=$(wc -l <"$data/server.log")
setsid nohup tallystick serve --data "$data" --listen "$listen" >>"$data/server.log" 2>&1 </dev/null &
server=$!
echo $server >"$data/server.pid"
for _ in $(seq 300); do
	alive && break
	kill -0 $server 2>/dev/null || break
	sleep 0.1
done
if ! alive; then
	{
		echo "The server did not start. Its last words:"
		tail -n +$((before + 1)) "$data/server.log" | tail -n 20 | sed 's/^/  /'
		echo "If the address is taken: make run LISTEN=127.0.0.1:9443"
	} >&2
	rm -f "$data/server.pid"
	exit 1
fi
if [ $new = yes ]; then
	scripts/demo.sh "$data"
fi
next
