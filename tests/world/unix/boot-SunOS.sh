# What process 1 of Solaris does: keeps svc.startd alive where there is one, and runs the scripts of run level 3.
# shellcheck shell=dash

services_first() {
    [ -x /lib/svc/bin/svc.startd ] || return 0
    (while :; do
        env -i PATH=/usr/sbin:/usr/bin /.real/bin/setsid /lib/svc/bin/svc.startd </dev/null >/dev/null 2>&1
        sleep 1
    done) &
    await_master smf
}

services_last() {
    for script in /etc/rc2.d/S* /etc/rc3.d/S*; do
        if [ -f "$script" ]; then
            env -i PATH=/usr/sbin:/usr/bin HOME=/ /.real/bin/setsid /sbin/sh "$script" start </dev/null >/dev/null 2>&1
        fi
    done &
}
