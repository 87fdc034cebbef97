# A PostgreSQL server that lives as long as the input of this script. Arguments: the port, and for a standby the port of
# its primary, or "attached" if the server is somebody else's and only asked; then the size of a disk, if there is to be
# one with little room; then a certificate and its key, if nobody is to be taken without TLS. Each line of input is a command;
# each is answered with one line, "ok …" or what went wrong.
set -uo pipefail
port=$1
primary=${2:-}
room=${3:-}
certificate=${4:-}
key=${5:-}
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
PATH=${bin:+$bin:}$PATH
place=$(mktemp -d) || exit 1
data=$place/data
disk=$place/disk
log=$place/log
pid=

cleanup() {
    [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    [ -n "$room" ] && umount "$disk" 2>/dev/null
    rm -rf "$place"
}
trap cleanup EXIT

answers() {
    for _ in $(seq 600); do
        pg_isready -q -h 127.0.0.1 -p "$port" -U postgres && return
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.02
    done
    return 1
}

# Again, while the children of a killed server still hold its memory.
start() {
    for _ in $(seq 50); do
        postgres -D "$data" >>"$log" 2>&1 </dev/null &
        pid=$!
        answers && return
        kill -0 "$pid" 2>/dev/null && return 1
        wait "$pid" 2>/dev/null
        sleep 0.1
    done
    return 1
}

# stop fast|immediate|kill
stop() {
    case $1 in
        fast) kill -INT "$pid" ;;
        immediate) kill -QUIT "$pid" ;;
        # The children notice that the postmaster is gone, and end.
        kill) kill -KILL "$pid" ;;
    esac
    wait "$pid" 2>/dev/null
    pid=
    true
}

# sql DATABASE STATEMENT
sql() {
    psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d "$1" -c "$2" 2>&1 | tr '\n' ' '
}

# contents DATABASE: binary, so that what is looked for in it is found in columns of bytes, too.
contents() {
    local ask=(psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d "$1") tables
    tables=$("${ask[@]}" -c "SELECT format('%I', relname) FROM pg_class WHERE relkind = 'r'
        AND relnamespace = 'public'::regnamespace ORDER BY 1") || return 1
    for table in $tables; do
        echo "COPY $table TO STDOUT (FORMAT binary);"
    done | "${ask[@]}" >"$place/contents"
}

# The server wants a key that nobody else may read.
only_tls() {
    install -m 600 "$certificate" "$data/server.crt" && install -m 600 "$key" "$data/server.key" || return 1
    echo 'ssl = on' >>"$data/postgresql.conf"
    echo 'hostssl all all 127.0.0.1/32 trust' >"$data/pg_hba.conf"
}

create() {
    if [ -n "$primary" ]; then
        pg_basebackup -D "$data" -h 127.0.0.1 -p "$primary" -U postgres -R -C -S "standby_$port" -c fast >>"$log" 2>&1
    else
        initdb -D "$data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >>"$log" 2>&1
    fi || return 1
    # Later lines win, so a standby overrides what it copied. Without fsync a server loses nothing when it is killed,
    # only when the machine is.
    cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$place'
max_connections = 200
max_wal_senders = 10
max_replication_slots = 10
wal_level = replica
hot_standby = on
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_wal_size = 256MB
autovacuum = off
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
log_min_messages = warning
CONF
    [ -n "$certificate" ] && { only_tls || return 1; }
    start
}

if [ -n "$room" ] && ! problem=$(mkdir "$disk" && mount -t tmpfs -o "size=$room,mode=700" tmpfs "$disk" 2>&1); then
    echo "no disk of $room could be mounted, which a full one is tested with: $(tr '\n' ' ' <<<"$problem")"
    exit 1
fi
if [ "$primary" != attached ] && ! create; then
    echo "the server did not start: $(tail -5 "$log" 2>/dev/null | tr '\n' ' ')"
    exit 1
fi
while read -r command argument; do
    case $command in
        where) echo "ok $data" ;;
        sql) if answer=$(sql postgres "$argument"); then echo "ok $answer"; else echo "failed: $answer"; fi ;;
        sql_in)
            read -r database statement <<<"$argument"
            if answer=$(sql "$database" "$statement"); then echo "ok $answer"; else echo "failed: $answer"; fi
            ;;
        contents) if contents "$argument"; then echo "ok $place/contents"; else echo "failed"; fi ;;
        stop) stop "$argument" && echo ok ;;
        start) if start; then echo ok; else echo "failed: $(tail -3 "$log" | tr '\n' ' ')"; fi ;;
        promote) pg_ctl promote -D "$data" -w >>"$log" 2>&1 && echo ok || echo failed ;;
        freeze) kill -STOP "$pid" $(pgrep -P "$pid") && echo ok ;;
        disk) echo "ok $disk" ;;
        fill) dd if=/dev/zero of="$disk/filler" bs=8k 2>/dev/null; echo ok ;;
        empty) rm "$disk/filler" && echo ok ;;
        thaw) kill -CONT "$pid" $(pgrep -P "$pid") && echo ok ;;
        *) echo "unknown: $command" ;;
    esac
done
