# An agent from its install to its end, by what starts agents on this machine.
# It never touches an agent of another name.
#
# A part of selftest.sh.
# shellcheck shell=ksh disable=SC2154,SC2034,SC2016,SC2086,SC2317 # as in selftest.sh

# Without quotes in it: an entry of inittab cannot hold one.
odd="my agents 100% & (x) \$y é"

safe() { # VALUE: for the right side of sed's s###
    put_line "$1" | sed 's/[\\&#]/\\&/g'
}

xml() { # VALUE: in a method of a manifest
    put_line "$1" | sed -e 's/%/%%/g' -e 's/&/\&amp;/g' -e "s/'/\\&apos;/g" | sed 's/[\\&#]/\\&/g'
}

# The values of src/plan/render/unix.rs, without user and env.
rendered() { # TEMPLATE VERSION START
    {
        put_line '/^{%- for /,/^{%- endfor %}$/d'
        put_line '/^{%- if user %}$/,/^{%- endif %}$/d'
        put_line '/^{%- if user and /,/^{%- else %}$/d'
        case $shell in
            /usr/xpg4/bin/sh) put_line 's#{% if shell == "[^"]*" %}\([^{]*\){% endif %}#\1#g' ;;
            *)
                put_line '/^{%- if shell == /,/^{%- endif %}$/d'
                put_line 's#{% if shell == "[^"]*" %}\([^{]*\){% endif %}##g'
                ;;
        esac
        put_line 's#{% if shell != "[^"]*" %}\([^{]*\){% endif %}#\1#g'
        put_line '/^{%-.*%}$/d'
        put_line '/^{#/,/#}$/d'
        put_line "s#{{ shell }}#$shell#g"
        put_line "s#{{ name }}#$name#g"
        put_line "s#{{ name|sh }}#$name#g"
        put_line "s#{{ version }}#$2#g"
        put_line "s#{{ (setup_path ~ \"/\" ~ name)|sh }}#'$(safe "$home")'#g"
        put_line "s#{{ (setup_path ~ \"/\" ~ name ~ \"/current\")|sh }}#'$(safe "$home/current")'#g"
        for place in data run log temp; do put_line "s#{{ ${place}_path|sh }}#'$(safe "$setup/$place")'#g"; done
        put_line "s#{{ start|sh }}#$(safe "$3")#g"
        put_line "s#{{ (\"landfall-\" ~ name)|xml }}#landfall-$name#"
        put_line "s#{{ (\"site/landfall/\" ~ name)|xml }}#site/landfall/$name#"
        put_line "s#{{ (name ~ \" \" ~ version)|xml }}#$name $2#"
        put_line "s#{{ (run ~ \"\([a-z_ ]*\)\")|xml }}#$shell $(xml "'$home/'")\\1#"
        put_line '/^{{ lives }}$/{'
        put_line "r $root/lives"
        put_line 'd'
        put_line '}'
    } >"$root/rules"
    sed -f "$root/rules" "$templates/$1"
}

# A release: a program that says its version and its pid, again and again.
make_release() { # VERSION
    rm -rf "$root/release"
    mkdir "$root/release" "$root/release/bin" "$root/release/etc"
    put_line "#!$shell
trap 'echo told >>\"\$1.told\"' HUP
trap 'exit 0' TERM
while :; do
    echo \"$1 \$\$\" >\"\$1.new\" && mv -f \"\$1.new\" \"\$1\"
    sleep 1
done" >"$root/release/bin/agent"
    cp /usr/bin/sleep "$root/release/bin/stray"
    chmod 755 "$root/release/bin/agent" "$root/release/bin/stray"
    (cd "$root/release" && tar -cf "$root/$1.tar" .)
    form=tar
    if command -v gzip >/dev/null 2>&1; then gzip -c "$root/$1.tar" >"$root/$1.gzip" && form=gzip; fi
}

# What a job brings for one task. The variables stop and reload are commands of the package, or empty.
stage_files() { # TASK VERSION START
    mkdir -p "$state/stage/$1/config/etc"
    rendered unix/start.sh.j2 "$2" "$3" >"$state/stage/$1/start"
    rendered unix/init.sh.j2 "$2" "$3" >"$state/stage/$1/init"
    if [ "$way" = smf ]; then rendered solaris/manifest.xml.j2 "$2" "$3" >"$state/stage/$1/manifest"; fi
    put_line "name = \"$name\"" >"$state/stage/$1/landfall.toml"
    put_line "greeting of $2" >"$state/stage/$1/config/etc/agent.conf"
    for command in stop reload; do
        eval "line=\$$command"
        if [ -n "$line" ]; then put_line "#!$shell$nl$line" >"$state/stage/$1/$command"; fi
    done
    grep -l -e '{{' -e '{%' "$state/stage/$1"/* >"$root/raw" 2>/dev/null
}

step() { # ACTION TASK VERSION: sets code
    steps=$((steps + 1))
    run=$kind-$steps-$1
    {
        printf '%s=%s\n' task "$2" name $name release "$3-test" digest "$kind $3" blob "$root/$3.$form" form $form \
            stage "$2" state "$state" process own setup_path "$setup" data_path "$setup/data" run_path "$setup/run" \
            log_path "$setup/log" temp_path "$setup/temp"
        put_line 'config=644 etc/agent.conf'
    } >"$root/params"
    rm -f "$root/answer"
    begin "$run" "$1" "$2" 1 60 "$root/agent.sh"
    end_of "$run" 150
}

went() { # NAME EXIT DETAIL
    if [ "$code" = "$2" ]; then
        ok "$1" "$3, exit $code"
        return 0
    fi
    fails "$1" "$3: exit $code, not $2"
    sed 's/^/       | /' "$state/runs/$run/log"
    return 1
}

# Waits for the agent's next sign, and sets its pid.
answer() { # VERSION SECONDS
    waited=0 version=nothing agent_pid=0
    rm -f "$root/answer"
    while [ $waited -lt "$2" ]; do
        if [ -s "$root/answer" ] && read -r version agent_pid <"$root/answer" && [ "$version" = "$1" ]; then return 0; fi
        sleep 1
        waited=$((waited + 1))
    done
    return 1
}

answers_as() { # NAME VERSION DETAIL
    answer "$2" 10
    holds $? "$1" "$3: $version, pid $agent_pid" "$3: it says $version"
}

agent_checks() {
    if [ ! -f "$templates/unix/start.sh.j2" ]; then
        fails templates "the directory templates must lie beside scripts: $templates"
        return
    fi
    text_of clock process family >"$root/lives"
    for version in 1.0 2.0 3.0; do make_release $version; done
    run_agent='exec bin/agent '"$root/answer"
    steps=0
    kind=plain setup=$root/setup home=$root/setup/$name
    whole_life
    kind=odd setup=$root/$odd home=$root/$odd/$name
    short_life
    kind=script setup=$root/script home=$root/script/$name
    by_script
    kind=foreign setup=$root/foreign home=$root/foreign/$name
    foreign
}

quoted_start() {
    put_line "'$run_agent'"
}

whole_life() {
    stop='' reload='kill -HUP $MAINPID'
    stage_files i1 1.0 "$(quoted_start)"
    same_text templates 'nothing of them is left unfilled' '' "$(cat "$root/raw")"
    step install i1 1.0
    went install 0 "by $way" || return
    answers_as install-answers 1.0 'the agent'
    step status i1 1.0
    went status 0 "$(sed -n 's/^process=//p' "$state/runs/$run/log")"
    case $(sed -n 's/^process=//p' "$state/runs/$run/log") in
        *" $agent_pid" | *" $agent_pid "*) ok status-pid "is the agent's" ;;
        *) fails status-pid "is not $agent_pid, which the agent says" ;;
    esac
    before=$agent_pid
    step restart i1 1.0
    went restart 0 'restart'
    answer 1.0 10 && [ "$agent_pid" != "$before" ]
    holds $? restart-answers "pid $before became $agent_pid"
    before=$agent_pid
    stage_files r1 1.0 "$(quoted_start)"
    step reload r1 1.0
    went reload 0 'by the command of the package'
    sleep 2
    [ -s "$root/answer.told" ] && answer 1.0 10 && [ "$agent_pid" = "$before" ]
    holds $? reload-told "pid $agent_pid was told" "pid $before became $agent_pid, told: $(cat "$root/answer.told" 2>&1)"
    case $way in
        src | smf)
            kill -9 "$agent_pid"
            answer 1.0 30 && [ "$agent_pid" != "$before" ]
            holds $? again "killed, it is started again as $agent_pid"
            ;;
        *) absent again 'nothing starts a killed agent before the next boot' ;;
    esac
    put_line mine >"$home/current/etc/agent.conf"
    stop="echo asked >$root/asked"
    stage_files u2 2.0 "$(quoted_start)"
    step upgrade u2 2.0
    went upgrade 0 'to 2.0'
    answers_as upgrade-answers 2.0 'the agent'
    same_text upgrade-files 'configuration files are carried over' mine "$(cat "$home/current/etc/agent.conf")"
    rm -f "$root/asked"
    step restart u2 2.0
    went stop 0 'a restart with a stop command'
    same_text stop-asked 'the command was run' asked "$(cat "$root/asked" 2>&1)"
    step switch_back u2 2.0
    went switch_back 0 'to 1.0'
    answers_as switch_back-answers 1.0 'the agent'
    stop=''
    stage_files u3 3.0 "'echo lf-broken; exit 3'"
    step upgrade u3 3.0
    went broken 32 'a release that does not start'
    step switch_back u3 3.0
    went broken-back 0 'switched back'
    answers_as broken-answers 1.0 'the agent'
    boots
    LANDFALL_AGENT=$home "$home/current/bin/stray" 95 &
    stray=$!
    sleep 1
    if ! process_facts "$stray"; then
        absent stray 'a copied program does not run'
        stray=0
    fi
    step uninstall d1 1.0
    went uninstall 0 'uninstall'
    if [ "$stray" -ne 0 ]; then
        if ! process_facts "$stray"; then ok stray "what runs from the agent's directory is ended"; else
            kill -9 "$stray"
            strays_told
        fi
    fi
    gone
}

gone() {
    left=$(known_to_system)
    if [ -e "$setup" ]; then left="$left $setup"; fi
    if answer 1.0 3; then left="$left pid $agent_pid"; fi
    same_text "$kind-gone" 'no file, registration or process of it is left' '' "$left"
}

short_life() {
    stop='' reload=''
    stage_files i2 1.0 "$(quoted_start)"
    step install i2 1.0
    went odd-install 0 "in $setup" && answers_as odd-answers 1.0 'the agent'
    step restart i2 1.0
    went odd-restart 0 'restart'
    step uninstall i2 1.0
    went odd-uninstall 0 'uninstall'
    gone
}

# The script that an install leaves, as it starts agents where nothing of the system does.
by_script() {
    stop='' reload=''
    stage_files s1 1.0 "$(quoted_start)"
    mkdir -p "$home/releases/1.0-test"
    (cd "$home/releases/1.0-test" && tar -xof "$root/1.0.tar")
    ln -s releases/1.0-test "$home/current"
    cp "$state/stage/s1/start" "$home/start" && cp "$state/stage/s1/init" "$home/service"
    sh "$home/service" start >"$root/said" 2>&1
    holds $? script-start 'starts it' "$(cat "$root/said")"
    answers_as script-answers 1.0 'the agent'
    sh "$home/service" status >"$root/said" 2>&1
    holds $? script-status "$(cat "$root/said")"
    if process_facts "$agent_pid" && [ "$group" = "$agent_pid" ]; then ok script-group 'its own'; else 
        absent script-group 'none of its own: descendants are looked for'
    fi
    sh "$home/service" stop >"$root/said" 2>&1
    holds $? script-stop 'stops it' "$(cat "$root/said")"
    ! process_facts "$agent_pid" && ! answer 1.0 3
    holds $? script-gone 'it runs no more'
    rm -rf "$setup"
}
