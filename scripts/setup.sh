#!/usr/bin/env bash
# Installs the Debian packages that tests run against: real token apps, a real database, real RADIUS clients and proxies.
#   scripts/setup.sh             installs what is missing, or says what to install
#   scripts/setup.sh --complete  only tells, by its exit status, whether all is there
set -euo pipefail

missing=()
need() { # need PACKAGE TEST...: the package is missing unless the test succeeds
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}
need gcc command -v gcc # the race detector links with it
need libc6-dev test -e /usr/include/stdlib.h
need stoken command -v stoken
need poppler-utils command -v pdftotext
need zbar-tools command -v zbarimg
need postgresql bash -c 'compgen -G "/usr/lib/postgresql/*/bin/initdb"'
need pgbouncer test -x /usr/sbin/pgbouncer
need freeradius test -x /usr/sbin/freeradius
need freeradius-utils command -v radclient
need libpam-radius-auth bash -c 'compgen -G "/lib/*/security/pam_radius_auth.so"'
need pamtester command -v pamtester
need slapd test -x /usr/sbin/slapd
need python3-aiosmtpd test -x /usr/bin/aiosmtpd
need radsecproxy test -x /usr/sbin/radsecproxy
need chromium-driver test -x /usr/bin/chromedriver

[ ${#missing[@]} -eq 0 ] && exit 0
[ "${1:-}" = --complete ] && exit 1

sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo -n true 2>/dev/null && sudo=sudo || sudo=none
fi
if [ "$sudo" != none ] && command -v apt-get >/dev/null; then
	echo "installing ${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	$sudo apt-get update -qq
	$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	# Tests run these with files of their own. The services that Debian starts would only hold ports.
	for service in freeradius pgbouncer radsecproxy slapd; do
		case " ${missing[*]} " in
		*" $service "*) $sudo systemctl disable --now "$service" >/dev/null 2>&1 || true ;; # where there is no systemd, nothing was started
		esac
	done
	exit 0
fi
{
	echo "Not installed: ${missing[*]}"
	echo "Install them as root: apt-get install ${missing[*]}"
	echo "Without stoken the tests against real token apps are left out, without zbar-tools those of QR pictures,"
	echo "without postgresql those against PostgreSQL, without freeradius, freeradius-utils, libpam-radius-auth, pamtester"
	echo "and radsecproxy those against RADIUS clients and proxies, without pgbouncer one through it, without slapd those against an LDAP directory, without python3-aiosmtpd one against a mail server, without chromium-driver one in a browser, and without gcc nothing can be tested under the race detector."
} >&2
[ -z "${CI:-}" ] || exit 1
