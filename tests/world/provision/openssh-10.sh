#!/bin/sh
# The SSH server is OpenSSH 10, of Debian 13; root logs in by password or by the world's key.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin openssh-10
root_with_password "$PLAIN_PASSWORD"
login key=yes
server_of openssh-10
# It is linked with a libc that is newer than this release's. Only its own programs are started so: what they start, a
# session's shell first of all, is this release's.
libraries=$(dirname /opt/openssh-10/usr/lib/*/libc.so.6)
loader=$(find "$libraries" -name 'ld-linux*' | head -n 1)
run() { # PROGRAM PLACE
    # shellcheck disable=SC2016  # they are the wrapper's own
    printf '#!/bin/sh\nexec %s --argv0 "$0" --library-path %s /opt/openssh-10%s "$@"\n' "$loader" "$libraries" "$1" >"$2"
    chmod 755 "$2"
}
# The listener runs a program for each connection, and that another one for its login, from where they were built to be.
for program in sshd-session sshd-auth sftp-server; do
    run "/usr/lib/openssh/$program" "/usr/lib/openssh/$program"
done
run /usr/sbin/sshd /usr/sbin/sshd
