# What process 1 of AIX does: /etc/inittab, at run level 2. `telinit q` has it looked at again.
# shellcheck shell=dash
RUN=/.real/run/init

# Each entry's own process, in a session of its own, by way of one that keeps it.
keep_entry() { # ID ACTION COMMAND
    ended='' child='' quick=0
    trap 'ended=yes; [ -z "$child" ] || kill -TERM "-$child" 2>/dev/null' TERM
    while [ -z "$ended" ]; do
        began=$(date +%s)
        (exec env -i PATH=/usr/bin:/etc:/usr/sbin:/usr/ucb:/sbin HOME=/ LANG=C /.real/bin/setsid /usr/bin/sh -c "$3") \
            </dev/null >/dev/null 2>&1 &
        child=$!
        echo "$child" >"$RUN/$1.pid"
        while kill -0 "$child" 2>/dev/null; do wait "$child"; done
        { [ "$2" = respawn ] && [ -z "$ended" ]; } || break
        if [ $(($(date +%s) - began)) -lt 2 ]; then quick=$((quick + 1)); else quick=0; fi
        # Respawning too rapidly.
        [ "$quick" -lt 10 ] || sleep 225
        sleep 1
    done
    rm -f "$RUN/$1.pid" "$RUN/$1.keeper"
}

look_at_inittab() {
    while IFS=: read -r id levels action command; do
        # A line that begins with a colon is a comment.
        [ -n "$id" ] || continue
        case $levels in '' | *2*) ;; *) continue ;; esac
        [ ! -e "$RUN/$id.seen" ] || [ "$action" = respawn ] || continue
        [ ! -e "$RUN/$id.keeper" ] || continue
        case $action in
        once | respawn | boot)
            : >"$RUN/$id.seen"
            keep_entry "$id" "$action" "$command" &
            echo "$!" >"$RUN/$id.keeper"
            ;;
        wait | bootwait | sysinit)
            : >"$RUN/$id.seen"
            (keep_entry "$id" "$action" "$command")
            ;;
        esac
    done </etc/inittab
    for keeper in "$RUN"/*.keeper; do
        [ -f "$keeper" ] || continue
        id=${keeper##*/} id=${id%.keeper}
        grep -q "^$id:[0-9]*2[0-9]*:\(respawn\|once\):\|^$id::\(respawn\|once\):" /etc/inittab || {
            rm -f "$RUN/$id.seen"
            read -r child <"$RUN/$id.pid" && read -r pid <"$keeper" && kill -TERM "$pid" 2>/dev/null
            (sleep 20 && kill -KILL "-$child") 2>/dev/null &
        }
    done
}

services_first() {
    mkdir -p "$RUN"
    trap look_at_inittab HUP
    grep '^srcmstr:' /etc/inittab >/.real/run/srcmstr || return 0
    IFS=: read -r id _ action command </.real/run/srcmstr
    keep_entry "$id" "$action" "$command" &
    echo "$!" >"$RUN/$id.keeper"
    await_master src
}

services_last() {
    look_at_inittab
}
