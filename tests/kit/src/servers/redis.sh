# A Redis server that lives as long as the input of this script. Arguments: the port, and options for the server,
# or only "attached" if the server is somebody else's and only asked. Each
# line of input is a command; each is answered with one line, "ok …" or what went wrong.
set -uo pipefail
port=$1
shift
options=("$@")
place=$(mktemp -d) || exit 1
data=$place/data
listen=(--port "$port")
client=(redis-cli -p "$port")
log=$place/log
mkdir "$data" || exit 1
pid=
# Who has a certificate shows it to everybody.
case "${options[*]}" in
    *--tls-cert-file*)
        listen=(--port 0 --tls-port "$port")
        client+=(--tls --insecure)
        ;;
esac

cleanup() {
    [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    rm -rf "$place"
}
trap cleanup EXIT

# Until it has read its files, it says its role and LOADING to everything else. A replica is no use before it has a copy.
answers() {
    for _ in $(seq 600); do
        local said
        said=$(printf 'PING\nROLE\n' | "${client[@]}" 2>/dev/null | tr '\n' ' ')
        case $said in
            PONG\ master* | NOAUTH*) return ;;
            PONG\ slave*connected*) return ;;
        esac
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.02
    done
    return 1
}

start() {
    # Who writes more than it may is told, as with a full disk, and not killed.
    trap '' XFSZ
    redis-server "${listen[@]}" --bind 127.0.0.1 --dir "$data" --daemonize no --logfile "$log" \
        --appendonly yes --appendfsync everysec --save '' --repl-diskless-sync-delay 0 \
        --enable-debug-command yes --cluster-node-timeout 1000 "${options[@]}" >>"$log" 2>&1 </dev/null &
    pid=$!
    answers
}

# stop fast|immediate|kill
stop() {
    case $1 in
        fast) kill -TERM "$pid" ;;
        immediate) "${client[@]}" SHUTDOWN NOSAVE NOW FORCE >/dev/null 2>&1 ;;
        kill) kill -KILL "$pid" ;;
    esac
    wait "$pid" 2>/dev/null
    pid=
    true
}

# From its input, so that the client reads the quotes.
ask() {
    printf '%s\n' "$1" | "${client[@]}" -e 2>&1 | tr '\n' ' '
}

# contents PREFIX: the keys in order, and each in the words of its type.
contents() {
    local ask=("${client[@]}" -e --raw) key
    "${ask[@]}" --scan --pattern "$1*" | sort | while IFS= read -r key; do
        echo "$key"
        case $("${ask[@]}" TYPE "$key") in
            string) "${ask[@]}" GET "$key" ;;
            hash) "${ask[@]}" HGETALL "$key" ;;
            list) "${ask[@]}" LRANGE "$key" 0 -1 ;;
            set) "${ask[@]}" SMEMBERS "$key" ;;
            zset) "${ask[@]}" ZRANGE "$key" 0 -1 WITHSCORES ;;
            stream) "${ask[@]}" XRANGE "$key" - + ;;
        esac
    done >"$place/contents"
}

if [ "${options[*]}" != attached ] && ! start; then
    echo "the server did not start: $(tail -5 "$log" 2>/dev/null | tr '\n' ' ')"
    exit 1
fi
while read -r verb argument; do
    case $verb in
        where) echo "ok $data" ;;
        command) if answer=$(ask "$argument"); then echo "ok $answer"; else echo "failed: $answer"; fi ;;
        contents) if contents "$argument"; then echo "ok $place/contents"; else echo failed; fi ;;
        stop) stop "$argument" && echo ok ;;
        start) if start; then echo ok; else echo "failed: $(tail -3 "$log" | tr '\n' ' ')"; fi ;;
        freeze) kill -STOP "$pid" && echo ok ;;
        fill) prlimit --pid "$pid" --fsize="$(find "$data" -type f -printf '%s\n' | sort -n | tail -1):unlimited" && echo ok ;;
        empty) prlimit --pid "$pid" --fsize=unlimited && echo ok ;;
        tear) truncate -s "-$argument" "$(ls -t "$data"/appendonlydir/*.incr.aof | head -1)" && echo ok ;;
        thaw) kill -CONT "$pid" && echo ok ;;
        *) echo "unknown: $verb" ;;
    esac
done
