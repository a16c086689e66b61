#!/usr/bin/env bash
# The main job, shown on a running server with an empty database: scripts/demo.sh DATA
# Every line that starts with $ is a command that you can type yourself.
set -euo pipefail
data=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
export TALLYSTICK_DATA=$data
# The demonstration's token app keeps its tokens here; on a person's own machine the keyring would lock them.
export TALLY_STORE=$data/app TALLY_KEY_FILE=$data/app.key

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
	printf '  $ %s\n' "$(printf '%s ' "$@" | sed "s#$work/##g; s#$data/##g")"
	"$@" 2>&1 | sed 's/^/    /'
}
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; } # field NAME <JSON

say "1. A person, and what her tokens are to be like on each way of delivery"
run tallystick user add alice --name "Alice Example" --mail alice@example.com
run tallystick profile add laptop-file --device-type linux --delivery file --pin-type none
run tallystick profile add phone-string --device-type generic --delivery ctf --pin-type none --digits 6 --interval 30
run tallystick profile add phone-dynamic --device-type generic --delivery ctkip --pin-type none

say "2. Three tokens: their seeds are random, sealed in the database, and shown to nobody"
run tallystick token create --count 3
for _ in 1 2 3; do run tallystick token assign --user alice; done
mapfile -t serials < <(tallystick token list --json | grep -o '"serial": *"[0-9]*"' | grep -o '[0-9]*')

say "3. The first leaves as a token file, locked with a password"
printf 'correct horse 42' >"$work/password"
run tallystick token distribute "${serials[0]}" --profile laptop-file --password-file "$work/password" --nickname "my laptop" --out "$work/alice.sdtid"
run tally import "$work/alice.sdtid" --password-file "$work/password"

say "4. The second leaves as a compressed string, which fits into a QR code"
run tallystick token distribute "${serials[1]}" --profile phone-string --qr "$work/alice.png"
run tally import "$work/alice.png" --nickname "my phone"

say "5. The third is never sent: app and server agree on the seed (CT-KIP)"
tallystick token distribute "${serials[2]}" --profile phone-dynamic --json >"$work/offer.json"
field activation_code <"$work/offer.json" >"$work/code"
url=$(field ctkip_url <"$work/offer.json")
run tally import "$url" --activation-code-file "$work/code" --ca "$data/ca.pem" --nickname "agreed upon"
say "   The activation code worked once:"
run tally import "$url" --activation-code-file "$work/code" --ca "$data/ca.pem" || true

say "6. The app shows codes; the server accepts each one once"
run tally list
tally code "${serials[0]}" --json | field code >"$work/tokencode"
run tallystick check alice --passcode-file "$work/tokencode"
say "   The same code again:"
run tallystick check alice --passcode-file "$work/tokencode" || true

say "7. The laptop is lost: the token gets a new seed, and the old one is dead at once"
run tallystick token redistribute "${serials[0]}" --profile laptop-file --reason LOST_DEVICE --password-file "$work/password" --out "$work/new.sdtid"
tally code "${serials[0]}" --next --json | field next >"$work/tokencode"
run tallystick check alice --passcode-file "$work/tokencode" || true
say "   The app refuses a serial that it holds, unless told to replace it; name and place stay"
run tally import "$work/new.sdtid" --password-file "$work/password" || true
run tally import "$work/new.sdtid" --password-file "$work/password" --replace
tally code "my laptop" --json | field code >"$work/tokencode"
run tallystick check alice --passcode-file "$work/tokencode"

say "8. All of it is in the audit log, which proves itself"
run tallystick audit verify
