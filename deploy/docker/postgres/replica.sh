#!/usr/bin/env bash
# A streaming replica of the service `postgres`: a copy the first time, then what has changed since.
set -euo pipefail
export PGDATA=${PGDATA:-/var/lib/postgresql/data}
# The manifest is written last: without it, there is no copy, or one that was cut off.
if [ ! -s "$PGDATA/backup_manifest" ]; then
    PGPASSWORD=$(cat /run/secrets/db-password)
    export PGPASSWORD
    # --write-recovery-conf writes standby.signal and postgresql.auto.conf. The slot keeps the log that the replica misses
    # while it is stopped.
    rm -rf "${PGDATA:?}"/*
    psql --host=postgres --username=portwright --dbname=portwright --quiet --command="
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'replica' AND NOT active"
    pg_basebackup --host=postgres --username=portwright --pgdata="$PGDATA" --wal-method=stream \
        --write-recovery-conf --create-slot --slot=replica
    chmod 0700 "$PGDATA"
fi
exec postgres -c hot_standby_feedback=on -c max_connections=200
