# Installs, upgrades, removes, restarts and reloads one agent (with proxy.sh: one proxy) on this machine. Called by the runner as `agent.sh ACTION RUNDIR`;
# everything else is in RUNDIR/params. One log line per fact, the exit code says the rest.
# It never fetches anything, never knows which agent it installs, never touches a service or a file it did not make, and
# never unpacks over a running program.
#
# Needs prelude.sh, clock.sh, process.sh, family.sh, service.sh, the half of its system and upgrade.sh before it, for a proxy
# proxy.sh, too.
# shellcheck shell=sh disable=SC2154,SC2034 # the half sets pid; it and upgrade.sh use what this part does not
# scripts/exit_codes.toml is the table.
EXIT_BAD_PARAMS=20
EXIT_DISK_FULL=21
EXIT_NOT_ROOT=22
EXIT_UNSAFE_PATH=23
EXIT_TOOL_MISSING=24
EXIT_SETUP_UNWRITABLE=25
EXIT_SETUP_NOEXEC=26
EXIT_BLOB_MISSING=27
EXIT_UNPACK_FAILED=28
EXIT_FOREIGN_SERVICE=29
EXIT_SETUP_FAILED=30
EXIT_STARTUP_FAILED=31
EXIT_START_FAILED=32
EXIT_STOP_FAILED=33
EXIT_NOT_INSTALLED=34
EXIT_NOT_RUNNING=35
EXIT_RELOAD_FAILED=36
EXIT_REMOVE_FAILED=37
EXIT_UNSUPPORTED_ACTION=38

die() { # EXIT STEP MESSAGE
    say ERROR "$2" FAILED "$3"
    exit "$1"
}

# --- parameters and guards ---

read_params() { # FILE
    task='' name='' release='' digest='' blob='' form='' stage='' state='' need_kb=0 user='' process=own
    setup_path='' data_path='' run_path='' log_path='' temp_path=''
    [ -f "$1" ] || die $EXIT_BAD_PARAMS check_env "$1 is missing"
    while IFS= read -r line || [ -n "$line" ]; do
        value=${line#*=}
        case $line in
            task=*) task=$value ;;
            name=*) name=$value ;;
            release=*) release=$value ;;
            digest=*) digest=$value ;;
            blob=*) blob=$value ;;
            form=*) form=$value ;;
            stage=*) stage=$value ;;
            state=*) state=$value ;;
            need_kb=*) need_kb=$value ;;
            user=*) user=$value ;;
            process=*) process=$value ;;
            setup_path=*) trim "$value" && setup_path=$trimmed ;;
            data_path=*) trim "$value" && data_path=$trimmed ;;
            run_path=*) trim "$value" && run_path=$trimmed ;;
            log_path=*) trim "$value" && log_path=$trimmed ;;
            temp_path=*) trim "$value" && temp_path=$trimmed ;;
        esac
    done <"$1"
    case $name in '' | [!a-z0-9]* | *[!a-z0-9._-]*) die $EXIT_BAD_PARAMS check_env "name '$name'" ;; esac
    case $need_kb in '' | *[!0-9]*) die $EXIT_BAD_PARAMS check_env "need_kb '$need_kb'" ;; esac
    case $process in own | none) ;; *) die $EXIT_BAD_PARAMS check_env "process '$process'" ;; esac
    state=${state:-${rundir%/runs/*}}
    case $blob in '' | /*) ;; *) blob=$state/blobs/$blob ;; esac
    case $stage in '' | /*) ;; *) stage=$state/stage/$stage ;; esac
    guard "$setup_path" || die $EXIT_UNSAFE_PATH check_env "setup path '$setup_path' is refused"
    for dir in "$data_path" "$run_path" "$log_path" "$temp_path"; do
        [ -z "$dir" ] || plain "$dir" || die $EXIT_UNSAFE_PATH check_env "path '$dir' is refused"
    done
    if [ -z "$run_path" ] || [ -z "$log_path" ]; then die $EXIT_BAD_PARAMS check_env "run_path or log_path is missing"; fi
    home=$setup_path/$name
    [ ! -h "$home" ] || die $EXIT_UNSAFE_PATH check_env "$home is a symbolic link"
    pid_file=$run_path/$name.pid
    log=$log_path/$name.log
    set_places
    made=$state/made
    uses=$state/packages/$name
    kept=$home/previous
    services=$stage
}

trim() { # PATH: sets trimmed, without the slashes at its end
    trimmed=$1
    while :; do
        case $trimmed in ?*/) trimmed=${trimmed%/} ;; *) return 0 ;; esac
    done
}

plain() { # PATH: absolute, and the name says where it is
    case $1 in /*) ;; *) return 1 ;; esac
    case $1/ in *//* | */./* | */../*) return 1 ;; esac
}

# What may be filled and deleted: at least two parts, and no directory that the system or its packages own.
guard() { # PATH
    plain "$1" || return 1
    if owned_by_system "$1"; then return 1; fi
    case $1 in /*/*) return 0 ;; esac
    return 1
}

# The one place that deletes trees: only below our own directory, or a directory that we made ourselves.
remove_tree() { # PATH
    case $1 in
        "$home" | "$home"/*) ;;
        *) remembered "$1" || return 1 ;;
    esac
    guard "$1" || return 1
    if [ -e "$1" ] || [ -h "$1" ]; then rm -rf "$1"; fi
}

remembered() { # DIR
    [ -f "$made" ] && grep -Fqx -e "$1" "$made"
}

# Writes down every missing part of PATH before it makes it: uninstall takes away what was made, nothing else. By printf, here and
# wherever it matters: the print of an old ksh says nothing of a full disk.
make_dir() { # PATH
    part=$1
    while [ -n "$part" ] && [ ! -d "$part" ]; do
        remembered "$part" || printf '%s\n' "$part" >>"$made" || return 1
        part=${part%/*}
    done
    mkdir -p "$1"
}

# Again and again, because a parent is empty only after its child went. rmdir spares whatever holds anything.
unmake_dirs() {
    [ -f "$made" ] || return 0
    again=yes
    while [ -n "$again" ]; do
        again=
        while IFS= read -r dir; do
            if [ -d "$dir" ] && [ ! -h "$dir" ] && rmdir "$dir" 2>/dev/null; then again=yes; fi
        done <"$made"
    done
    while IFS= read -r dir; do
        if [ -d "$dir" ]; then put_line "$dir"; fi
    done <"$made" >"$made.new"
    if [ -s "$made.new" ]; then mv -f "$made.new" "$made"; else rm -f "$made.new" "$made"; fi
}

# Another package of ours lives in that directory, below it or above it.
shared() { # DIR
    for other in "$state"/packages/*; do
        if [ "$other" = "$uses" ] || [ ! -f "$other" ]; then continue; fi
        while IFS= read -r theirs; do
            case $theirs/ in "$1"/*) return 0 ;; esac
            case $1/ in "$theirs"/*) return 0 ;; esac
        done <"$other"
    done
    return 1
}

take_away() { # FILE: where it is there
    if [ -e "$1" ] || [ -h "$1" ]; then rm -f "$1"; fi
}

put_file() { # FROM TO MODE: readers see the old file or the new one. cp, not mv: the label of SELinux is the target's.
    if [ ! -d "${2%/*}" ]; then mkdir -p "${2%/*}" || return 1; fi
    take_away "$2.landfall-new" && cp "$1" "$2.landfall-new" && chmod "$3" "$2.landfall-new" && mv -f "$2.landfall-new" "$2"
}

# --- check_env ---

check_env() {
    say INFO check_env START "$name $release in $setup_path"
    case $release in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+~-]*) die $EXIT_BAD_PARAMS check_env "release '$release'" ;; esac
    case $form in
        gzip | zstd) tools="tar $form" ;;
        tar) tools=tar ;;
        *) die $EXIT_BAD_PARAMS check_env "form '$form'" ;;
    esac
    for tool in $tools; do
        command -v "$tool" >/dev/null 2>&1 || die $EXIT_TOOL_MISSING check_env "$tool is not on the machine"
    done
    [ -f "$blob" ] || is_unpacked || die $EXIT_BLOB_MISSING check_env "$blob is missing"
    [ -d "$stage" ] || die $EXIT_BAD_PARAMS check_env "stage directory '$stage' is missing"
    check_foreign
    if [ "${node-agent}" = proxy ]; then check_role; fi
    free_kb "$setup_path"
    [ "$free" -ge "$need_kb" ] || is_unpacked || die $EXIT_DISK_FULL check_env "$setup_path has $free kB free, $need_kb kB are needed"
    probe=$home/.landfall-probe
    if ! { make_dir "$home" && printf '#!/bin/sh\n' >"$probe" && chmod 700 "$probe"; }; then
        no_room $EXIT_SETUP_UNWRITABLE check_env "$home cannot be written"
    fi
    "$probe" || die $EXIT_SETUP_NOEXEC check_env "nothing can be run from $setup_path"
    rm -f "$probe"
    say INFO check_env DONE "$free kB free"
}

# A write failed: below one block for each of a few files it was the room.
no_room() { # EXIT STEP MESSAGE
    free_kb "$setup_path"
    [ "$free" -ge 64 ] || die $EXIT_DISK_FULL "$2" "$3: $free kB free"
    die "$1" "$2" "$3"
}

# --- unpack_pkg ---

expand() {
    case $form in
        gzip) gzip -dc <"$blob" ;;
        zstd) zstd -dcq <"$blob" ;;
        tar) cat "$blob" ;;
    esac
}

# Is this very release there already, and whole?
is_unpacked() {
    target=$home/releases/$release
    digest_file=$home/releases/.$release.digest
    [ -d "$target" ] && [ -n "$digest" ] && [ "$(cat "$digest_file" 2>/dev/null)" = "$digest" ]
}

unpack_pkg() {
    say INFO unpack_pkg START "$blob"
    remove_leftovers
    if is_unpacked; then
        say INFO unpack_pkg DONE "$target is there already"
        return
    fi
    new=$home/releases/.new-$release
    broken=$rundir/broken
    take_away "$broken"
    mkdir -p "$new" || no_room $EXIT_SETUP_FAILED unpack_pkg "$new cannot be made"
    # -o: nobody but root owns the files. tar may stop at the end mark, before the padding; cat drains it, else the
    # decompressor would be ended by SIGPIPE and look broken.
    if ! (cd "$new" && { expand || : >"$broken"; } | { tar -xof - && cat >/dev/null; }) || [ -e "$broken" ]; then
        # The room is looked at before the half of a tree goes away.
        free_kb "$setup_path"
        remove_tree "$new"
        [ "$free" -ge 64 ] || die $EXIT_DISK_FULL unpack_pkg "$setup_path had $free kB left"
        die $EXIT_UNPACK_FAILED unpack_pkg "$blob cannot be unpacked as $form"
    fi
    [ -n "$(ls -A "$new")" ] || die $EXIT_UNPACK_FAILED unpack_pkg "$blob is empty"
    # An archive made of `.` carries the mode of the directory it was packed in, often 0700.
    chmod 755 "$new"
    take_away "$digest_file"
    # The running program keeps its files: they are moved aside, not overwritten.
    if [ -e "$target" ]; then mv "$target" "$home/releases/.old-$release" || die $EXIT_SETUP_FAILED unpack_pkg "$target"; fi
    if ! { mv "$new" "$target" && printf '%s\n' "$digest" >"$digest_file.new" && mv -f "$digest_file.new" "$digest_file"; }; then
        no_room $EXIT_SETUP_FAILED unpack_pkg "$target cannot be written"
    fi
    say INFO unpack_pkg DONE "$target"
}

remove_leftovers() {
    for dir in "$home"/releases/.new-* "$home"/releases/.old-*; do
        if [ -e "$dir" ]; then remove_tree "$dir"; fi
    done
}

# --- setup_agent ---

setup_agent() {
    say INFO setup_agent START "$home"
    make_paths
    # Before the switch: whoever goes on after a kill knows from `current` what to spare.
    current_release
    prune_releases "$current"
    link_current
    install_files "$home/releases/$release"
    remove_leftovers
    # Nothing of an earlier upgrade is gone back to from here.
    remove_tree "$kept"
    say INFO setup_agent DONE "current is $release"
}

make_paths() {
    for dir in "$data_path" "$run_path" "$log_path" "$temp_path"; do
        if [ -z "$dir" ] || [ -d "$dir" ]; then continue; fi
        make_dir "$dir" || no_room $EXIT_SETUP_FAILED setup_agent "$dir cannot be made"
        # Only what was just made: a directory that was there may belong to the system.
        if [ -n "$user" ]; then chown -h "$user" "$dir" || die $EXIT_SETUP_FAILED setup_agent "user '$user' is unknown"; fi
    done
    if ! { mkdir -p "${uses%/*}" && printf '%s\n' "$home" "$data_path" "$run_path" "$log_path" | grep . >"$uses"; }; then
        no_room $EXIT_SETUP_FAILED setup_agent "$uses cannot be written"
    fi
}

# A link to a directory swallows what is moved onto it. Moved into the parent under its own name it is replaced by one
# rename, also by busybox.
link_current() {
    if [ -d "$home/current" ] && [ ! -h "$home/current" ]; then die $EXIT_SETUP_FAILED setup_agent "$home/current is no link"; fi
    remove_tree "$home/.switch"
    if ! { mkdir "$home/.switch" && ln -s "releases/$release" "$home/.switch/current" && move_link; }; then
        no_room $EXIT_SETUP_FAILED setup_agent "$home/current cannot be switched"
    fi
    remove_tree "$home/.switch"
}

# An mv that takes the link for the directory it leads to refuses.
move_link() {
    mv -f "$home/.switch/current" "$home/" 2>/dev/null && current_release && [ "$current" = "$release" ] && return 0
    rm -f "$home/current"
    mv -f "$home/.switch/current" "$home/current" || ln -s "releases/$release" "$home/current"
}

prune_releases() { # OTHER: it stays beside this one, to go back to
    # Pruned already, and which one was spared is not known here.
    if [ "$1" = "$release" ]; then return; fi
    for dir in "$home"/releases/*; do
        case ${dir##*/} in
            "$release" | "$1" | '*') ;;
            *) remove_tree "$dir" && rm -f "$home/releases/.${dir##*/}.digest" ;;
        esac
    done
}

current_release() { # sets current
    current=
    [ -h "$home/current" ] || return 0
    # readlink is not everywhere, and the last word is a release name.
    current=$(ls -l "$home/current")
    current=${current##* -> releases/}
}

# The configurations go into the release, the scripts beside it. Without a stage directory everything stays as it is.
install_files() { # RELEASE_DIR
    if [ -z "$stage" ] || [ ! -d "$stage" ]; then
        grep -q '^config=' "$rundir/params" || return 0
        die $EXIT_BAD_PARAMS setup_agent "stage directory '$stage' is missing"
    fi
    each_config put_rendered "$1"
    install_services
}

# Calls FUNCTION RELEASE_DIR for every configuration file of the package, with path and mode set.
each_config() { # FUNCTION RELEASE_DIR
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in config=*) ;; *) continue ;; esac
        line=${line#config=}
        mode=${line%% *} path=${line#* }
        case $mode in '' | *[!0-7]*) die $EXIT_BAD_PARAMS setup_agent "mode of config '$line'" ;; esac
        case /$path/ in // | *//* | */./* | */../*) die $EXIT_UNSAFE_PATH setup_agent "config '$path' is refused" ;; esac
        "$1" "$2"
    done <"$rundir/params"
}

put_rendered() { # RELEASE_DIR
    put_file "$stage/config/$path" "$1/$path" "$mode" || no_room $EXIT_SETUP_FAILED setup_agent "config $path"
}

# What starts and stops the agent, and says what is installed.
install_services() {
    for file in start:755 stop:755 reload:755 landfall.toml:600 init:755; do
        mode=${file##*:} file=${file%:*}
        to=$home/$file
        if [ "$file" = init ]; then to=$home/service; fi
        if [ -f "$services/$file" ]; then
            put_file "$services/$file" "$to" "$mode" || no_room $EXIT_SETUP_FAILED setup_agent "$to cannot be written"
        elif [ "$file" = stop ] || [ "$file" = reload ]; then
            # The package no longer has one.
            take_away "$to"
        fi
    done
    if [ "$process" = own ] && { [ ! -f "$home/start" ] || [ ! -f "$home/service" ]; }; then
        die $EXIT_BAD_PARAMS setup_agent "start or init is missing in $services"
    fi
}

# --- the actions ---

install() {
    check_env
    unpack_pkg
    say INFO remove_agent START "$name"
    stop_agent remove_agent
    say INFO remove_agent DONE "nothing of $name runs"
    setup_agent
    setup_startup_scripts
    start_agent
    check_deploy_result
}

check_deploy_result() {
    if [ "$process" = none ]; then
        say INFO check_deploy_result DONE "$name has no process of its own"
        return
    fi
    # A program with a wrong option or a taken port is gone within this second, or started anew.
    first=
    if running >/dev/null; then first=$pid; fi
    sleep 1
    if ! running || [ "$pid" != "${first:-$pid}" ]; then
        warn_last_words check_deploy_result
        die $EXIT_START_FAILED check_deploy_result "$name did not stay alive"
    fi
    say INFO check_deploy_result DONE "$name runs (pid $pid)"
}

require_installed() {
    [ -h "$home/current" ] || die $EXIT_NOT_INSTALLED check_env "$home/current is missing"
}

restart() {
    require_installed
    if [ "$process" = own ]; then
        say INFO stop_agent START "$name"
        stop_agent stop_agent
        say INFO stop_agent DONE "nothing of $name runs"
        start_agent
    fi
    check_deploy_result
}

reload() {
    require_installed
    say INFO reload_agent START "$name"
    install_files "$home/current"
    if [ "$process" = none ]; then
        say INFO reload_agent DONE "$name has no process of its own"
    elif [ -f "$home/reload" ] && running >/dev/null; then
        (cd "$home/current" && MAINPID=$pid sh "$home/reload" </dev/null) ||
            die $EXIT_RELOAD_FAILED reload_agent "the reload command ended with $?"
        say INFO reload_agent DONE "told $pid"
    else
        say INFO reload_agent DONE "by a restart"
        restart
        drop_stage
        return
    fi
    check_deploy_result
    drop_stage
}

# No cleanup follows a reload. Only now: a run that is lost is started again and needs the files.
drop_stage() {
    case $stage in "$state"/stage/?*) rm -rf "$stage" ;; esac
}

status() {
    running && return
    if [ -e "$home/current" ]; then die $EXIT_NOT_RUNNING status "$name is not running"; fi
    die $EXIT_NOT_INSTALLED status "$home/current is missing"
}

uninstall() {
    say INFO remove_agent START "$name in $setup_path"
    if [ ! -e "$home" ] && ! registered && [ ! -e "$uses" ]; then
        say WARN remove_agent - "$name is not installed in $setup_path"
    fi
    stop_agent remove_agent
    unregister || die $EXIT_STARTUP_FAILED remove_agent "the registration of $name cannot be removed"
    rm -f "$log" "$pid_file" "$pid_file.new"
    if [ -e "$home" ]; then remove_tree "$home" || die $EXIT_REMOVE_FAILED remove_agent "$home cannot be removed"; fi
    for dir in "$data_path" "$log_path" "$run_path"; do
        # A directory that was there before us, or serves another package of ours, keeps what is in it.
        if [ -z "$dir" ] || [ ! -d "$dir" ] || [ -h "$dir" ] || ! remembered "$dir" || shared "$dir"; then continue; fi
        remove_tree "$dir" || say WARN remove_agent - "$dir stays"
    done
    rm -f "$uses"
    rmdir "${uses%/*}" 2>/dev/null
    unmake_dirs
    say INFO remove_agent DONE "$name is gone"
}

[ $# -eq 2 ] || die $EXIT_BAD_PARAMS check_env "ACTION and RUNDIR expected"
action=$1 rundir=$2
case $action in
    install | upgrade | switch_back | uninstall | restart | reload | status) ;;
    *) die $EXIT_UNSUPPORTED_ACTION check_env "action '$action' is unknown here" ;;
esac
[ "$(id -u)" = 0 ] || die $EXIT_NOT_ROOT check_env "only root can do this"
cd / || exit 1
read_params "$rundir/params"
"$action"
