# An haproxy that lives as long as the input of this script. Arguments: the port that it listens on, the port on which it
# tells how it is, and the ports of the servers behind it. Each line of input is a command; each is answered with one
# line, "ok …" or what went wrong.
set -uo pipefail
port=$1
control=$2
shift 2
place=$(mktemp -d) || exit 1
log=$place/log
pid=

cleanup() {
    [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    rm -rf "$place"
}
trap cleanup EXIT

# What fails is to be seen: nothing is sent a second time, and nothing to another server than the one that was chosen.
configuration() {
    cat <<END
global
    stats socket ipv4@127.0.0.1:$control
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 2s
frontend api
    bind 127.0.0.1:$port
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 200ms fall 2 rise 1
END
    local number=0
    for server in "$@"; do
        echo "    server server$((number++)) 127.0.0.1:$server"
    done
}

# The state of each server, in order, such as "UP DOWN". A server that fails its first check of two is "UP 1/2".
states() {
    exec 3<>"/dev/tcp/127.0.0.1/$control" || return
    echo 'show stat' >&3
    awk -F, '$1 == "servers" && $2 != "BACKEND" { printf "%s ", $18 == "UP" ? "UP" : "DOWN" }' <&3
    exec 3>&-
}

configuration "$@" >"$place/haproxy.cfg"
haproxy -db -f "$place/haproxy.cfg" >"$log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 500); do
    states >/dev/null 2>&1 && break
    if ! kill -0 "$pid" 2>/dev/null; then
        echo "haproxy did not start: $(tail -5 "$log" | tr '\n' ' ')"
        exit 1
    fi
    sleep 0.02
done
while read -r verb; do
    case $verb in
        states) if answer=$(states 2>&1); then echo "ok $answer"; else echo "failed: $answer"; fi ;;
        *) echo "unknown: $verb" ;;
    esac
done
