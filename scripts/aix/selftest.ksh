#!/usr/bin/ksh
# What unix/selftest.sh proves, on AIX; the rest is told there. A person copies the directories scripts and templates to the
# machine, and runs this as root:
#
#   ksh scripts/aix/selftest.ksh
#
# One line per check: ok, FAIL or absent, NAME - detail; then a summary. Exit code: the FAILs, 125 at most.
# shellcheck source-path=SCRIPTDIR disable=SC2034,SC2154,SC2317 # unix/selftest.sh reads what is set here, and calls it
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd) || exit 125
half=$here/agent.ksh
system=AIX
shell=/usr/bin/ksh
set -- "${here%/*}/unix"
# shellcheck source=../unix/selftest.sh
. "$1/selftest.sh"
if lssrc -a >/dev/null 2>&1; then way=src; else way=inittab; fi
# shellcheck disable=SC2046 # the first word
set -- $(put_line "$name" | cksum)
entry=lf$1

system_checks() {
    line=$(oslevel -s 2>&1)
    ok oslevel "$line"
    if [ $way = src ]; then ok src 'answers'; else absent src 'does not answer: agents are started by inittab alone'; fi
    mkitab "$entry:2:off:/usr/bin/true : # $name" && line=$(lsitab "$entry") && rmitab "$entry" && ! lsitab "$entry" >/dev/null 2>&1
    holds $? inittab "an entry came and went: $line"
    if [ $way != src ]; then return; fi
    mkssys -s $name -p /usr/bin/true -u 0 -G landfall -S -n 15 -f 9 -w 10 -R -Q -i /dev/null -o /dev/null -e /dev/null >"$root/said" 2>&1
    holds $? mkssys 'with all that an install says' "$(cat "$root/said")"
    line=$(lssrc -S -s $name | sed -n '$p')
    case $line in $name:*:*:/usr/bin/true:*) ok lssrc-fields "$line" ;; *) fails lssrc-fields "the fourth is not the program: $line" ;; esac
    line=$(lssrc -s $name | sed -n '$p')
    case $line in *inoperative*) ok lssrc-state "$line" ;; *) fails lssrc-state "$line" ;; esac
    rmssys -s $name >/dev/null 2>&1 && [ -z "$(known_to_system)" ]
    holds $? rmssys 'it is gone'
}

# What inittab runs at boot, run now.
boots() {
    line=$(lsitab "$entry")
    case $line in "$entry:2:once:"*) ok boot-entry "$line" ;; *) fails boot-entry "'$line'" && return ;; esac
    if [ $way = src ]; then stopsrc -s $name >/dev/null; else sh "$home/service" stop >/dev/null; fi
    sleep 3
    sh -c "${line#*:*:*:}"
    answers_as boot 1.0 'started by what the entry says'
}

strays_told() {
    if variables_are_told; then fails stray 'was not ended'; else absent stray 'neither its variables nor its first word tells it'; fi
}

# A subsystem, or an entry where there is no SRC, of somebody else.
foreign() {
    stop='' reload=''
    stage_files f1 1.0 "$(quoted_start)"
    if [ $way = src ]; then mkssys -s $name -p /usr/bin/true -u 0 -S -n 15 -f 9 >/dev/null; else mkitab "$entry:2:off:/usr/bin/true"; fi
    step install f1 1.0
    went foreign 29 'a name that another has is refused'
    if [ $way = src ]; then
        line=$(lssrc -S -s $name | sed -n '$p')
        case $line in $name:*:/usr/bin/true:*) ok foreign-stays "$line" ;; *) fails foreign-stays "$line" ;; esac
    else
        same_text foreign-stays 'it is as it was' "$entry:2:off:/usr/bin/true" "$(lsitab "$entry")"
    fi
    forget
}

known_to_system() {
    lsitab "$entry" 2>/dev/null
    lssrc -S -s $name 2>/dev/null | grep "^$name:"
}

forget() {
    stopsrc -f -s $name >/dev/null 2>&1 && sleep 2
    rmssys -s $name >/dev/null 2>&1
    rmitab "$entry" >/dev/null 2>&1
}

may_run || exit 125
trap summary EXIT
trap 'interrupted=yes; exit 130' HUP INT TERM
main
