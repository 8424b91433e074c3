#!/usr/xpg4/bin/sh
# What unix/selftest.sh proves, on Solaris; selftest.sh begins it.
# One line per check: ok, FAIL or absent, NAME - detail; then a summary. Exit code: the FAILs, 125 at most.
# shellcheck source-path=SCRIPTDIR disable=SC2034,SC2154,SC2317 # unix/selftest.sh reads what is set here, and calls it
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd) || exit 125
half=$here/agent.ksh
system=SunOS
shell=/usr/xpg4/bin/sh
set -- "${here%/*}/unix"
# shellcheck source=../unix/selftest.sh
. "$1/selftest.sh"
if svcs -H >/dev/null 2>&1; then way=smf; else way=rc3; fi
service=svc:/site/landfall/$name
manifest=/var/svc/manifest/site/landfall-$name.xml

system_checks() {
    if test -x $shell; then ok xpg4 $shell; else fails xpg4 "$shell is not there: agents cannot be started (SUNWxcu4)"; fi
    if command -v zonename >/dev/null 2>&1; then ok zone "$(zonename)"; else absent zone 'this release has none'; fi
    for place in /usr/local /opt /var/lib; do
        if [ -d $place ] || mkdir $place 2>/dev/null; then
            if (: >"$place/.$name") 2>/dev/null; then ok "writable$place" 'can be written'; else absent "writable$place" 'read-only here: name another setup_path'; fi
            rm -f "$place/.$name"
        else
            absent "writable$place" 'cannot be made here: name another setup_path'
        fi
    done
    if command -v pargs >/dev/null 2>&1; then ok pargs 'there'; else absent pargs 'ps cuts command lines, and tells no variables'; fi
    # shellcheck disable=SC2012 # as agent.ksh has it
    line=$(ls -l /proc/$$/path/a.out 2>/dev/null)
    case $line in *' -> /'*) ok proc-path "${line##* -> }" ;; *) absent proc-path 'nothing tells the file that a process runs: strays are not found' ;; esac
    if [ $way = smf ]; then
        ok smf 'answers'
        # shellcheck disable=SC2009 # of contracts
        if ps -e -o ctid= -o pid= 2>/dev/null | grep "[0-9]  *$$ *\$" >/dev/null; then ok contracts 'ps tells them'; else
            absent contracts 'ps does not tell them: descendants are looked for'
        fi
    else
        absent smf 'does not answer: agents are started by rc3.d'
        if [ -d /etc/rc3.d ]; then ok rc3.d 'there'; else fails rc3.d 'not there either'; fi
    fi
}

boots() {
    if [ $way = smf ]; then
        line=$(svcprop -p general/enabled "$service:default" 2>&1)
        same_text boot-enabled 'the service is, so it starts at boot' true "$line"
        line=$(svcs -H -o state "$service:default" 2>&1)
        case $line in online*) ok boot-state online ;; *) fails boot-state "$line" ;; esac
        return
    fi
    # shellcheck disable=SC2012 # where it leads
    line=$(ls -l /etc/rc3.d/S99$name 2>&1)
    case $line in *" -> /etc/init.d/$name") ok boot-entry "S99$name -> /etc/init.d/$name" ;; *) fails boot-entry "$line" && return ;; esac
    /sbin/sh /etc/rc3.d/S99$name stop >/dev/null 2>&1
    sleep 1
    /sbin/sh /etc/rc3.d/S99$name start >/dev/null 2>&1
    answers_as boot 1.0 'started by the script of rc3.d'
}

strays_told() {
    # shellcheck disable=SC2012 # as agent.ksh has it
    if [ -h /proc/$$/path/a.out ]; then fails stray 'was not ended'; else absent stray 'nothing tells which file a process runs'; fi
}

# A script of somebody else.
foreign() {
    stop='' reload=''
    stage_files f1 1.0 "$(quoted_start)"
    put_line ': another' >/etc/init.d/$name
    step install f1 1.0
    went foreign 29 'a name that another has is refused'
    same_text foreign-stays 'its script is as it was' ': another' "$(cat /etc/init.d/$name)"
    rm -f /etc/init.d/$name
}

known_to_system() {
    for file in "$manifest" /etc/init.d/$name /etc/rc?.d/[SK]??"$name"; do
        if [ -e "$file" ] || [ -h "$file" ]; then put_line "$file"; fi
    done
    if [ "${way-}" = smf ]; then svcs -H -o fmri "$service:default" 2>/dev/null; fi
}

forget() {
    if [ $way = smf ] && [ -n "$(svcs -H -o fmri "$service:default" 2>/dev/null)" ]; then
        svcadm disable -s "$service:default"
        svccfg delete -f "$service"
    fi
    rm -f "$manifest" "/var/svc/log/site-landfall-$name:default.log" /etc/init.d/$name /etc/rc?.d/[SK]??$name
}

may_run || exit 125
trap summary EXIT
trap 'interrupted=yes; exit 130' HUP INT TERM
main
