#!/bin/sh
# Sees to it that commands (or files) exist: system.sh COMMAND:PACKAGE /FILE:PACKAGE ...
# Installs what is missing with apt when it may, and otherwise says how to.
set -eu
missing=""
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || [ -f "${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "needed and not here: sudo apt-get install$missing" >&2
    exit 1
fi
