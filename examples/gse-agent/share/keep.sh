#!/bin/sh
# Stays in the foreground while a release that goes to the background runs: starts it, looks after it, stops it when told to.
# It knows `bin/gsectl start|status|stop` and nothing else of the release. Called in the directory of the release.
set -u

# shellcheck disable=SC2317 # by the trap
stop() {
    trap '' TERM INT
    bin/gsectl stop
    exit 0
}
trap stop TERM INT

bin/gsectl start || exit 1
# A pause that the signal ends; `sleep` alone would be waited for.
while bin/gsectl status; do
    sleep 2 &
    wait $!
done
echo "the release ended by itself" >&2
bin/gsectl stop
exit 1
