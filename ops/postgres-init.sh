#!/usr/bin/env bash
# Run once by the postgres image on an empty volume: a user and a database for each of the three.
set -euo pipefail
for name in refit airflow mlflow; do
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set name="$name" --set password="$REFIT_DB_PASSWORD" <<'SQL'
CREATE USER :"name" WITH PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
SQL
done
