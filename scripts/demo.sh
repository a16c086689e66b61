#!/usr/bin/env bash
# The main job, shown on a running server with an empty database: scripts/demo.sh DATA
# Every line that starts with $ is a command as you can type it yourself.
set -euo pipefail
data=$1
work=$(mktemp -d) # for files on their way, which are secret
trap 'rm -rf "$work"' EXIT
umask 077
export TALLYSTICK_DATA=$data
# The demonstration's token app keeps its tokens here; on a person's own machine the keyring would lock them.
export TALLY_STORE=$data/app TALLY_KEY_FILE=$data/app.key

bold='' plain=''
[ ! -t 1 ] || bold=$'\033[1m' plain=$'\033[0m'
say() { printf '\n%s\n' "$bold$*$plain"; }
also() { printf '  %s\n' "$*"; }
run() { # shows a command, without the folders of its files, and what it says; that stays in $work/said
	local word line=
	for word in "$@"; do
		word=${word#"$work/"}
		case $word in *[[:space:]]*) word="'$word'" ;; esac
		line+=" $word"
	done
	printf '  $%s\n' "$line"
	local status=0
	"$@" >"$work/said" 2>&1 || status=$?
	sed "s#$work/##g; s/^/    /" "$work/said"
	return $status
}
said() { sed -n "s/^$1 *//p" "$work/said"; } # said NAME: what the last command said after that name
refuses() { ! run "$@"; }

say "1. A person, and what her tokens are to be like on each way of delivery"
run tallystick user add alice --name "Alice Example" --mail alice@example.com
run tallystick profile add laptop-file --device-type linux --delivery file --pin-type none
run tallystick profile add phone-string --device-type generic --delivery ctf --pin-type none --digits 6 --interval 30
run tallystick profile add phone-dynamic --device-type generic --delivery ctkip --pin-type none

say "2. Three tokens: their seeds are random, sealed in the database, and shown to nobody"
run tallystick token create --count 3
serials=()
for _ in 1 2 3; do
	run tallystick token assign --user alice
	serials+=("$(said token | cut -d ' ' -f 1)")
done

say "3. The first leaves as a token file, locked with a password"
printf 'correct horse 42' >"$work/password"
run tallystick token distribute "${serials[0]}" --profile laptop-file --password-file "$work/password" --nickname "my laptop" --out "$work/alice.sdtid"
also "The token app takes it:"
run tally import "$work/alice.sdtid" --password-file "$work/password"

say "4. The second leaves as a compressed string, which fits into a QR code"
run tallystick token distribute "${serials[1]}" --profile phone-string --qr "$work/alice.png"
run tally import "$work/alice.png" --nickname "my phone"

say "5. The third is never sent: app and server agree on the seed (CT-KIP)"
run tallystick token distribute "${serials[2]}" --profile phone-dynamic
said 'activation code' >"$work/code"
url=$(said server)
run tally import "$url" --activation-code-file "$work/code" --ca "$data/ca.pem" --nickname "agreed upon"
also "The activation code worked once:"
refuses tally import "$url" --activation-code-file "$work/code" --ca "$data/ca.pem"

say "6. The app shows codes; the server accepts each one once"
run tally list
run tally code "my laptop"
head -n 1 "$work/said" >"$work/tokencode"
run tallystick check alice --passcode-file "$work/tokencode"
also "The same code again:"
refuses tallystick check alice --passcode-file "$work/tokencode"

say "7. The laptop is lost: the token gets a new seed, and the codes of the old one are refused at once"
run tallystick token redistribute "${serials[0]}" --profile laptop-file --reason LOST_DEVICE --password-file "$work/password" --out "$work/new.sdtid"
also "The old seed's current code and its next one:"
run tally code "my laptop" --next
sed -n 2p "$work/said" >"$work/tokencode"
refuses tallystick check alice --passcode-file "$work/tokencode"
also "The app refuses a serial that it holds, unless told to replace it; name and place stay:"
refuses tally import "$work/new.sdtid" --password-file "$work/password"
run tally import "$work/new.sdtid" --password-file "$work/password" --replace
run tally code "my laptop"
head -n 1 "$work/said" >"$work/tokencode"
run tallystick check alice --passcode-file "$work/tokencode"

say "8. All of it is in the audit log, which proves itself"
run tallystick audit verify
