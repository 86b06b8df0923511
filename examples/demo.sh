#!/usr/bin/env bash
# The main job, from an empty folder to a running service, in a folder of its own. Every line that begins with $ is
# the command that is run. Needs no terminal, listens on loopback only, and leaves nothing behind.
set -euo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/mica-demo.XXXXXX")
pids=()
stop() {
    # What is stopped by a signal ends with a failure, which must not end this function (set -e).
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
cd "$work"

chapter() { if [ -t 1 ]; then printf '\n\033[1m== %s\033[0m\n' "$*"; else printf '\n== %s\n' "$*"; fi; }
show() { printf '$ %s\n' "$*"; }
run() { show "$*"; eval "$*"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_for() { # a command that must succeed within 20 seconds
    for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    echo "waited 20 seconds in vain for: $*" >&2
    exit 1
}

ca_port=$(free_port)
web_port=$(free_port)
export MICAPATH="$work/ca"
umask 077
head -c 24 /dev/urandom | base64 >ca-password
head -c 24 /dev/urandom | base64 >provisioner-password

chapter "A new CA"
run mica ca init --ssh --name "'Harbour Works'" --dns localhost --address "127.0.0.1:$ca_port" \
    --provisioner ops@harbour.example --password-file ca-password --provisioner-password-file provisioner-password
run mica ca check --password-file ca-password

chapter "Serve it"
show "mica ca serve --password-file ca-password &"
mica ca serve --password-file ca-password --workers 2 2>ca.log &
pids+=($!)
wait_for mica ca health
run mica ca health
fingerprint=$(mica certificate fingerprint ca/certs/root_ca.crt)

chapter "A client, elsewhere, that trusts it"
export MICAPATH="$work/client"
run mica ca bootstrap --ca-url "https://localhost:$ca_port" --fingerprint "$fingerprint"

chapter "A certificate from scratch"
run mica ca certificate svc.example --san svc.example --san localhost svc.crt svc.key \
    --provisioner-password-file provisioner-password
run mica certificate inspect svc.crt --short

chapter "A web server that uses it, and a client that trusts it"
show "python3 serve.py &"
cat >serve.py <<'PY'
import http.server
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("svc.crt", "svc.key")


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from svc.example\n")

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Hello)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
python3 serve.py "$web_port" 2>/dev/null &
pids+=($!)
wait_for curl -s --cacert client/certs/root_ca.crt "https://localhost:$web_port/"
run curl -sS --cacert client/certs/root_ca.crt --resolve "svc.example:$web_port:127.0.0.1" \
    "https://svc.example:$web_port/"

chapter "A CSR, and a single-use token made by somebody else"
run mica certificate create --csr foo.example foo.csr foo.key --no-password --insecure
show "TOKEN=\$(mica ca token foo.example --provisioner-password-file provisioner-password)"
TOKEN=$(mica ca token foo.example --provisioner-password-file provisioner-password)
export TOKEN
show 'echo $TOKEN | mica crypto jwt inspect --insecure'
echo "$TOKEN" | mica crypto jwt inspect --insecure
mkdir elsewhere
show 'MICAPATH=elsewhere mica ca sign --token $TOKEN foo.csr foo.crt'
MICAPATH="$work/elsewhere" mica ca sign --token "$TOKEN" foo.csr foo.crt
show 'MICAPATH=elsewhere mica ca sign --token $TOKEN --force foo.csr foo.crt   # a second time'
if MICAPATH="$work/elsewhere" mica ca sign --token "$TOKEN" --force foo.csr foo.crt; then
    echo "a token served twice" >&2
    exit 1
fi

chapter "A token without a password: the certificate of a device vouches (X5C)"
run mica certificate create --profile root-ca "'Harbour Devices'" devices.crt devices.key --no-password --insecure
run mica certificate create edge7.example edge7.crt edge7.key --ca devices.crt --ca-key devices.key --no-password --insecure
run "sed -i.old '/^plugins = /s/\"jwk\"/\"jwk\", \"x5c\"/' ca/ca.toml"
run mica ca provisioner add edge --type X5C --x5c-roots devices.crt --no-ssh --ca-config ca/ca.toml
show "kill -HUP <the pid of mica ca serve>"
kill -HUP "${pids[0]}"
wait_for grep -q " reloaded " ca.log
show "TOKEN=\$(mica ca token sensor.example --x5c-cert edge7.crt --x5c-key edge7.key)"
TOKEN=$(mica ca token sensor.example --x5c-cert edge7.crt --x5c-key edge7.key)
show 'MICAPATH=elsewhere mica ca certificate --token $TOKEN sensor.example sensor.crt sensor.key'
MICAPATH="$work/elsewhere" mica ca certificate --token "$TOKEN" sensor.example sensor.crt sensor.key
run mica certificate inspect sensor.crt --short
export MICA_PROVISIONER=ops@harbour.example # there are two now, and nobody to be asked which

chapter "Renew, over mutual TLS"
run mica ca renew --force svc.crt svc.key
run mica certificate inspect svc.crt --short

chapter "Revoke: no renewal any more"
run mica ca revoke --cert svc.crt --key svc.key
show "mica ca renew --force svc.crt svc.key"
if mica ca renew --force svc.crt svc.key; then
    echo "a revoked certificate was renewed" >&2
    exit 1
fi

chapter "SSH: a certificate for a host, and one for a user"
run mica ssh certificate --host localhost ssh_host_key --no-password --insecure \
    --provisioner-password-file provisioner-password
run mica ssh certificate alice@harbour.example alice --principal "$(id -un)" --no-password --insecure --no-agent \
    --provisioner-password-file provisioner-password
run "mica ssh inspect alice-cert.pub | grep -E 'Key ID|Serial|Valid'"

chapter "SSH: what the host believes, and what the user believes"
run "mica ssh config --roots >user_ca.pub"
run "mica ssh config --host --roots --cert-authority localhost >known_hosts"
run mica ssh krl --out revoked.krl

sshd=$(PATH="$PATH:/usr/sbin:/sbin" command -v sshd || true)
if [ -z "$sshd" ] || ! command -v ssh >/dev/null; then
    echo "(There is no sshd here to log in to. On Debian: apt install openssh-server)"
else
    chapter "SSH: a login; no password, no fingerprint to agree to"
    ssh_port=$(free_port)
    cat >sshd_config <<CONFIG
ListenAddress 127.0.0.1:$ssh_port
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
HostKey $work/ssh_host_key
HostCertificate $work/ssh_host_key-cert.pub
TrustedUserCAKeys $work/user_ca.pub
RevokedKeys $work/revoked.krl
CONFIG
    run "grep -E 'Certificate|CAKeys|Revoked' sshd_config"
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd # the package's own, which is made when sshd starts as a service
    show "sshd -D -f sshd_config &"
    "$sshd" -D -e -f "$work/sshd_config" 2>sshd.log &
    pids+=($!)
    wait_for grep -q "Server listening" sshd.log
    login=(ssh -F none -p "$ssh_port" -i alice -o UserKnownHostsFile=known_hosts -o GlobalKnownHostsFile=/dev/null
        -o StrictHostKeyChecking=yes -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none localhost)
    show "ssh -i alice localhost echo hello over ssh"
    if ! "${login[@]}" echo hello over ssh </dev/null; then
        sed 's/^/sshd: /' sshd.log >&2
        grep -q "account is locked" sshd.log || exit 1
        echo "(sshd believes the certificate, but lets nobody into this account: it is locked.)"
    fi

    chapter "SSH: revoked, and refused at the next login"
    run mica ssh revoke --key-id alice@harbour.example --provisioner-password-file provisioner-password
    run mica ssh krl --out revoked.krl
    show "ssh -i alice localhost echo hello over ssh"
    if "${login[@]}" echo hello over ssh </dev/null; then
        echo "a revoked certificate logged in" >&2
        exit 1
    fi
fi

chapter "What is on record, on the CA's own host"
export MICAPATH="$work/ca"
run mica ca certs list

chapter "Done"
echo "The server is stopped and $work removed."
