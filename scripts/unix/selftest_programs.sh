# What the programs of an executor do on this machine: put, bundle, runs from their start to their end.
# It never works outside of the directory of the self-test.
#
# A part of selftest.sh.
# shellcheck shell=ksh disable=SC2154,SC2034,SC2016,SC2086,SC2317 # as in selftest.sh

program_checks() {
    said=$(printf '%s\n' "$root/none/below" /tmp | call "$probe" 2>&1)
    says "$said" '@@lf:begin@@' && says "$said" '@@lf:end@@'
    holds $? probe 'from its begin to its end' "$said"
    for fact in os release cpu distro zone shell uid boot init tools setup; do
        line=$(put_line "$said" | sed -n "s/^@@lf:$fact=\(.*\)@@\$/\1/p")
        case $fact:$line in
            zone:) ;;
            *:) fails probe-$fact 'is not told' ;;
            "os:$system" | uid:0) ok probe-$fact "$line" ;;
            os:* | uid:*) fails probe-$fact "$line" ;;
            "init:$way") ok probe-$fact "$line" ;;
            init:*) fails probe-$fact "$line, not $way" ;;
            setup:"$root "[0-9]*' rw') ok probe-$fact "$line" ;;
            setup:*) fails probe-$fact "$line" ;;
            *) ok probe-$fact "$line" ;;
        esac
    done
    line=$(put_line "$said" | sed -n 's/^@@lf:place=\(.*\)@@$/\1/p' | grep ' ok$' | sed -n 1p)
    case $line in '' | *999999999*) fails probe-place "'$line'" ;; *) ok probe-place "$line" ;; esac

    uploads
    put_line one >"$root/first"
    put_line 'two é' >"$root/second"
    said=$(cat "$root/first" "$root/second" | call "$bundle" "$state/stage/b" one 644 4 etc/two 600 "$(bytes_in "$root/second")" 2>&1)
    answers bundle 'two files' stored "$said"
    same_text bundle-files 'as they were sent' "one${nl}two é" "$(cat "$state/stage/b/one" "$state/stage/b/etc/two")"
    said=$(printf x | call "$bundle" "$state/stage/b" one 644 4 2>&1)
    case $said in *'@@lf:fail=short 1 of 4@@'*) ok bundle-short 'is refused' ;; *) fails bundle-short "$said" ;; esac
    runs
    said=$(call "$health" 2 command 'exit 0' 2>/dev/null)
    answers health 'a command that is content' healthy "$said"
    before=$(seconds)
    said=$(call "$health" 1 command "echo lf-slow; sleep 97; echo never" 2>/dev/null)
    after=$(seconds)
    [ $((after - before)) -lt 30 ]
    holds $? health-bound "a command that hangs ended after $((after - before)) s: $(put_line "$said" | sed -n '$p')"
    # shellcheck disable=SC2009 # pgrep is not everywhere
    said=$(ps -e -o args= | grep '[s]leep 97')
    same_text health-left 'nothing of it runs on' '' "$said"
    said=$(call "$cleanup" "$state" b 1 '' keep 2>&1)
    answers cleanup 'of a task' 'done' "$said"
    # shellcheck disable=SC2012 # run ids
    if [ -d "$state/stage/b" ]; then got=stage; else got=$(ls "$state/runs" | sed -n '$='); fi
    same_text cleanup-left 'one run of all' 1 "$got"
}

uploads() {
    sha=1111111111111111111111111111111111111111111111111111111111111111
    case $digest_tool in
        none) stored=stored=unverified ;;
        *)
            stored=stored
            case $digest_tool in
                sha256sum) sha=$(sha256sum <"$root/numbers") ;;
                shasum) sha=$(shasum -a 256 <"$root/numbers") ;;
                openssl) sha=$(openssl dgst -sha256 <"$root/numbers") && sha=${sha##* } ;;
                csum) sha=$(csum -h SHA256 "$root/numbers") ;;
                digest) sha=$(digest -a sha256 "$root/numbers") ;;
            esac
            sha=${sha%% *}
            ;;
    esac
    said=$(dd if="$root/numbers" bs=1000 count=70 2>/dev/null | call "$put" "$state" "$sha" 200000 $digest_tool 2>&1)
    case $said in *'@@lf:want=0@@'*'@@lf:fail=short 70000 of 200000@@'*) ok put-broken 'an upload that breaks is kept' ;; *) fails put-broken "$said" ;; esac
    said=$(tail -c +70001 "$root/numbers" | call "$put" "$state" "$sha" 200000 $digest_tool 2>&1)
    answers put-resumed 'and is taken up where it broke' want=70000 "$said"
    answers put-stored "by $digest_tool" "$stored" "$said"
    said=$(call "$put" "$state" "$sha" 200000 $digest_tool </dev/null 2>&1)
    if [ $digest_tool = none ]; then sha=numbers; fi
    answers put-again 'is not sent again' have "$said"
    if [ "$digest_tool" = none ]; then
        absent put-checksum 'no tool tells a digest'
        return
    fi
    other=$(put_line "$sha" | tr 0123456789abcdef 123456789abcdef0)
    said=$(call "$put" "$state" "$other" 200000 $digest_tool <"$root/numbers" 2>&1)
    case $said in *'@@lf:fail=checksum '*) ok put-checksum 'other bytes are refused' ;; *) fails put-checksum "$said" ;; esac
}

# --- runs ---

begin() { # RUN_ID ACTION TASK EPOCH DEADLINE_S [AGENT]: sets said
    cat "${6:-$root/acting.sh}" "$root/runner.sh" "$root/params" >"$root/three"
    said=$(call "$start" "$state" "$1" "$2" "$3" "$4" "$5" agent.sh 700 "$(bytes_in "${6:-$root/acting.sh}")" \
        runner.sh 700 "$(bytes_in "$root/runner.sh")" params 600 "$(bytes_in "$root/params")" <"$root/three" 2>&1)
}

end_of() { # RUN_ID SECONDS: sets code
    waited=0 code=none
    until [ -f "$state/runs/$1/exit" ]; do
        if [ "$waited" -ge "$2" ]; then return 1; fi
        sleep 1
        waited=$((waited + 1))
    done
    read -r code <"$state/runs/$1/exit"
}

followed() { # RUN_ID OFFSET: sets code (of comparing) and last
    call "$follow" "$state" "$1" "$2" >"$root/followed" 2>"$root/beats"
    { printf '\n@@lf:ready@@\n' && tail -c +$(($2 + 1)) "$state/runs/$1/log"; } >"$root/wanted"
    cmp -s "$root/followed" "$root/wanted"
    code=$?
    last=$(sed -n '$p' "$root/beats")
}

runs() {
    put_line 'x=1' >"$root/params"
    put_line 'echo "first line"
        case $1 in
            hold) sleep 61 ;;
            *) sleep "$1" ;;
        esac
        echo "last é line"
        exit 7' >"$root/acting.sh"
    begin speak 3 t1 1 5
    answers start 'a run' started "$said"
    followed speak 0
    size=$(bytes_in "$state/runs/speak/log")
    holds $code follow "$size bytes while it runs"
    same_text follow-end 'the exit code, and how much was sent' "@@lf:exit=7 $size@@" "$last"
    followed speak 11
    holds $code follow-offset 'from byte 11 on' "$(cat "$root/followed")"
    begin speak 3 t1 1 5
    answers start-again 'the same run does not start twice' attached "$said"
    same_text collect 'the last 4 bytes' 'ine' "$(call "$collect" "$state" speak 4 2>/dev/null | sed -n '$p')"

    # Whoever starts it ends by a signal to its whole group, as when a session ends.
    cat "$root/acting.sh" "$root/runner.sh" "$root/params" >"$root/three"
    job=$(sh -c 'set -m 2>/dev/null
        begun=$1
        shift
        { sh -c "$@" <"${begun%/*}/three" >"$begun" && sleep 30; } >/dev/null 2>&1 &
        echo $!' lf "$root/begun" "$hand_over" lf "$start" lf "$state" out hold t1 1 5 agent.sh 700 "$(bytes_in "$root/acting.sh")" \
        runner.sh 700 "$(bytes_in "$root/runner.sh")" params 600 "$(bytes_in "$root/params")")
    waited=0
    until grep started "$root/begun" >/dev/null 2>&1 || [ $waited -ge 20 ]; do sleep 1 && waited=$((waited + 1)); done
    kill -HUP "-$job" 2>/dev/null || kill -HUP "$job"
    sleep 2
    kill -KILL "$job" 2>/dev/null
    pid=0 mark=0 pgid=0
    read -r pid mark pgid <"$state/runs/out/pid"
    alive "$pid" "$mark" out
    holds $? run-outlives 'who started it, and a hangup' "$(cat "$state/runs/out/log")"
    if [ "$pid" = "$pgid" ]; then ok run-group 'its own'; else absent run-group "none of its own: descendants are looked for"; fi
    # One that must wait, and one that is older than who works.
    begin waits 1 t2 1 2
    end_of waits 20
    same_text lock 'a second run gives up, exit 40' 40 $code
    begin older 1 t1 0 2
    end_of older 20
    same_text epoch 'an older one is refused, exit 41' 41 $code
    below=" $(family "$pid") "
    said=$(call "$kill" "$state" out 2>&1)
    answers kill 'a run' killed "$said"
    left=
    for one in $below; do if process_facts "$one"; then left="$left $one"; fi; done
    same_text kill-all 'with all that it started' '' "$left"
    end_of out 5
    same_text kill-code 'exit 143' 143 $code

    begin dead hold t1 1 5
    read -r pid mark pgid <"$state/runs/dead/pid"
    below=" $(family "$pid") "
    kill -9 "$pid"
    followed dead 0
    same_text lost 'a runner that was killed outright is missed' '@@lf:lost@@' "$last"
    begin next 1 t2 1 5
    end_of next 30
    same_text lock-dead 'whoever comes next goes on' 7 $code
    left=
    for one in $below; do if process_facts "$one"; then left="$left $one"; fi; done
    if [ "$pid" = "$pgid" ]; then
        same_text orphans 'and ends what was left' '' "$left"
    else
        absent orphans 'not told from others without a group'
    fi
    if [ -n "$left" ]; then kill -9 $left 2>/dev/null; fi
    said=$(call "$kill" "$state" nobody 2>&1)
    answers kill-gone 'a run that never was' gone "$said"
}
