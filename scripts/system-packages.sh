#!/usr/bin/env bash
# Installs the Debian packages that a task needs, only when some are missing.
#
#   scripts/system-packages.sh demo    ODBC and its SQLite driver
#   scripts/system-packages.sh test    also the drivers of PostgreSQL, MariaDB and SQL Server (FreeTDS), the
#                                      programs of MariaDB and Redis servers, a browser, docker-compose (it checks
#                                      deploy/compose.yaml and needs no Docker), a reverse proxy (Caddy), and promtool
#
# Needs root or a sudo that asks no password; otherwise it says what to install.
set -euo pipefail

promtool=there
demo=(unixodbc libsqliteodbc)
case ${1:-} in
    demo) wanted=("${demo[@]}") ;;
    test) wanted=("${demo[@]}" odbc-postgresql odbc-mariadb tdsodbc mariadb-server-core mariadb-client-core redis-server chromium fonts-dejavu-core docker-compose caddy)
        # promtool comes in the package of a server that would be started: it alone is taken out of it.
        if ! command -v promtool >/dev/null 2>&1; then promtool=missing; fi ;;
    *) echo "usage: $0 demo|test" >&2; exit 2 ;;
esac

say() { echo "system packages: $*" >&2; }

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    case $status in
        *" ok installed") ;;
        *) missing+=("$package") ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && [ $promtool = there ] && exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if ! command -v apt-get >/dev/null 2>&1; then
    say "missing: ${missing[*]} (promtool: $promtool)"
    say "this system has no apt-get; install what these Debian packages provide, by your system's own means"
    exit 1
fi
if ! "${as_root[@]}" true 2>/dev/null; then
    say "missing: ${missing[*]} (promtool: $promtool)"
    say "run this once as root, then try again:  $0 $1"
    exit 1
fi

log=$(mktemp)
taken=$(mktemp -d)
trap 'rm -rf "$log" "$taken"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1
}
# The package lists may be absent or old: refresh them, and try even if that fails in part.
apt update || true
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    if ! apt install --no-install-recommends "${missing[@]}"; then
        tail -n 20 "$log" >&2
        say "could not install: ${missing[*]}"
        exit 1
    fi
fi
if [ $promtool = missing ]; then
    say "taking promtool out of the package prometheus"
    if ! (cd "$taken" && apt-get -qq -o Acquire::Retries=3 download prometheus && dpkg-deb --extract prometheus_*.deb .) >>"$log" 2>&1 ||
        ! "${as_root[@]}" install -m 755 "$taken/usr/bin/promtool" /usr/local/bin/promtool >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "could not install: promtool"
        exit 1
    fi
fi
say "ready"
