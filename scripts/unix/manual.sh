# Carries a host task out from a shell of the host: asks the server for the plan, does its steps by the programs that an
# executor would send, and reports how each went.
# It never shows its token in an argument or the environment, and never decides by itself what a step is.
#
# Comes after prelude.sh, clock.sh, digest.sh, json.sh, the programs as functions `program_NAME`, and, before all of them, lf_base lf_task lf_token
# lf_setup lf_temp. May be begun again after a break: what is done stays done.
# shellcheck shell=sh disable=SC2154

# The log goes to the server in pieces of so many bytes.
piece_bytes=65536
# A request that stands still for so long is given up, seconds.
stalled=60
# How often a request is tried, a little later each time: about three minutes.
tries=9
# A run that has nothing to tell says that it is there, seconds.
beat=10

tell() { # TEXT: to the person
    say INFO manual - "$*"
}

give_up() { # TEXT: what was begun goes on; the script may be begun again
    tell "$*"
    tell "begin it again with: $again $self"
    exit 1
}

leave() { # EXIT: nothing of this is needed any more
    rm -rf "$work" && rm -f "$self"
    rmdir "${self%/*}" 2>/dev/null
    exit "$1"
}

# --- the server ---

# The body comes from a file, so that the token in it is in no argument list.
request() { # PATH FILE: the answer into FILE; how it went stands in $work/status
    if [ "$tool" = curl ]; then
        curl -gsS --connect-timeout 15 -o "$2" -w 'status=%{http_code}\n' -H 'Content-Type: application/json' \
            --data-binary "@$work/body" "$lf_base$1" >"$work/status" 2>&1
    else
        # shellcheck disable=SC2086 # two flags or none
        wget $patience -O "$2" --header 'Content-Type: application/json' --post-file "$work/body" "$lf_base$1" >"$work/status" 2>&1
    fi
}

# A line that stands still is cut by who watches the file that grows.
watched() { # PATH FILE: the answer into FILE
    : >"$2"
    request "$1" "$2" &
    asked=$!
    (
        before=0 still=0
        while [ "$still" -lt "$stalled" ]; do
            sleep 1
            size_of "$2"
            if [ "$bytes" -eq "$before" ]; then still=$((still + 1)); else before=$bytes still=0; fi
        done
        kill "$asked"
    ) >/dev/null 2>&1 &
    watcher=$!
    wait "$asked"
    code=$?
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    if [ "$tool" = curl ]; then
        grep -q 'status=200' "$work/status" || code=1
    fi
    refused=
    if [ "$code" -ne 0 ] && grep -q -e 'status=40[13]' -e '[^0-9]40[13][^0-9]' "$work/status"; then refused=yes; fi
    return "$code"
}

ask() { # PATH FILE: again and again, until there is an answer
    try=1
    while ! watched "$1" "$2"; do
        if [ -n "$refused" ]; then
            tell 'the server knows this script no more: the host task has ended, was cancelled, or another command was run for it'
            stop_run
            leave 1
        fi
        [ "$try" -lt "$tries" ] || give_up "the server cannot be reached, or refuses: $(sed -n '$p' "$work/status")"
        sleep $((try * 5))
        try=$((try + 1))
    done
}

body() { # JSON-MEMBERS: what is sent next
    put_line "{\"task_id\":\"$lf_task\",\"token\":\"$lf_token\"$1}" >"$work/body"
}

answered() { # after a report; that the host task has ended, the script sees by having no step left
    case $(cat "$work/answer") in *'"told":"cancel"'*) cancelled ;; esac
}

report() { # STEP STATUS TEXT
    now=$(date '+%Y-%m-%d %H:%M:%S')
    text=$(json_line "$rules" "$3")
    body ",\"logs\":[{\"timestamp\":\"$now\",\"level\":\"INFO\",\"step\":\"$1\",\"status\":\"$2\",\"log\":\"$text\"}]"
    ask /backend/report_log/ "$work/answer"
    [ "$1" = cancel ] || answered
}

begin() { # STEP
    tell "$1 begins"
    report "$1" START ''
}

done_with() { # STEP WORD
    report "$1" DONE "$2"
    tell "$1 done"
}

failed() { # STEP CODE TEXT
    tell "$1 FAILED: $3"
    report "$1" FAILED "$2 $3"
    leave 1
}

# The word that a program ends with, as the executor would read it.
word_of() { # FILE
    sed -n 's/^@@lf:\(.*\)@@$/\1/p' "$1" | grep -v '^ready$' | sed -n '$p'
}

failed_as() { # STEP FILE: by what a program says
    word=$(word_of "$2")
    case $word in
        fail=*)
            word=${word#fail=}
            failed "$1" "${word%% *}" "${word#* }"
            ;;
        *) failed "$1" failed "the program ended without an answer (${word:-nothing})" ;;
    esac
}

# --- what is asked for ---

bring() { # STEP PART SHA256 FILE
    body ",\"part\":\"$2\",\"offset\":0"
    ask /backend/fetch/ "$4"
    digest_of "$digest_tool" "$4"
    if [ -n "$3" ] && [ -n "$digest" ] && [ "$digest" != "$3" ]; then failed "$1" checksum "$2 has $digest instead of $3"; fi
}

read_sheet() {
    state='' task='' epoch='' digest_tool=none action='' package='' stage='' files_sha256='' before='' run_id='' run_sha256=''
    log_at=0 health='' cleanup='' steps=''
    : >"$work/file.list"
    : >"$work/run_file.list"
    while IFS= read -r line; do
        value=${line#*=}
        case $line in
            state=*) state=$value ;;
            task=*) task=$value ;;
            epoch=*) epoch=$value ;;
            digest_tool=*) digest_tool=$value ;;
            action=*) action=$value ;;
            package=*) package=$value ;;
            stage=*) stage=$value ;;
            files_sha256=*) files_sha256=$value ;;
            file=*) put_line "$value" >>"$work/file.list" ;;
            before=*) before=$value ;;
            run_id=*) run_id=$value ;;
            run_sha256=*) run_sha256=$value ;;
            run_file=*) put_line "$value" >>"$work/run_file.list" ;;
            log_at=*) log_at=$value ;;
            health=*) health=$value ;;
            cleanup=*) cleanup=$value ;;
            step=*) steps="$steps ${value% *}=${value#* }" ;;
            end=*)
                tell "${value#* } (${value%% *})"
                leave 1
                ;;
        esac
    done <"$work/sheet"
    run=$state/runs/$run_id
}

# Calls a program with NAME MODE SIZE of every file of LIST behind its other arguments.
with_triples() { # LIST PROGRAM ARGUMENT ...
    list=$1
    shift
    while read -r mode size name; do set -- "$@" "$name" "$mode" "$size"; done <"$list"
    sh "$@"
}

# --- the steps ---

upload_package() {
    begin upload_package
    sha=${package%% *} size=${package#* } sent=0 round=1 at_before=-1
    while :; do
        # Without a byte on stdin it says what is there, and leaves that as it is.
        sh "$work/put" "$state" "$sha" "$size" "$digest_tool" </dev/null >"$work/said" 2>&1
        want=$(sed -n 's/^@@lf:want=\([0-9]*\)@@$/\1/p' "$work/said")
        case $(word_of "$work/said") in
            have)
                if [ "$sent" -eq 0 ]; then done_with upload_package have; else done_with upload_package "stored $sent"; fi
                return
                ;;
            stored*) want=$size ;;
            fail=short*) ;;
            *) failed_as upload_package "$work/said" ;;
        esac
        if [ "$want" -gt "$at_before" ]; then round=1; fi
        [ "$round" -le "$tries" ] || failed upload_package unreached "$lf_base: $(sed -n '$p' "$work/status")"
        at_before=$want
        body ",\"part\":\"package\",\"offset\":$want"
        # -f: the words of a refusal are no bytes of a package.
        download | sh "$work/put" "$state" "$sha" "$size" "$digest_tool" >"$work/said" 2>&1
        word=$(word_of "$work/said")
        case $word in
            stored*)
                sent=$((sent + size - want))
                done_with upload_package "$word $sent"
                return
                ;;
            fail=short*) ;;
            *) failed_as upload_package "$work/said" ;;
        esac
        size_of "$state/blobs/.$sha.part"
        if [ "$bytes" -gt "$want" ]; then sent=$((sent + bytes - want)); fi
        sleep $((round * 5))
        round=$((round + 1))
        # A server that knows us no more says so here, and then this ends.
        body ',"logs":[]'
        ask /backend/report_log/ "$work/answer"
        answered
    done
}

download() { # the bytes of a part to stdout; ends early with the line
    if [ "$tool" = curl ]; then
        curl -gfsS --connect-timeout 15 --speed-limit 1 --speed-time "$stalled" -H 'Content-Type: application/json' \
            --data-binary "@$work/body" "$lf_base/backend/fetch/" 2>"$work/status"
    else
        # shellcheck disable=SC2086 # two flags or none
        wget $patience -q -O - --header 'Content-Type: application/json' --post-file "$work/body" \
            "$lf_base/backend/fetch/" 2>"$work/status"
    fi
}

upload_files() {
    begin upload_files
    bring upload_files files "$files_sha256" "$work/files"
    with_triples "$work/file.list" "$work/bundle" "$stage" <"$work/files" >"$work/said" 2>&1
    [ "$(word_of "$work/said")" = stored ] || failed_as upload_files "$work/said"
    done_with upload_files stored
}

run_script() { # DEADLINE_S
    deadline=$1
    begin run_script
    # What the attempt before may have left running must not meet this one.
    [ -z "$before" ] || sh "$work/kill" "$state" "$before" >/dev/null 2>&1
    bring run_script run "$run_sha256" "$work/run"
    with_triples "$work/run_file.list" "$work/start" "$state" "$run_id" "$action" "$task" "$epoch" "$deadline" \
        <"$work/run" >"$work/said" 2>&1
    started=yes
    case $(word_of "$work/said") in
        # A slow machine: the run is there, its process was not seen yet. Following tells.
        started | attached | 'fail=not_started'*) ;;
        *) failed_as run_script "$work/said" ;;
    esac
    follow_run
}

# The follower says how the run ends; its log is read here, where it lies.
follow_run() {
    sh "$work/follow" "$state" "$run_id" 2000000000 >/dev/null 2>"$work/words" &
    follower=$!
    at=$log_at idle=0 since=$(seconds) ending=
    while :; do
        ending=$(sed -n -e 's/^@@lf:\(exit=.*\)@@$/\1/p' -e 's/^@@lf:\(rebooted\)@@$/\1/p' -e 's/^@@lf:\(lost\)@@$/\1/p' \
            -e 's/^@@lf:missing@@$/lost/p' "$work/words" | sed -n 1p)
        if ship "$ending"; then
            idle=0
            continue
        fi
        if [ -n "$ending" ]; then break; fi
        if ! kill -0 "$follower" 2>/dev/null && [ -z "$(word_of "$work/words")" ]; then ending=lost; fi
        idle=$((idle + 1))
        if [ "$idle" -ge "$beat" ]; then
            idle=0
            body ',"logs":[]'
            ask /backend/report_log/ "$work/answer"
            answered
        fi
        now=$(seconds)
        if [ $((now - since)) -ge "$deadline" ]; then
            stop_run
            failed run_script late "$deadline"
        fi
        sleep 1
    done
    wait "$follower" 2>/dev/null
    follower='' started=
    case $ending in
        'exit=0 '*) done_with run_script "$ending" ;;
        *)
            tell "run_script FAILED: $ending"
            report run_script DONE "$ending"
            leave 1
            ;;
    esac
}

# Whole lines only, as long as more may come. One that is longer than a piece goes in parts.
ship() { # ENDING: false when nothing was to be sent
    { skip_bytes "$at"; dd bs="$piece_bytes" count=1 2>/dev/null; } 2>/dev/null <"$run/log" >"$work/piece" || return 1
    size_of "$work/piece"
    size=$bytes
    if [ "$size" -eq 0 ]; then return 1; fi
    lines=$(wc -l <"$work/piece")
    lines=$((lines))
    if [ "$lines" -gt 0 ]; then
        sed "${lines}q" "$work/piece" >"$work/lines"
        # sed adds no newline to a last line that lacks one, and a piece with lines ends in one here.
        mv -f "$work/lines" "$work/piece"
    elif [ "$size" -lt "$piece_bytes" ] && [ -z "$1" ]; then
        return 1
    fi
    cat "$work/piece"
    {
        put_line "{\"task_id\":\"$lf_task\",\"token\":\"$lf_token\",\"offset\":$at,\"logs\":["
        json_lines "$rules" <"$work/piece"
        put_line ']}'
    } >"$work/body"
    ask /backend/report_log/ "$work/answer"
    size_of "$work/piece"
    at=$((at + bytes))
    answered
    return 0
}

agent_status() { # sets code and said
    said=$(sh "$run/agent.sh" status "$run" 2>&1 </dev/null)
    code=$?
}

identity_of() { # TEXT
    put_line "$1" | sed -n 's/^.*process=//p' | sed -n 1p
}

verify() {
    begin verify
    bring verify health '' "$work/question"
    agent_status
    [ "$code" -eq 0 ] || failed verify died "the agent does not run ($(put_line "$said" | sed -n '$p'))"
    one=$(identity_of "$said")
    sh "$work/health" "${health%% *}" "${health#* }" "$(cat "$work/question")" >"$work/said" 2>&1 </dev/null
    word=$(word_of "$work/said")
    agent_status
    [ "$code" -eq 0 ] || failed verify died 'the agent ended while it was asked'
    other=$(identity_of "$said")
    [ "$one" = "$other" ] || failed verify died "the agent was started again while it was asked ($one, then $other)"
    case $word in
        healthy) done_with verify "healthy $one" ;;
        unhealthy=*) failed verify unhealthy "${word#*=}" ;;
        cannot=*) failed verify cannot "${word#*=}" ;;
        *) failed_as verify "$work/said" ;;
    esac
}

verify_gone() {
    begin verify_gone
    agent_status
    # scripts/exit_codes.toml: not_installed.
    [ "$code" -eq 34 ] || failed verify_gone still "exit code $code"
    done_with verify_gone gone
}

cleanup() {
    begin cleanup
    keep=${cleanup%% *} rest=${cleanup#* }
    mode=${rest%% *} blobs=${rest#* }
    [ "$mode" = keep ] || blobs=
    sh "$work/cleanup" "$state" "$task" "$keep" "$blobs" "$mode" >"$work/said" 2>&1 </dev/null
    if [ "$(word_of "$work/said")" = 'done' ]; then
        done_with cleanup 'done'
    else
        report cleanup FAILED "failed $(word_of "$work/said")"
    fi
}

stop_run() { # sets stopped: killed, gone, alive or nothing
    stopped=nothing
    if [ -z "${started-}" ]; then return; fi
    [ -z "${follower-}" ] || kill "$follower" 2>/dev/null
    sh "$work/kill" "$state" "$run_id" >"$work/said" 2>&1 </dev/null
    stopped=$(word_of "$work/said")
}

cancelled() {
    tell 'the job was cancelled'
    stop_run
    report cancel DONE "$stopped"
    leave 1
}

# --- from the first to the last ---

again='sh'
if [ -x /usr/xpg4/bin/sh ]; then again=/usr/xpg4/bin/sh; fi
self=$(cd "${0%/*}" 2>/dev/null && pwd)/${0##*/}
case $0 in */*) ;; *) self=$(pwd)/$0 ;; esac
[ "$(id -u)" = 0 ] || { tell 'run this as root' && exit 1; }
work=${self%/*}/work
mkdir -p "$work" || give_up "$work cannot be made"
rules=$work/rules
started='' refused='' follower=''
patience=
if command -v curl >/dev/null 2>&1; then
    tool=curl
elif command -v wget >/dev/null 2>&1; then
    tool=wget
    # busybox has no such flags, or dies of them.
    if wget --version 2>/dev/null | grep -q GNU; then patience="-T $stalled -t 1"; fi
else
    give_up 'neither curl nor wget is on this machine'
fi
json_rules "$rules"
for name in probe put bundle start runner follow kill health cleanup; do "program_$name" >"$work/$name"; done
printf '%s\n%s\n' "$lf_setup" "$lf_temp" | sh "$work/probe" >"$work/facts" 2>/dev/null
{
    put_line "{\"task_id\":\"$lf_task\",\"token\":\"$lf_token\","
    printf '"facts":"'
    json_text "$rules" <"$work/facts"
    put_line '"}'
} >"$work/body"
ask /backend/settle/ "$work/sheet"
read_sheet
for step in $steps; do
    case ${step%=*} in
        run_script) run_script "${step#*=}" ;;
        upload_package) upload_package ;;
        upload_files) upload_files ;;
        verify) verify ;;
        verify_gone) verify_gone ;;
        cleanup) cleanup ;;
        *) give_up "this script does not know the step ${step%=*}" ;;
    esac
done
tell 'done'
leave 0
