# Starts, stops and finds the agent's process on Solaris, and has it started at boot: by the Service Management Facility (SMF), or
# by a script of /etc/rc3.d where SMF does not answer.
# It never touches a service, a script or a process that is not ours; a name that is taken is refused.
#
# The half of agent that is Solaris's, for the ksh that Solaris 10 and 11 have as /usr/xpg4/bin/sh. Needs unix/service.sh before
# it, which says what a half has.
# shellcheck shell=ksh disable=SC2154,SC2034 # agent.sh reads the parameters and names the exit codes, and reads what is set here

set_places() {
    system_file=manifest
    system_place=/var/svc/manifest/site/landfall-$name.xml
    fmri=svc:/site/landfall/$name:default
    smf_log=/var/svc/log/site-landfall-$name:default.log
    init=/etc/init.d/$name
}

owned_by_system() { # PATH
    case $1 in
        /bin/* | /boot/* | /dev/* | /devices/* | /kernel/* | /lib/* | /net/* | /platform/* | /proc/* | /sbin/* | /system/*) ;;
        /vol/* | /etc/cron.d | /etc/default | /etc/devices | /etc/inet | /etc/init.d | /etc/lib | /etc/mail | /etc/nfs) ;;
        /etc/rc* | /etc/security | /etc/security/* | /etc/skel | /etc/ssh | /etc/svc | /etc/svc/* | /etc/zones) ;;
        /export/home | /opt/SUNW* | /opt/csw | /opt/csw/* | /opt/sfw | /opt/sfw/* | /root/.ssh) ;;
        /usr/4lib | /usr/X11 | /usr/apache* | /usr/bin | /usr/ccs | /usr/demo | /usr/dt | /usr/games | /usr/gnu | /usr/include) ;;
        /usr/java | /usr/jdk | /usr/kernel | /usr/lib | /usr/lib/* | /usr/local | /usr/openwin | /usr/perl5 | /usr/platform) ;;
        /usr/proc | /usr/sadm | /usr/sbin | /usr/sfw | /usr/sfw/* | /usr/share | /usr/src | /usr/ucb | /usr/xpg4 | /usr/xpg6) ;;
        /usr/local/bin | /usr/local/etc | /usr/local/include | /usr/local/lib | /usr/local/man | /usr/local/sbin) ;;
        /var/adm | /var/adm/* | /var/apache* | /var/cron | /var/db | /var/inet | /var/ld | /var/lib | /var/log | /var/mail) ;;
        /var/opt | /var/pkg | /var/run | /var/sadm | /var/sadm/* | /var/spool | /var/spool/* | /var/svc | /var/svc/* | /var/tmp) ;;
        *) return 1 ;;
    esac
}

under_smf() {
    command -v svcadm >/dev/null 2>&1 && svcs -H >/dev/null 2>&1
}

check_foreign() {
    [ "$process" = own ] || return 0
    if under_smf; then
        case $name in [0-9]*) die "$EXIT_BAD_PARAMS" check_env "SMF takes no name that begins with a digit: '$name'" ;; esac
    fi
    refuse_foreign "$system_place" "$init"
    refuse_foreign_pid
}

registered() {
    ours "$system_place" || ours "$init"
}

# --- the process ---

# Nothing where SMF knows no such service; with a * while it is on its way to another.
state_of() {
    # shellcheck disable=SC2046 # without the blanks that fill the column
    set -- $(svcs -H -o state "$fmri" 2>/dev/null)
    echo "${1-}"
}

# Prints who runs, and sets pid. Without a start time: it is reckoned here, and would differ by a second now and then.
running() {
    if [ "$process" = none ]; then
        [ -h "$home/current" ] && echo process=none
    elif under_smf && ours "$system_place"; then
        [ "$(state_of)" = online ] || return 1
        pid=$(svcprop -p restarter/start_pid "$fmri" 2>/dev/null)
        case $pid in '' | *[!0-9]*) return 1 ;; esac
        process_facts "$pid" || return 1
        echo "process=smf $name $pid"
    else
        running_by_pid
    fi
}

start_agent() {
    if [ "$process" = none ]; then return; fi
    say INFO start_agent START "$name"
    if under_smf && ours "$system_place"; then
        size_of "$smf_log"
        log_size=$bytes
        # One that ended too often waits for a word.
        if [ "$(state_of)" = maintenance ]; then svcadm clear "$fmri"; fi
        svcadm enable -s "$fmri"
        now=$(state_of)
        if [ "$now" != online ]; then
            warn_last_words start_agent
            die "$EXIT_START_FAILED" start_agent "$fmri is in the state '$now'"
        fi
    else
        size_of "$log"
        log_size=$bytes
        start_by_script
    fi
    say INFO start_agent DONE "$name"
}

last_words() {
    if under_smf && ours "$system_place"; then end_of_log "$smf_log"; else end_of_log "$log"; fi
}

stop_agent() { # STEP
    if under_smf && ours "$system_place" && [ -n "$(state_of)" ]; then
        # SMF calls `service smf_stop`, as it does when the machine goes down. -t: should this break off here, it starts at boot.
        svcadm disable -st "$fmri"
        now=$(state_of)
        case $now in
            disabled | '') ;;
            # The method took too long, and SMF has killed what was left.
            maintenance)
                svcadm clear "$fmri"
                say WARN "$1" - "$fmri did not stop in time and was killed"
                ;;
            *) die "$EXIT_STOP_FAILED" "$1" "$fmri is in the state '$now'" ;;
        esac
    fi
    stop_by_script "$1" "$home/service"
    end_strays "$1"
}

# Programs that run from our directory although the service knows nothing of them. Those of other zones have another path here.
strays() {
    real=$(cd "$home" 2>/dev/null && /usr/bin/pwd) || return 0
    # shellcheck disable=SC2010,SC2012 # nothing else tells where a link leads, and these names are numbers
    ls -l /proc/[0-9]*/path/a.out 2>/dev/null | grep -F -e " -> $real/" | sed 's,.* /proc/\([0-9]*\)/path/a.out -> .*,\1,'
}

# --- at boot ---

setup_startup_scripts() {
    if [ "$process" = none ]; then
        unregister
        return
    fi
    say INFO setup_startup_scripts START "$name"
    if under_smf; then
        way=SMF
        put_file "$services/manifest" "$system_place" 644 && import_manifest
    else
        way=rc3.d
        enter_rc
    fi || die "$EXIT_STARTUP_FAILED" setup_startup_scripts "$name cannot be registered with $way"
    say INFO setup_startup_scripts DONE "by $way"
}

import_manifest() {
    svccfg import "$system_place" || return 1
    [ -n "$(state_of)" ] && return 0
    # Solaris 11 hides what was once deleted.
    svccfg -s "${fmri%:default}" delcust -M >/dev/null 2>&1
    svccfg import "$system_place" && [ -n "$(state_of)" ]
}

# What runs it at boot is a Bourne shell.
enter_rc() {
    quoted=$(put_line "$home/service" | sed "s/'/'\\\\''/g")
    {
        put_line '#!/sbin/sh'
        put_line "$OURS"
        put_line "exec /usr/xpg4/bin/sh '$quoted' \${1+\"\$@\"}"
    } >"$rundir/init" && put_file "$rundir/init" "$init" 744 || return 1
    for link in rc0.d/K01 rc1.d/K01 rc2.d/K01 rcS.d/K01 rc3.d/S99; do
        dir=/etc/${link%/*}
        if [ ! -d "$dir" ]; then continue; fi
        rm -f "/etc/$link$name" && ln -s "$init" "/etc/$link$name" || return 1
    done
    [ -d /etc/rc3.d ]
}

unregister() {
    if ours "$system_place"; then
        if under_smf && [ -n "$(state_of)" ]; then
            svcadm disable -s "$fmri"
            svccfg delete -f "${fmri%:default}" || return 1
        fi
        rm -f "$system_place" "$smf_log" || return 1
    fi
    if ours "$init"; then
        for dir in /etc/rc[0-6S].d; do
            if [ -d "$dir" ]; then rm -f "$dir/S99$name" "$dir/K01$name" || return 1; fi
        done
        rm -f "$init" || return 1
    fi
}
