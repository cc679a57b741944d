#!/bin/sh
# Starts darter-proxy in the foreground as a mirror, and says how to point a runtime at it.
#
#   contrib/run.sh BIN [NAME=URL[,URL...]]
#
# BIN is the folder of the programs (build/bin). Without an upstream, Docker Hub is mirrored. What is
# cached stays in $DARTER_STATE, else /var/lib/darter for root, else $XDG_STATE_HOME/darter.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ ! -x "$1/darter-proxy" ]; then
    echo "usage: $0 BIN [NAME=URL[,URL...]]   (BIN: the folder of darter-proxy; make builds it)" >&2
    exit 2
fi
bin=$1
upstream=${2:-docker.io=https://registry-1.docker.io}
name=${upstream%%=*}
listen=${DARTER_LISTEN:-127.0.0.1:65001}

if [ -n "${DARTER_STATE:-}" ]; then
    state=$DARTER_STATE
elif [ "$(id -u)" -eq 0 ]; then
    state=/var/lib/darter
else
    state=${XDG_STATE_HOME:-$HOME/.local/state}/darter
fi
mkdir -p "$state"
case $upstream in
*=*) server=${upstream#*=} server=${server%%,*} ;;
*) echo "$0: \"$upstream\" is not NAME=URL" >&2; exit 2 ;;
esac

cat <<TEXT
darter-proxy mirrors $name on http://$listen; its cache is in $state/cache.
Ctrl-C stops it. Point a runtime at it:

containerd: /etc/containerd/certs.d/$name/hosts.toml (no restart; CRI needs config_path set to
/etc/containerd/certs.d, ctr needs --hosts-dir /etc/containerd/certs.d)
    server = "$server"
    [host."http://$listen"]
      capabilities = ["pull", "resolve"]

TEXT
if [ "$name" = docker.io ]; then
    cat <<TEXT
Docker: /etc/docker/daemon.json, then systemctl reload docker
    { "registry-mirrors": ["http://$listen"] }

TEXT
else
    echo "Docker: its mirrors are for docker.io only; pull $listen/REPOSITORY:TAG instead."
    echo
fi
cat <<TEXT
Podman, CRI-O, skopeo, buildah: /etc/containers/registries.conf.d/darter.conf
    [[registry]]
    location = "$name"
    [[registry.mirror]]
    location = "$listen"
    insecure = true

Without changing anything: pull from $listen/REPOSITORY:TAG.

TEXT
exec "$bin/darter-proxy" --listen "$listen" --cache-dir "$state/cache" \
    --upstream "$upstream" --default-upstream "$name"
