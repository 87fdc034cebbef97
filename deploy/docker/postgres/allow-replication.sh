#!/usr/bin/env bash
# Run by the image when it makes the database: replicas may connect, as the same user.
set -euo pipefail
echo "host replication $POSTGRES_USER all scram-sha-256" >>"$PGDATA/pg_hba.conf"
