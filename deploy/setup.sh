#!/usr/bin/env bash
# Finds what `make demo` and `make test` use beside Go and Node, installs what is
# missing when it may, and otherwise prints the one command that does.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # need PACKAGE PROBE...: the package is missing when the probe fails
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}
postgres() { command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' ||
	compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' || compgen -G '/usr/local/opt/postgresql*/bin/postgres'; }

need postgresql postgres
need qemu-utils command -v qemu-img
need libnbd-bin command -v nbdcopy

if ((${#missing[@]})); then
	install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		echo "Farshore needs: ${missing[*]}. Install them and run this again:" >&2
		echo "  sudo sh -c '$install'" >&2
		exit 1
	fi
	echo "installing with apt: ${missing[*]}"
	if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		# Farshore runs a private cluster: Debian need not start one of its own.
		mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	fi
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "apt failed; the whole output is in $log" >&2
		exit 1
	fi
	rm -f "$log"
fi

if [ ! -x deploy/npm/node_modules/.bin/azurite-blob ] || [ deploy/npm/package-lock.json -nt deploy/npm/node_modules/.package-lock.json ]; then
	command -v npm >/dev/null || { echo "Farshore's tests need Node and npm: install nodejs and npm and run this again" >&2; exit 1; }
	echo "installing with npm: azurite (deploy/npm)"
	npm ci --prefix deploy/npm --no-audit --no-fund --loglevel=error
fi
