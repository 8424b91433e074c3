# Starts, stops and finds the agent's process on AIX, and has it started at boot: by the System Resource Controller (SRC), which
# an entry of inittab asks at boot, or by the service script where SRC does not answer.
# It never touches a subsystem, an entry or a process that is not ours; a name that is taken is refused.
#
# The half of agent that is AIX's, for the ksh of 1988. Needs unix/service.sh before it, which says what a half has.
# shellcheck shell=ksh disable=SC2154,SC2034 # agent.sh reads the parameters and names the exit codes, and reads what is set here

set_places() {
    system_file='' system_place=''
    # inittab takes names of 14 characters.
    # shellcheck disable=SC2046 # the first word
    set -- $(put_line "$name" | cksum)
    entry=lf$1
    # SRC opens it as root at any time, through any link: it lies where only root writes.
    if under_src; then log=$home/output.log; fi
}

owned_by_system() { # PATH
    case $1 in
        /audit/* | /bin/* | /dev/* | /esa/* | /lib/* | /lpp/* | /proc/* | /sbin/*) ;;
        /etc/drivers | /etc/init.d | /etc/ipsec | /etc/lpp | /etc/mail | /etc/methods | /etc/microcode | /etc/objrepos) ;;
        /etc/perf | /etc/rc* | /etc/security | /etc/security/* | /etc/ssh | /etc/ssl | /etc/tunables | /etc/vg) ;;
        /home/guest | /home/lost+found | /opt/freeware | /opt/freeware/* | /opt/IBM | /opt/ibm | /opt/rsct) ;;
        /usr/bin | /usr/ccs | /usr/dt | /usr/include | /usr/java* | /usr/krb5 | /usr/lib | /usr/local | /usr/lpp | /usr/lpp/*) ;;
        /usr/mbin | /usr/opt | /usr/sbin | /usr/share | /usr/sys | /usr/ucb | /usr/vac | /usr/websm) ;;
        /usr/local/bin | /usr/local/etc | /usr/local/include | /usr/local/lib | /usr/local/man | /usr/local/sbin) ;;
        /var/adm | /var/adm/* | /var/cache | /var/db | /var/empty | /var/ha | /var/lib | /var/locks | /var/log | /var/msgs) ;;
        /var/opt | /var/perf | /var/preserve | /var/run | /var/security | /var/spool | /var/spool/* | /var/tmp | /var/yp) ;;
        *) return 1 ;;
    esac
}

under_src() {
    lssrc -a >/dev/null 2>&1
}

# What SRC and inittab cannot hold.
check_words() {
    case $setup_path$log_path in
        *:*) die "$EXIT_UNSAFE_PATH" check_env "AIX parts the fields of a service by colons, so no path of one can hold any" ;;
    esac
    if ! under_src; then
        case $setup_path in *\'*) die "$EXIT_UNSAFE_PATH" check_env "an entry of inittab cannot quote '$setup_path'" ;; esac
        return 0
    fi
    if [ ${#name} -gt 29 ]; then die "$EXIT_BAD_PARAMS" check_env "SRC takes names of 29 characters, '$name' has ${#name}"; fi
    for path in "$home/start" "$log"; do
        if [ ${#path} -gt 199 ]; then die "$EXIT_UNSAFE_PATH" check_env "SRC takes paths of 199 characters, $path has ${#path}"; fi
    done
}

check_foreign() {
    [ "$process" = own ] || return 0
    check_words
    if is_known && ! is_ours; then
        die "$EXIT_FOREIGN_SERVICE" check_env "the subsystem $name ($program) is not ours, choose another name or remove it"
    fi
    line=$(lsitab "$entry" 2>/dev/null)
    case $line in
        '' | *"$OURS ($name)"*) ;;
        *) die "$EXIT_FOREIGN_SERVICE" check_env "the entry $entry of inittab is not ours" ;;
    esac
    refuse_foreign_pid
}

registered() {
    { is_known && is_ours; } || lsitab "$entry" >/dev/null 2>&1
}

# --- the subsystem ---

# Does SRC know a subsystem of that name? Sets program, which it starts.
is_known() {
    program=
    line=$(lssrc -S -s "$name" 2>/dev/null | sed -n '$p')
    case $line in "$name":*) ;; *) return 1 ;; esac
    # Name, synonym, arguments, program: the arguments of ours are empty.
    line=${line#*:}
    line=${line#*:}
    line=${line#*:}
    program=${line%%:*}
}

# Also one of another setup path, as long as it lies there.
is_ours() {
    [ "$program" = "$home/start" ] || ours "$program"
}

# Sets pid, empty unless it is active.
look_at_subsystem() {
    pid=
    # shellcheck disable=SC2046 # split into columns: name and group, which may have grown together, pid, state
    set -- $(lssrc -s "$name" 2>/dev/null | sed -n '$p')
    while [ $# -gt 2 ]; do shift; done
    if [ "${2-}" = active ]; then pid=$1; fi
    case $pid in '' | *[!0-9]*) return 1 ;; esac
}

is_down() {
    line=$(lssrc -s "$name" 2>/dev/null | sed -n '$p')
    case $line in '' | *inoperative*) return 0 ;; *) return 1 ;; esac
}

wait_down() { # SECONDS
    seconds_left=$1
    until is_down; do
        if [ "$seconds_left" -le 0 ]; then return 1; fi
        sleep 1
        seconds_left=$((seconds_left - 1))
    done
}

# --- the process ---

# Prints who runs, and sets pid. Without a start time: it is reckoned here, and would differ by a second now and then.
running() {
    if [ "$process" = none ]; then
        [ -h "$home/current" ] && echo process=none
    elif is_known && is_ours; then
        look_at_subsystem && process_facts "$pid" || return 1
        echo "process=src $name $pid"
    else
        running_by_pid
    fi
}

start_agent() {
    if [ "$process" = none ]; then return; fi
    say INFO start_agent START "$name"
    size_of "$log"
    log_size=$bytes
    if ! is_known; then
        start_by_script
    else
        mkdir -p "$log_path" "$run_path" && touch "$log"
        startsrc -s "$name" || die "$EXIT_START_FAILED" start_agent "startsrc -s $name failed"
    fi
    say INFO start_agent DONE "$name"
}

last_words() {
    end_of_log "$log"
}

stop_agent() { # STEP
    if is_known && is_ours && ! is_down; then
        members=
        if look_at_subsystem; then
            # Now: once their parent is gone, nothing tells whose they were.
            # shellcheck disable=SC2046 # a list of pids
            members=$(with_start_times $(family "$pid"))
            if [ -f "$home/stop" ]; then own_stop; fi
        fi
        # Should the own stop have ended it, SRC may have begun another by now. This ends that, too.
        is_down || stopsrc -s "$name"
        if ! wait_down 10; then
            stopsrc -f -s "$name"
            wait_down 10 || die "$EXIT_STOP_FAILED" "$1" "the subsystem $name cannot be stopped"
        fi
        end_members
    fi
    stop_by_script "$1" "$home/service"
    end_strays "$1"
}

# The package's own way to stop. It gets 10 s; what it leaves is stopped like any other.
own_stop() {
    MAINPID=$pid sh "$home/stop" </dev/null &
    stopper=$!
    waited=0
    while process_facts "$stopper" && [ "$waited" -lt 10 ]; do
        sleep 1
        waited=$((waited + 1))
    done
    kill -KILL "$stopper" 2>/dev/null
}

with_start_times() { # PID ...
    for one in "$@"; do
        if process_facts "$one"; then echo "$one $started"; fi
    done
}

left_of() { # PID STARTED ...
    while [ $# -ge 2 ]; do
        if process_facts "$1" && same_start "$started" "$2"; then echo "$1"; fi
        shift 2
    done
}

# SRC ends the one process that it started.
end_members() {
    for signal in TERM KILL; do
        waited=0
        # shellcheck disable=SC2086 # pairs of pid and start time, and a list of pids
        while left=$(left_of $members) && [ -n "$left" ] && [ "$waited" -lt 10 ]; do
            if [ "$waited" -eq 0 ]; then kill -"$signal" $left 2>/dev/null; fi
            sleep 1
            waited=$((waited + 1))
        done
    done
}

# Programs that run from our directory although SRC knows nothing of them: an agent that went to the background, or one whose
# subsystem is gone. Nothing tells which file a process runs, so it is told by its environment, or by its first word.
strays() {
    # Not in one pipeline: the words that grep looks for would be found in its own arguments.
    table=$(ps axeww 2>/dev/null || ps -e -o pid= -o args= 2>/dev/null)
    put_line "$table" | sed -e 's/$/ /' |
        grep -F -e " LANDFALL_AGENT=$home " -e " $home/" | while read -r stray rest; do
        case $stray in '' | *[!0-9]*) continue ;; esac
        if is_stray "$stray"; then echo "$stray"; fi
    done
}

is_stray() { # PID
    process_facts "$1" || return 1
    if has_variable "$1" "LANDFALL_AGENT=$home"; then return 0; fi
    line=$(ps -o args= -p "$1" 2>/dev/null)
    case $line in "$home"/*) return 0 ;; *) return 1 ;; esac
}

# --- at boot ---

setup_startup_scripts() {
    if [ "$process" = none ]; then
        unregister
        return
    fi
    say INFO setup_startup_scripts START "$name"
    if under_src; then
        way=SRC
        make_subsystem && enter_inittab "/usr/bin/startsrc -s $name"
    else
        way=inittab
        enter_inittab "/usr/bin/ksh '$home/service' start"
    fi || die "$EXIT_STARTUP_FAILED" setup_startup_scripts "$name cannot be registered with $way"
    say INFO setup_startup_scripts DONE "by $way"
}

# Anew, whatever it was before: nothing runs now. -S: stopped by signals, -R: started again when it ends by itself.
make_subsystem() {
    if is_known; then
        is_ours && rmssys -s "$name" || return 1
    fi
    mkssys -s "$name" -p "$home/start" -u 0 -G landfall -S -n 15 -f 9 -w 10 -R -Q -i /dev/null -o "$log" -e "$log"
}

enter_inittab() { # COMMAND
    line="$entry:2:once:$1 >/dev/null 2>&1 $OURS ($name)"
    known=$(lsitab "$entry" 2>/dev/null)
    if [ "$known" = "$line" ]; then return 0; fi
    if [ -n "$known" ]; then chitab "$line"; else mkitab "$line"; fi
}

unregister() {
    if is_known && is_ours; then rmssys -s "$name" || return 1; fi
    line=$(lsitab "$entry" 2>/dev/null)
    case $line in *"$OURS ($name)"*) rmitab "$entry" ;; *) return 0 ;; esac
}
