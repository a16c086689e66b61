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

Tallystick is running at https://$listen (log: $data/server.log). What to type next:

  export PATH="\$PWD/bin:\$PATH" TALLYSTICK_DATA=$data
  tallystick token list                    # what there is
  tallystick token show SERIAL             # one token, and why it is as it is
  tallystick check alice                   # ask for a passcode and check it
  tallystick audit list                    # who did what
  tallystick --help
  TALLY_KEY_FILE=$data/app.key tally --store $data/app   # the token app, full screen (if the demonstration ran)
  make stop                                # stop the server; make run starts it again
EOF
}

if alive; then
	echo "Tallystick is running already."
	next
	exit 0
fi

new=no
[ -e "$data/tallystick.db" ] || new=yes
setsid nohup tallystick serve --data "$data" --listen "$listen" >>"$data/server.log" 2>&1 </dev/null &
server=$!
echo $server >"$data/server.pid"
for _ in $(seq 100); do
	alive && break
	kill -0 $server 2>/dev/null || break
	sleep 0.1
done
if ! alive; then
	echo "The server did not start. Its last words:" >&2
	tail -n 20 "$data/server.log" >&2
	exit 1
fi
if [ $new = yes ]; then
	scripts/demo.sh "$data"
fi
next
