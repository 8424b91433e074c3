# Starts, stops and finds the agent's process, and has it started at boot: by systemd, by init.d, by rc.local.
# It never touches a unit, an init script or a process that is not ours; a name that is taken is refused.
#
# The half of agent that is Linux's. Needs unix/service.sh before it, which says what a half has.
# shellcheck shell=sh disable=SC2154,SC2034 # agent.sh reads the parameters and names the exit codes, and reads what is set here

set_places() {
    system_file=unit
    system_place=/etc/systemd/system/$name.service
    init=/etc/init.d/$name
}

owned_by_system() { # PATH
    case $1 in
        /bin/* | /boot/* | /dev/* | /lib/* | /lib32/* | /lib64/* | /libx32/* | /proc/* | /sbin/* | /sys/*) ;;
        /etc/default | /etc/init.d | /etc/rc* | /etc/ssh | /etc/ssl | /etc/systemd | /etc/systemd/*) ;;
        /root/.ssh | /run/lock | /run/systemd | /run/user | /run/user/*) ;;
        /usr/bin | /usr/etc | /usr/games | /usr/include | /usr/lib | /usr/lib32 | /usr/lib64 | /usr/libx32) ;;
        /usr/libexec | /usr/local | /usr/sbin | /usr/share | /usr/src) ;;
        /usr/local/bin | /usr/local/etc | /usr/local/games | /usr/local/include | /usr/local/lib | /usr/local/lib64) ;;
        /usr/local/libexec | /usr/local/man | /usr/local/sbin | /usr/local/share | /usr/local/src) ;;
        /var/backups | /var/cache | /var/db | /var/empty | /var/lib | /var/local | /var/lock | /var/log) ;;
        /var/mail | /var/opt | /var/run | /var/spool | /var/tmp | /var/www) ;;
        *) return 1 ;;
    esac
}

under_systemd() {
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1
}

check_foreign() {
    [ "$process" = own ] || return 0
    refuse_foreign "$system_place" /lib/systemd/system/"$name".service /usr/lib/systemd/system/"$name".service "$init"
    refuse_foreign_pid
}

registered() {
    ours "$system_place" || ours "$init"
}

# --- the process ---

# Prints who runs, and sets pid.
running() {
    if [ "$process" = none ]; then
        [ -h "$home/current" ] && echo process=none
    elif under_systemd && ours "$system_place"; then
        systemctl is-active --quiet "$name.service" || return 1
        pid=$(systemctl show -p MainPID "$name.service")
        pid=${pid#MainPID=}
        process_facts "${pid:-0}" || return 1
        echo "process=unit $name $pid $started"
    else
        running_by_pid
    fi
}

start_agent() {
    if [ "$process" = none ]; then return; fi
    say INFO start_agent START "$name"
    began=$(date '+%Y-%m-%d %H:%M:%S')
    size_of "$log"
    log_size=$bytes
    if under_systemd; then
        systemctl reset-failed "$name.service" 2>/dev/null
        systemctl start "$name.service" || die "$EXIT_START_FAILED" start_agent "systemctl start $name.service failed"
    else
        start_by_script
    fi
    say INFO start_agent DONE "$name"
}

last_words() { # of this start, not of an earlier one
    if under_systemd; then
        # What systemd says of it first: the agent's own words tell more.
        for whose in UNIT _SYSTEMD_UNIT; do
            journalctl "$whose=$name.service" --since "$began" -n 5 --no-pager -o cat 2>/dev/null
        done
    else
        end_of_log "$log"
    fi
}

stop_agent() { # STEP
    if under_systemd && ours "$system_place"; then
        systemctl stop "$name.service" || die "$EXIT_STOP_FAILED" "$1" "systemctl stop $name.service failed"
    fi
    # The copy in /etc/init.d, should somebody have deleted the directory under a running agent.
    stop_by_script "$1" "$home/service" "$init"
    end_strays "$1"
}

# Programs that run from our directory although the service knows nothing of them: an agent that went to the background,
# or one whose pid file is lost. Only in our own mount namespace: in a container the same path is another file.
strays() {
    real=$(cd "$home" 2>/dev/null && pwd -P) || return 0
    space=$(mount_space self)
    running_from "$real" | while read -r stray; do
        if [ "$(mount_space "$stray")" = "$space" ]; then printf '%s ' "$stray"; fi
    done
}

running_from() { # DIR
    case $1 in
        # The ls of busybox shows such a name with question marks in it; what a process has in memory names it as it is.
        *[!\ -~]*)
            for maps in /proc/[0-9]*/maps; do
                if grep -Fq -e " $1/" "$maps" 2>/dev/null; then maps=${maps%/maps} && echo "${maps#/proc/}"; fi
            done
            return
            ;;
    esac
    # shellcheck disable=SC2010 # readlink is not everywhere, and these names are numbers
    ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -e " -> $1/" | sed 's,.* /proc/\([0-9]*\)/exe -> .*,\1,'
}

mount_space() { # PID
    # shellcheck disable=SC2012 # readlink is not everywhere
    ls -l "/proc/$1/ns/mnt" 2>/dev/null | sed 's,.* -> ,,'
}

# --- at boot ---

setup_startup_scripts() {
    if [ "$process" = none ]; then
        unregister
        return
    fi
    say INFO setup_startup_scripts START "$name"
    if under_systemd; then
        way=systemd
        put_file "$services/unit" "$system_place" 644 && systemctl daemon-reload && systemctl -q enable "$name.service"
    elif [ -d /etc/init.d ]; then
        way=init.d
        put_file "$home/service" "$init" 755 && link_rc
    else
        way=rc.local
        enter_rc_local
    fi || die "$EXIT_STARTUP_FAILED" setup_startup_scripts "$name cannot be registered with $way"
    say INFO setup_startup_scripts DONE "by $way"
}

# The links by hand: update-rc.d, chkconfig and insserv are each at home on a few systems only.
link_rc() {
    linked=
    for level in 0 1 2 3 4 5 6; do
        case $level in 0 | 1 | 6) link=K01$name ;; *) link=S99$name ;; esac
        for dir in /etc/rc$level.d /etc/rc.d/rc$level.d /etc/init.d/rc$level.d; do
            [ -d "$dir" ] || continue
            ln -sf "$init" "$dir/$link" || return 1
            linked=yes
        done
    done
    # An init.d without run levels (OpenRC, busybox init) starts nothing by itself.
    if [ -z "$linked" ]; then
        way=rc.local
        enter_rc_local
    fi
}

rc_local_file() {
    for file in /etc/rc.d/rc.local /etc/rc.local; do
        if [ -f "$file" ] && [ ! -h "$file" ]; then
            echo "$file"
            return
        fi
    done
    echo /etc/rc.local
}

# After the first line, because many end with `exit 0`.
enter_rc_local() {
    leave_rc_local || return 1
    file=$(rc_local_file)
    if [ ! -e "$file" ]; then printf '#!/bin/sh\n%s\n' "$OURS" >"$file" || return 1; fi
    quoted=$(printf '%s' "$home/service" | sed "s/'/'\\\\''/g")
    cp -p "$file" "$file.landfall-new" && {
        sed -n '1{/^#!/p;}' "$file"
        printf "[ ! -x '%s' ] || '%s' start %s (%s)\n" "$quoted" "$quoted" "$OURS" "$name"
        sed '1{/^#!/d;}' "$file"
    } >"$file.landfall-new" && chmod u+x "$file.landfall-new" && mv -f "$file.landfall-new" "$file"
}

leave_rc_local() {
    file=$(rc_local_file)
    if [ ! -f "$file" ] || ! grep -Fq -e "$OURS ($name)" "$file"; then return 0; fi
    cp -p "$file" "$file.landfall-new" || return 1
    grep -Fv -e "$OURS ($name)" "$file" >"$file.landfall-new"
    # The two lines that we began the file with.
    if [ "$(cat "$file.landfall-new")" = "$(printf '#!/bin/sh\n%s' "$OURS")" ]; then
        rm -f "$file.landfall-new" "$file"
    else
        mv -f "$file.landfall-new" "$file"
    fi
}

unregister() {
    if ours "$system_place"; then
        if under_systemd; then systemctl -q disable "$name.service"; fi
        rm -f "$system_place" /etc/systemd/system/multi-user.target.wants/"$name".service || return 1
        if under_systemd; then
            systemctl daemon-reload
            systemctl reset-failed "$name.service" 2>/dev/null
        fi
    fi
    if ours "$init"; then
        for link in /etc/rc[0-6].d /etc/rc.d/rc[0-6].d /etc/init.d/rc[0-6].d; do
            if [ -d "$link" ]; then rm -f "$link/S99$name" "$link/K01$name" || return 1; fi
        done
        rm -f "$init" || return 1
    fi
    leave_rc_local
}
