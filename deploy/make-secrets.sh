#!/bin/sh
# Writes the secrets of compose.yaml, once: passwords that nobody chose, and the addresses made of them.
#
#   deploy/make-secrets.sh [FOLDER]      deploy/secrets unless it says otherwise
#
# The folder is closed; the files in it are readable, because each container reads them as another user.
set -eu

folder=${1:-$(dirname "$0")/secrets}
if [ -e "$folder" ]; then
    echo "make-secrets: $folder is there already; what is in it stays" >&2
    exit 1
fi
umask 077
made=$(mktemp -d "$folder.XXXXXX")
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() { printf '%s\n' "$2" >"$made/$1"; chmod 444 "$made/$1"; }

manager=$(random)
dagster=$(random)
redis=$(random)
put postgres_password "$(random)"
put manager_password "$manager"
put dagster_password "$dagster"
put redis_password "$redis"
put redis_settings "requirepass $redis"
put store_url "postgresql://manager:$manager@postgres:5432/depositaire"
put dagster_url "postgresql://dagster:$dagster@postgres:5432/dagster"
put broker_url "redis://:$redis@redis:6379/0"
mv "$made" "$folder"
