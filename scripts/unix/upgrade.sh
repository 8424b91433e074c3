# Upgrades the agent, and switches back to the release before: the new one comes beside the old, with the configuration
# files of the old; what starts the old one is kept in `previous` until the next upgrade.
# It never writes into the old release, and never touches data.
#
# A part of agent. Needs prelude.sh, process.sh, service.sh and the half of its system before it.
# shellcheck shell=sh disable=SC2154 # agent.sh reads the parameters and names the exit codes, the half sets pid and its places

upgrade() {
    require_installed
    check_env
    unpack_pkg
    if is_as_wanted; then
        say INFO setup_agent DONE "$release runs already and is left alone"
    else
        keep_previous
        each_config carry_over "$home/releases/$release"
        say INFO stop_agent START "$name"
        stop_agent stop_agent
        say INFO stop_agent DONE "nothing of $name runs"
        say INFO setup_agent START "$home"
        make_paths
        link_current
        prune_releases "$(cat "$kept/release")"
        install_services
        say INFO setup_agent DONE "current is $release"
        setup_startup_scripts
        start_agent
    fi
    check_deploy_result
}

# Also after an upgrade that was broken off anywhere, and after a way back that was.
switch_back() {
    require_installed
    current_release
    release=$current
    if is_kept; then
        release=$(cat "$kept/release") services=$kept
        [ -d "$home/releases/$release" ] || die "$EXIT_SETUP_FAILED" switch_back "the release $release is gone"
    fi
    say INFO switch_back START "to $release"
    if is_as_wanted; then
        say INFO switch_back DONE "$release runs, nothing was switched"
    elif ! is_kept; then
        say INFO switch_back DONE "$release was never left, and does not run"
        start_agent
    else
        stop_agent switch_back
        install_services
        link_current
        say INFO switch_back DONE "current is $release"
        setup_startup_scripts
        start_agent
    fi
    check_deploy_result
    # First the mark: half of the directory must not be gone back to.
    rm -f "$kept/task"
    remove_tree "$kept"
}

# Does this release run, started by these very files? Without any to compare with, does it run?
is_as_wanted() {
    current_release
    if [ "$current" != "$release" ] || ! running >/dev/null; then return 1; fi
    if [ "$action" = switch_back ] && ! is_kept; then return 0; fi
    for file in start stop reload landfall.toml; do
        same "$services/$file" "$home/$file" || return 1
    done
    same "$services/init" "$home/service" || return 1
    if [ -z "$system_file" ] || ! ours "$system_place"; then return 0; fi
    same "$services/$system_file" "$system_place"
}

same() { # FILE FILE: both missing are the same, too
    [ "$(cat "$1" 2>/dev/null)" = "$(cat "$2" 2>/dev/null)" ]
}

# Did this task keep what it found? Whatever else is in `previous` is of an earlier upgrade.
is_kept() {
    [ -n "$task" ] && [ "$(cat "$kept/task" 2>/dev/null)" = "$task" ]
}

# Once a task: a try that goes on where another broke off finds files of both releases, and must not keep those.
keep_previous() {
    if is_kept; then return; fi
    new=$home/.previous-new
    remove_tree "$new"
    if ! { mkdir "$new" && chmod 700 "$new" && current_release && printf '%s\n' "$current" >"$new/release" && copy_services "$new" &&
        printf '%s\n' "$task" >"$new/task" && remove_tree "$kept" && mv "$new" "$kept"; }; then
        no_room "$EXIT_SETUP_FAILED" setup_agent "$kept cannot be written"
    fi
}

copy_services() { # DIR
    for file in start stop reload landfall.toml; do
        if [ -f "$home/$file" ]; then cp -p "$home/$file" "$1/$file" || return 1; fi
    done
    if [ -f "$home/service" ]; then cp -p "$home/service" "$1/init" || return 1; fi
    if [ -n "$system_file" ] && ours "$system_place"; then cp -p "$system_place" "$1/$system_file" || return 1; fi
}

# Not every cp copies a link.
copy_as_it_is() { # FROM TO
    if [ ! -h "$1" ]; then
        cp -p "$1" "$2"
    elif ! cp -pP "$1" "$2" 2>/dev/null; then
        # shellcheck disable=SC2012 # readlink is not everywhere
        ln -s "$(ls -l "$1" | sed 's,.* -> ,,')" "$2"
    fi
}

# The file of the old release as it is now, with its mode and owner, also when it is a link; a rendered one only where
# there is none. Once the new release is current its files are its own.
carry_over() { # RELEASE_DIR
    current_release
    old=$home/releases/$current/$path
    if [ "$current" = "$release" ]; then
        [ -e "$1/$path" ] || put_rendered "$1"
    elif [ -f "$old" ] || [ -h "$old" ]; then
        to=$1/$path
        if ! { mkdir -p "${to%/*}" && rm -f "$to.landfall-new" && copy_as_it_is "$old" "$to.landfall-new" &&
            mv -f "$to.landfall-new" "$to"; }; then
            no_room "$EXIT_SETUP_FAILED" setup_agent "config $path"
        fi
        say INFO setup_agent - "$path is that of $current"
    else
        put_rendered "$1"
    fi
}
