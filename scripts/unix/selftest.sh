# Proves on a real AIX or Solaris what cannot be proven without one: what the programs believe of its shell and tools, the
# programs themselves, and an agent from its install to its end. It works in /var/tmp/lf-selftest, under names of its own, and
# leaves nothing behind, also when it is interrupted. It never touches another agent.
#
# A part of aix/selftest.ksh and solaris/selftest.ksh, which begin with it and have:
#   shell                 the shell that commands of packages are written for
#   system half           the system's name, and its half of agent
#   way                   what starts an agent here: src, inittab, smf or rc3
#   system_checks boots foreign known_to_system forget
# docs/os-support.md tells what this proves.
# shellcheck shell=ksh disable=SC2154,SC2034 # the system's half sets shell, system, half and way, the parts what they are for
# shellcheck disable=SC2016,SC2086 # dollars of other shells; words and lists without blanks of their own
# shellcheck source-path=SCRIPTDIR

# A person's terminal is not read from: the programs would take it for the executor's.
exec </dev/null
parts=$1
templates=${parts%/scripts/unix}/templates
# shellcheck source=prelude.sh
. "$parts/prelude.sh"
# shellcheck source=clock.sh
. "$parts/clock.sh"
# shellcheck source=process.sh
. "$parts/process.sh"
# shellcheck source=family.sh
. "$parts/family.sh"
# shellcheck source=state.sh
. "$parts/state.sh"
# shellcheck source=selftest_programs.sh
. "$parts/selftest_programs.sh"
# shellcheck source=selftest_agent.sh
. "$parts/selftest_agent.sh"

name=lf-selftest
root=/var/tmp/$name
# Short: of a command line some ps tell 80 characters.
state=$root/s
oks=0 fails=0 absents=0
nl='
'

bytes_in() { # FILE: printed
    size_of "$1"
    put_line "$bytes"
}

# --- how a check is told ---

ok() { # NAME DETAIL
    oks=$((oks + 1))
    put_line "ok     $1 - $2"
}

fails() { # NAME DETAIL
    fails=$((fails + 1))
    put_line "FAIL   $1 - $2"
}

absent() { # NAME DETAIL: there is another way, or a person does without
    absents=$((absents + 1))
    put_line "absent $1 - $2"
}

holds() { # EXIT-CODE NAME DETAIL [DETAIL OF A FAIL]
    if [ "$1" -eq 0 ]; then ok "$2" "$3"; else fails "$2" "${4:-not so: $3}"; fi
}

same_text() { # NAME DETAIL WANTED GOT
    if [ "$3" = "$4" ]; then ok "$1" "$2"; else fails "$1" "$2: '$4' in place of '$3'"; fi
}

says() { # TEXT LINE: is it one of its lines?
    case "$nl$1$nl" in *"$nl$2$nl"*) return 0 ;; *) return 1 ;; esac
}

answers() { # NAME DETAIL ANSWER SAID
    says "$4" "@@lf:$3@@"
    holds $? "$1" "$2" "'$3' was not answered, but: $(put_line "$4" | tr '\n' ' ')"
}

# --- programs ---

text_of() { # PART ...: as src/assets.rs puts programs together
    for part in "$@"; do
        case $part in /*) cat "$part" ;; *) cat "$parts/$part.sh" ;; esac
        echo
    done
}

# Without what only people read, for a command line.
command_of() { # PART ...
    text_of "$@" | sed -e 's/^[ 	]*//' -e '/^#/d' -e '/^$/d'
}

# What src/domain/shell.rs hands programs over with.
hand_over='test -x /usr/xpg4/bin/sh && exec /usr/xpg4/bin/sh -c "$@"; exec sh -c "$@"'

call() { # TEXT ARGUMENT ...: as an executor runs a program, from the surroundings of a login
    called=$1
    shift
    env -i PATH=/usr/bin:/usr/sbin HOME=/ SHELL=/bin/sh sh -c "$hand_over" lf "$called" lf "$@"
}

read_programs() {
    probe=$(sed -e 's/^ *//' -e '/^#/d' -e '/^$/d' "$parts/probe.sh" | tr '\n' ' ')
    put=$(command_of prelude digest state stdin put)
    bundle=$(command_of prelude state stdin receive bundle)
    start=$(command_of prelude state stdin receive start)
    kill=$(command_of prelude clock process family lock kill)
    follow=$(command_of prelude clock process log follow)
    collect=$(command_of prelude log collect)
    health=$(command_of prelude clock family reach health)
    cleanup=$(command_of prelude clock process runs cleanup)
    runner=$(text_of prelude clock process family lock runs runner)
    agent=$(text_of prelude clock process family service "$half" upgrade agent)
}

programs() {
    put_line "$runner" >"$root/runner.sh"
    put_line "$agent" >"$root/agent.sh"
    unread=
    for text in "$probe" "$put" "$bundle" "$start" "$kill" "$runner" "$follow" "$collect" "$health" "$cleanup" "$agent"; do
        sh -n -c "$text" >/dev/null 2>"$root/said" || unread="$unread $(sed -n '1p' "$root/said")"
    done
    same_text programs "the shell reads all of them" '' "$unread"
}

# --- the shell ---

language() {
    nasty='a\tb\ "c" $d `e` * %s  '
    put_line "$nasty" >"$root/line"
    IFS= read -r got <"$root/line"
    same_text read-r 'backslashes and blanks stay' "$nasty" "$got"
    same_text put_line 'a line stays as it is' "$nasty" "$(put_line "$nasty")"
    same_text printf-octal 'printf \101\012B' "A${nl}B" "$(printf '\101\012B')"
    printf '\000\377x' >"$root/bytes"
    same_text printf-bytes 'a NUL and a byte of eight bits' 3 "$(bytes_in "$root/bytes")"
    same_text printf-numbers '%03o and %04x' '033 001b' "$(printf '%03o %04x' 27 27)"
    wanted=$root/self.sh
    put_line 'self=$0
        told() { put=$0; echo "$self"; }
        told' >"$root/self.sh"
    same_text self "told before a function (within one \$0 is '$(zero)')" "$wanted" "$(sh "$root/self.sh")"
    same_text trap-exit 'runs at the end, and the exit code stays' 'left 3' "$(sh -c 'trap "printf left" EXIT; exit 3'; echo " $?")"
    (sh -c 'kill -9 $$'; exit $?) >/dev/null 2>&1
    code=$?
    case $code in 137 | 265 | 9) ok killed "a killed program ends with $code" ;; *) fails killed "a killed program ends with $code" ;; esac
    printf '\n\n\n\n' >"$root/exit" && put_line 7 1<>"$root/exit"
    read -r got <"$root/exit"
    same_text in-place '1<> writes into a file' '7 4' "$got $(bytes_in "$root/exit")"
    command -v sh >/dev/null && ! command -v lf-no-such-program >/dev/null
    holds $? command-v "tells what is there: $(command -v sh)"
    long=0123456789abcdef
    while [ ${#long} -lt 65536 ]; do long=$long$long; done
    got=$(call 'echo ${#1}' "$long" 2>&1)
    same_text arguments "one of 64 KiB passes, ARG_MAX is $(getconf ARG_MAX 2>/dev/null)" 65536 "$got"
    got=$(call 'printf "%s|" "$@"' "it's" '' '$(id) `id`' 'a\nb' '"*"')
    same_text words 'words of a command come through two shells' 'it'\''s||$(id) `id`|a\nb|"*"|' "$got"
    if [ $((2147483647 + 1)) -gt 0 ]; then ok numbers 'of 64 bits'; else absent numbers 'of 32 bits: no package of 2 GiB or more'; fi
    groups_of_jobs
}

zero() { put_line "$0"; }

groups_of_jobs() {
    job=$(sh -c 'set -m 2>/dev/null; sleep 5 >/dev/null 2>&1 & echo $!')
    if ! process_facts "$job"; then
        fails set-m "a process in the background is not found"
    elif [ "$group" = "$job" ]; then
        ok set-m 'gives a group of its own'
    else
        absent set-m "gives no group of its own: then HUP is ignored, and descendants are looked for"
    fi
    kill "$job"
}

# The shell says so, when it collects one that a signal has ended.
ended() { # PID
    {
        kill "$1"
        wait "$1"
    } 2>/dev/null
}

# --- the tools ---

tools() {
    nawk 'BEGIN { for (i = 0; i < 20000; i++) printf "%09d\n", i }' </dev/null >"$root/numbers" 2>/dev/null ||
        awk 'BEGIN { for (i = 0; i < 20000; i++) printf "%09d\n", i }' </dev/null >"$root/numbers"
    wanted=$(sed -n '7001,7100p' "$root/numbers" | cksum)
    got=$({ skip_bytes 70000 && dd bs=1000 count=1 2>/dev/null; } <"$root/numbers" | cksum)
    same_text dd 'goes on where the one before ended' "$wanted" "$got"
    exec 3<"$root/numbers"
    skip_bytes 70000 <&3
    got=$(dd bs=500 count=2 <&3 2>/dev/null | cksum)
    exec 3<&-
    same_text dd-descriptor 'on a descriptor that stays open' "$wanted" "$got"
    same_text tail 'tail -c +N' "$(sed -n '19999,20000p' "$root/numbers")" "$(tail -c +199981 "$root/numbers")"
    same_text size 'the fifth column of ls -lnL' 200000 "$(bytes_in "$root/numbers")"
    # shellcheck disable=SC2012 # as state.sh has it
    same_text owner 'the third column of ls -ldn' 0 "$(ls -ldn "$root" | tr -s ' ' | cut -d ' ' -f 3)"
    free_kb "$root"
    case $free in 999999999 | *[!0-9]*) fails df "df -kP tells no room: $(df -kP "$root" 2>&1 | tr '\n' ' ')" ;; *) ok df "$free kB free" ;; esac
    archives
    files
    patterns
    digests
    clocks
    for tool in gzip curl wget; do
        if command -v "$tool" >/dev/null 2>&1; then ok $tool "$(command -v $tool)"; else absent $tool 'not there'; fi
    done
    others=
    for tool in bash nc curl; do if command -v "$tool" >/dev/null 2>&1; then others="$others $tool"; fi; done
    if [ -n "$others" ]; then ok connects "the host can ask ports itself, by$others"; else absent connects 'no bash, nc or curl: ports are asked through sshd'; fi
    as_user
}

archives() {
    mkdir "$root/tree" "$root/tree/bin" "$root/out"
    put_line text >"$root/tree/bin/file"
    chmod 751 "$root/tree/bin/file"
    chown 1 "$root/tree/bin/file"
    (cd "$root/tree" && tar -cf ../tree.tar bin)
    # shellcheck disable=SC2002 # a pipe, as agent.sh has it
    (cd "$root/out" && cat ../tree.tar | { tar -xof - && cat >/dev/null; })
    # shellcheck disable=SC2046 # split into the columns of ls
    set -- $(ls -ln "$root/out/bin/file" 2>/dev/null)
    case ${1-} in -rwxr-x--x*) got="${3-}" ;; *) got="${1-} ${3-}" ;; esac
    same_text tar "-xof - from a pipe: the mode stays, root owns the files" 0 "$got"
    if ! command -v gzip >/dev/null 2>&1; then return; fi
    got=$(gzip -c "$root/tree.tar" | gzip -dc | cksum)
    same_text gzip-pipe 'there and back' "$(cksum <"$root/tree.tar")" "$got"
}

files() {
    cd "$root" || exit
    mkdir made 2>/dev/null && ! mkdir made 2>/dev/null
    holds $? mkdir 'refuses what is there'
    put_line 1 >owner && put_line 2 >taken && ! ln owner taken 2>/dev/null && ln owner lock 2>/dev/null
    holds $? ln 'refuses what is there'
    mkdir one two switch && put_line x >one/in
    ! rmdir one 2>/dev/null
    holds $? rmdir 'spares what holds anything'
    ln -s one current && ln -s two switch/current && mv -f switch/current ./ 2>/dev/null
    # shellcheck disable=SC2012 # as agent.sh has it
    got=$(ls -l current | sed 's,.* -> ,,')
    if [ "$got" = two ]; then ok mv-link 'a link is replaced by one rename'; else absent mv-link "a link is not replaced by a rename ($got): removed first"; fi
    chmod 640 owner && cp -p owner copied
    # shellcheck disable=SC2012 # the mode
    same_text cp-p 'keeps the mode' '-rw-r-----' "$(ls -l copied | cut -c 1-10)"
    rm -rf none.new-*
    holds $? rm-rf 'is content with nothing'
    put_line a >0a && sleep 2 && put_line b >0b
    # shellcheck disable=SC2010,SC2012 # as runs.sh has it
    same_text ls-t 'the newest first' "0b${nl}0a" "$(ls -t | grep '^0[ab]$')"
    same_text find 'find -type f -newer -name' "$root/0b" "$(find "$root" -type f -newer "$root/0a" -name '0[a-f]*')"
    cd / || exit
}

patterns() {
    put_line "a.c $nl b" >"$root/lines"
    grep -Fqx -e 'zz' -e ' b' "$root/lines" && ! grep -Fqx -e 'a.' "$root/lines" && ! grep -Fqx -e 'axc ' "$root/lines"
    holds $? grep '-Fqx with several -e'
    same_text sed-last "sed -n '\$p'" ' b' "$(sed -n '$p' "$root/lines")"
    same_text sed-branch 'sed -e t' "X.c ${nl}{ b}" "$(sed -e 's/^a/X/' -e t -e 's/^.*$/{&}/' "$root/lines")"
    same_text tail-n 'tail -n 1' ' b' "$(tail -n 1 <"$root/lines")"
    same_text cut 'cut -c' 'a.c' "$(sed -n 1p "$root/lines" | cut -c 1-3)"
    # Text of the world's languages, in the C locale.
    same_text bytes 'text of eight bits passes sed and grep' 'é中' "$(put_line 'xé中' | sed 's/^x//' | grep .)"
}

digests() {
    put_line abc >"$root/abc"
    digest_tool=none
    for tool in sha256sum shasum openssl digest csum; do
        if ! command -v $tool >/dev/null 2>&1; then
            absent $tool 'not there'
            continue
        fi
        case $tool in
            sha256sum) got=$(sha256sum <"$root/abc") ;;
            shasum) got=$(shasum -a 256 <"$root/abc") ;;
            openssl) got=$(openssl dgst -sha256 <"$root/abc") && got=${got##* } ;;
            csum) got=$(csum -h SHA256 "$root/abc" 2>&1) ;;
            digest) got=$(digest -a sha256 "$root/abc" 2>&1) ;;
        esac
        if [ "${got%% *}" = edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb ]; then
            ok $tool 'SHA-256 of a known file'
            if [ $digest_tool = none ]; then digest_tool=$tool; fi
        else
            absent $tool "knows no SHA-256: $got"
        fi
    done
    if [ $digest_tool = none ]; then absent sha256 'by no tool: what is stored is read back'; else ok sha256 "by $digest_tool"; fi
}

clocks() {
    before=$(seconds)
    sleep 2
    after=$(seconds)
    case $before$after in *[!0-9]*) fails seconds "'$before', '$after'" ;; *)
        [ "$before" -gt 1700000000 ] && [ $((after - before)) -ge 1 ] && [ $((after - before)) -le 5 ]
        holds $? seconds "$before, and two later $after"
        ;;
    esac
    before=$after waited=0
    for once in 1 2 3 4 5 6; do
        pause 5
        waited=$((waited + slept))
    done
    after=$(seconds)
    [ $((after - before + 1)) -ge $((waited / 10)) ]
    holds $? pause "$waited tenths were $((after - before)) s"
    boot_id
    case $boot in *[0-9]:[0-9]*) ok who-b "$boot" ;; *) fails who-b "who -b says '$boot'" ;; esac
}

as_user() {
    for user in daemon nobody lp; do
        got=$(su $user -c "exec $shell -c 'id -un'" 2>/dev/null | tail -n 1)
        if [ "$got" = $user ]; then
            ok su "runs $shell as $user"
            return
        fi
    done
    absent su 'as daemon, nobody or lp: none of them has a shell'
}

# --- processes ---

processes_checks() {
    process_facts $$ && clock=$(seconds) && [ $((clock - started)) -ge 0 ] && [ $((clock - started)) -lt 3600 ]
    holds $? age "this one is $((clock - started)) s old, of group $group" "ps says: $(ps -o pgid= -o etime= -o comm= -p $$ 2>&1)"
    first=$started
    sleep 3
    process_facts $$ && same_start "$first" "$started"
    holds $? start-time "$first, and later $started"
    ! process_facts 999999
    holds $? no-process 'is none'
    for told in '05 0' 05:09\ 309 1:02:03\ 3723 2-01:00:00\ 176400; do
        if age_of "${told% *}"; then got=$age; else got=0; fi
        [ "$got" = "${told#* }" ] || break
    done
    same_text etime 'is read in all its forms' "${told#* }" "$got"
    case $nl$(processes)$nl in *"$nl$$ "[0-9]*' '[0-9]*) ok processes 'pid, parent and group of all' ;; *) fails processes "without this one: $(processes | sed -n 1,3p)" ;; esac
    # A child that nobody collects.
    sh -c 'sleep 1 & exec sleep 6' &
    parent=$!
    sleep 3
    zombie=$(ps -e -o pid= -o ppid= | sed -n "s/^ *\([0-9]*\)  *$parent *\$/\1/p")
    if [ -z "$zombie" ]; then
        fails zombie 'was not made'
    else
        ! process_facts "$zombie"
        holds $? zombie 'is no process any more' "it is taken for one: $(ps -o pgid= -o etime= -o comm= -p "$zombie")"
    fi
    ended "$parent"
    where=a/directory/whose/name/makes/the/command/line/longer/than/what/ps/tells/of/it
    LF_SELFTEST_MARK="a b" sh -c "sleep 8; exit 1" /runs/lf-mark/agent.sh $where lf-last &
    child=$!
    sleep 1
    of_run $child lf-mark && ! of_run $child lf-mar
    holds $? run-of 'which run a process is of, by its command line' "not told: $(words_of $child | tr '\n' ' ')"
    if words_of $child | grep -Fqx -e lf-last; then
        ok arguments-of 'of another process, all of them'
    elif [ "$system" = SunOS ] && ! command -v pargs >/dev/null 2>&1; then
        absent arguments-of 'of another process ps tells 80 characters, and there is no pargs'
    else
        fails arguments-of "not all: $(words_of $child | tr '\n' ' ')"
    fi
    if ! variables_are_told; then
        absent variables-of 'of another process nothing tells them'
    else
        has_variable $child "LF_SELFTEST_MARK=a b"
        holds $? variables-of 'of another process'
    fi
    members=" $(family $$) "
    case $members in *" $child "*) ok family 'a child is found' ;; *) fails family "without $child: $members" ;; esac
    # shellcheck disable=SC2046 # a list of pids
    kill $(family $child) 2>/dev/null
}

# Of other processes, by pargs or by the way of BSD.
variables_are_told() {
    command -v pargs >/dev/null 2>&1 || ps ewww $$ >/dev/null 2>&1
}

# --- the end ---

clean() {
    for run in "$state"/runs/*; do
        if [ -d "$run" ] && [ ! -f "$run/exit" ]; then call "$kill" "$state" "${run##*/}" >/dev/null 2>&1; fi
    done
    forget >/dev/null 2>&1
    # What ps cuts off begins later than this.
    table=$(ps -e -o pid= -o args= 2>/dev/null)
    put_line "$table" | grep -F -e "$root/" | while read -r pid rest; do
        case $rest in *selftest.ksh*) ;; *) kill -9 "$pid" 2>/dev/null ;; esac
    done
    rm -rf "$root"
}

interrupted=
may_run() {
    case $parts in "$root"/*) put_line "the scripts must lie elsewhere than in $root" && return 1 ;; esac
    [ "$(id -u)" = 0 ] || { put_line 'only root can do this' && return 1; }
    [ "$(uname -s)" = "$system" ] || { put_line "this is for $system" && return 1; }
    read_programs
    # What one that was killed outright has left.
    clean
    mkdir "$root" && chmod 755 "$root"
}

main() {
    own_state "$state"
    ok system "$(uname -a)"
    system_checks
    programs
    language
    tools
    processes_checks
    program_checks
    agent_checks
}

summary() {
    trap '' HUP INT TERM
    clean
    if [ -e "$root" ]; then fails clean "$root is left behind"; fi
    left=$(known_to_system)
    if [ -n "$left" ]; then fails clean "$left is left behind"; fi
    printf '\n%s ok, %s FAIL, %s absent\n' $oks $fails $absents
    if [ -n "$interrupted" ]; then exit 130; fi
    if [ $fails -gt 125 ]; then exit 125; fi
    exit $fails
}
