# An authority that certifies servers for as long as the input of this script. Each line of input is the names of a server;
# it is answered with one line, "ok" and the path of the certificate, whose key has that path with ".key", or what went wrong.
set -uo pipefail
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
# Servers that are run as somebody else read what is in it, and it is worth nothing.
chmod 755 "$place"
number=0

# certify FILE SUBJECT OPTION…: a key, and a certificate for it that is valid for a day.
certify() {
    local file=$1 subject=$2
    shift 2
    openssl req -x509 -days 1 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=$subject" \
        -config <(printf '[req]\ndistinguished_name=name\n[name]\n') -keyout "$file.key" -out "$file" "$@" 2>&1 &&
        chmod 644 "$file.key"
}

# It is said only to the first who asks, so that nobody waits for what nobody hears.
problem=$(certify "$place/authority" "authority $$ of a test" -addext basicConstraints=critical,CA:TRUE)
while read -r names; do
    if [ "$names" = itself ]; then
        [ -e "$place/authority" ] && echo "ok $place/authority" || echo "failed: $(tr '\n' ' ' <<<"$problem")"
        continue
    fi
    file=$place/server$((number++))
    problem=$(certify "$file" "server of a test" -CA "$place/authority" -CAkey "$place/authority.key" \
        -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=$names") &&
        echo "ok $file" || echo "failed: $(tr '\n' ' ' <<<"$problem")"
done
