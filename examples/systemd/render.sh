#!/bin/sh
# The units of this folder with the paths of this machine, in a folder to look at and then to copy:
#
#     examples/systemd/render.sh /tmp/units
#     systemd-analyze verify /tmp/units/mica-ca.service
#     sudo cp /tmp/units/* /etc/systemd/system/ && sudo systemctl daemon-reload
#
# Settings, as environment variables, with what they are without one:
#     MICA      the command                       what "command -v mica" finds
#     MICAPATH  the folder of the CA or client    /etc/mica
#     CERTS     the folder of the certificates    /etc/mica/certs
#     PASSWORD  the file of the CA's password     /etc/mica/ca-password
#     USER_NAME the user and group of the CA      mica
#     SSH_HOST  examples/cron/mica-ssh-host       /usr/local/sbin/mica-ssh-host
set -eu

target=${1:?"usage: render.sh FOLDER"}
source=$(dirname -- "$0")
mica=${MICA:-$(command -v mica)} || { echo "render.sh: there is no mica on PATH; name it with MICA=" >&2; exit 1; }
micapath=${MICAPATH:-/etc/mica}
certs=${CERTS:-/etc/mica/certs}
password=${PASSWORD:-/etc/mica/ca-password}
user=${USER_NAME:-mica}
ssh_host=${SSH_HOST:-/usr/local/sbin/mica-ssh-host}

homes=yes
for path in "$mica" "$micapath" "$certs" "$password" "$ssh_host"; do
    case $path in
    *[!A-Za-z0-9_./@+-]*) echo "render.sh: $path: has a character that a unit file would take for something else" >&2; exit 1 ;;
    /home/* | /root/* | /run/user/*) homes=read-only ;; # ProtectHome=yes would hide it
    /*) ;;
    *) echo "render.sh: $path: must be an absolute path" >&2; exit 1 ;;
    esac
done

mkdir -p -- "$target"
for unit in "$source"/*.service "$source"/*.timer "$source"/*.target; do
    sed -e "s|@MICA@|$mica|g" -e "s|@MICAPATH@|$micapath|g" -e "s|@CERTS@|$certs|g" \
        -e "s|@PASSWORD@|$password|g" -e "s|@USER@|$user|g" -e "s|@HOMES@|$homes|g" \
        -e "s|@SSH_HOST@|$ssh_host|g" "$unit" >"$target/${unit##*/}"
done
