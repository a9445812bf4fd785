#!/bin/sh
# Run once, by the image of PostgreSQL, on an empty server: a login and a database for the records, and the same for
# Dagster. Neither is a superuser.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set manager `cat "$SECRETS/manager_password"`
\set dagster `cat "$SECRETS/dagster_password"`
CREATE ROLE manager LOGIN CREATEROLE PASSWORD :'manager';
CREATE DATABASE depositaire OWNER manager;
REVOKE CONNECT ON DATABASE depositaire FROM PUBLIC;
CREATE ROLE dagster LOGIN PASSWORD :'dagster';
CREATE DATABASE dagster OWNER dagster;
REVOKE CONNECT ON DATABASE dagster FROM PUBLIC;
SQL
