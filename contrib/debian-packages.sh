#!/bin/sh
# Installs the named Debian packages that are missing. Nothing happens, and no network is needed,
# when all are there. Needs root only when something is missing.
set -eu
missing=""
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing from Debian's packages:$missing" >&2
as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo
# A daemon's package must not start that daemon here: the programs are run by hand, in sandboxes.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    made_policy=yes
fi
trap '[ -z "$made_policy" ] || $as_root rm -f "$policy"' EXIT
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names, to be split
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
       apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "could not install:$missing (see $log)" >&2
    exit 1
fi
rm -f "$log"
