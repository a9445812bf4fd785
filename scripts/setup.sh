#!/usr/bin/env bash
# Makes the environment .venv from a lock file and installs the project in it.
#
#   scripts/setup.sh          everything: run-time, test and check tools
#   scripts/setup.sh run      only what the pipelines need to run
#
# Safe to repeat: when nothing has changed it does nothing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
set_name=${1:-dev}
case $set_name in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "setup: unknown set '$set_name' (run or dev)" >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Two runs at once wait for each other.
if command -v flock >/dev/null 2>&1; then
    exec 9>.venv.lock
    flock 9
fi

digest() { cat "$@" | sha256sum; }
stamp_of() { { echo "$root"; digest "$@"; } | tr '\n' ' '; }
same() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# An environment that was moved or copied still names its old place: it is made again.
venv_works() {
    [ -x .venv/bin/python ] && grep -qF "$root/.venv" .venv/bin/activate 2>/dev/null &&
        .venv/bin/python -c 'import pip' >/dev/null 2>&1
}

lock_stamp=$(stamp_of "$lock")
project_stamp=$(stamp_of pyproject.toml)
installed=no
if venv_works; then
    # The full environment holds everything that the run-time one does.
    if same ".venv/.stamp-$set_name" "$lock_stamp"; then
        installed=yes
    elif [ "$set_name" = run ] && same .venv/.stamp-dev "$(stamp_of requirements-dev.lock)"; then
        installed=yes
    fi
fi
if [ $installed = yes ] && same .venv/.stamp-project "$project_stamp" && [ -x .venv/bin/depositaire ]; then
    exit 0
fi

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3 python3.12 python3.13; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

make_venv() {
    local python version
    if ! python=$(find_python); then
        if command -v python3 >/dev/null 2>&1; then
            fail "Python 3.11 or newer is needed; python3 here is $(python3 --version 2>&1 || true). Install Python 3.11 (Debian: python3 and python3-venv) or set PYTHON to its path."
        fi
        fail "Python 3.11 or newer is needed and no python3 was found. Install Python 3.11 (Debian: python3 and python3-venv) or set PYTHON to its path."
    fi
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        local as_root=()
        if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
        if ! command -v apt-get >/dev/null 2>&1 || ! "${as_root[@]}" true 2>/dev/null; then
            fail "Python $version has no venv module. Install the Debian package python$version-venv (or python3-venv), then run this again."
        fi
        say "installing the Debian package that carries Python's venv module"
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null 2>&1 || true
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "python$version-venv" </dev/null >/dev/null 2>&1 ||
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                python3-venv </dev/null >/dev/null 2>&1 ||
            fail "Python $version has no venv module and apt-get could not install python$version-venv. Install it, then run this again."
    fi
    say "making .venv with Python $version"
    "$python" -m venv --clear .venv || fail "could not make .venv with $python"
}

venv_works || make_venv
pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-warn-script-location)

if [ $installed = no ]; then
    rm -f ".venv/.stamp-$set_name" .venv/.stamp-project
    say "installing the packages of $lock (a minute or two the first time)"
    # A lock is complete, so nothing needs resolving: quicker, and the same with any version of pip.
    "${pip[@]}" --no-deps --require-hashes -r "$lock" || fail "the packages of $lock could not be installed; see the messages above"
    printf '%s' "$lock_stamp" >".venv/.stamp-$set_name"
fi

"${pip[@]}" --no-deps --no-build-isolation --no-index --editable . || fail "the project could not be installed in .venv"
[ -x .venv/bin/depositaire ] || fail "the depositaire command is missing from .venv/bin after installing"
printf '%s' "$project_stamp" >.venv/.stamp-project
say "ready"
