# Hosts: their layers, their trees, their processes. A host is found again by its network namespace, so nothing
# here relies on a pid that was written down. It only ever ends processes that live in a host's namespaces.
# shellcheck shell=bash
# shellcheck disable=SC2034  # LAYER, KEY and PID are what a function sets for its caller

HERE=${HERE:?set by world}
# What a host's root user may not do to the machine, whatever its namespaces would let through.
NO_CAPABILITY=-sys_module,-sys_rawio,-sys_time,-syslog,-mac_admin,-mac_override,-wake_alarm,-block_suspend

# The layer that a kind's provisioning left on top of its base, made at its first use. Sets LAYER.
kind_layer() { # KIND
    local script=$HERE/provision/$1.sh hash base root more=()
    { is_kind "$1" && [ -f "$script" ]; } || fail "no kind \`$1\`; there are: $(kind_names | paste -sd' ')"
    base=$(sed -n 's/^# base: //p' "$script")
    [ "$base" != wine ] || more=("$HERE"/windows/*)
    ! grep -q unix/host.sh "$script" || more=("$HERE"/unix/*)
    root=$("$HERE/base.sh" ${base:+"$base"}) || exit 1
    hash=$({ cat "$HERE/provision/common.sh" "$HERE/provision/pid1.sh" "$script" "${more[@]}" && printf '%s' "${WORLD_PASSWORD:-}"; } | sha256sum)
    LAYER=$root/kinds/$1-${hash:0:12}
    [ ! -d "$LAYER" ] || return 0
    exec 6>"$CACHE/kinds.lock"
    flock 6
    if [ ! -d "$LAYER" ]; then
        rm -rf "$LAYER".new*
        mkdir "$LAYER.new"
        unshare --mount --propagation private "$HERE/lib/layer.sh" "$root/root" "$LAYER.new" "$HERE" "$1" >"$LAYER.log" 2>&1 || {
            cat "$LAYER.log" >&2
            rm -rf "$LAYER".new*
            fail "provisioning kind $1 failed"
        }
        mv -T "$LAYER.new" "$LAYER"
    fi
    exec 6>&-
}

is_kind() { # NAME
    case $1 in
    common | pid1 | *[!a-z0-9-]*) return 1 ;;
    esac
}

kind_names() {
    local script name
    for script in "$HERE"/provision/*.sh; do
        name=${script##*/}
        ! is_kind "${name%.sh}" || printf '%s\n' "${name%.sh}"
    done
}

# A value that the kind's provisioning wrote down for clients (user, password, sudo_password, key).
login_value() { # LAYER KEY
    local line
    while IFS= read -r line; do
        [ "${line%%=*}" != "$2" ] || { printf '%s' "${line#*=}" && return; }
    done <"$1/etc/landfall-world/login"
}

# A host's own key outlives the world: it is made once per address, so whoever pinned the key of an address in one world
# meets the same key in the next.
host_key() { # K NUMBER: sets KEY to its path
    local own
    own=$(address "$1" "$2")
    KEY=$CACHE/hostkeys/$own/ssh_host_ed25519_key
    [ ! -f "$KEY.pub" ] || return 0
    mkdir -p "${KEY%/*}.$$"
    ssh-keygen -q -t ed25519 -N '' -C "root@$own" -f "${KEY%/*}.$$/ssh_host_ed25519_key"
    mv -T "${KEY%/*}.$$" "${KEY%/*}" 2>/dev/null || rm -rf "${KEY%/*}.$$"
}

# Trees are plain directories, unless the cache itself lies on an overlay, which cannot carry another's upper layer.
trees_up() { # K
    local trees
    trees=$(trees "$1")
    mkdir -p "$trees"
    [ "$(stat -f -c %T "$trees")" != overlayfs ] || mount -t tmpfs -o mode=755 "lfw-$1" "$trees"
}

trees_down() { # K
    local trees
    trees=$(trees "$1")
    ! mountpoint -q "$trees" || umount "$trees"
    rm -rf --one-file-system "$trees"
}

cgroup_root() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then printf /sys/fs/cgroup; else printf /sys/fs/cgroup/unified; fi
}

cgroups_remove() { # K [NAME]
    local groups own
    groups=$(cgroup_root)/landfall-world
    for own in "$groups/$1-"*; do
        if [ -d "$own" ] && [ "$own" = "$groups/$1-${2:-${own#"$groups/$1-"}}" ]; then
            find "$own" -depth -type d -exec rmdir {} + || true
        fi
    done
    rmdir "$groups" 2>/dev/null || true
}

# Starts a host whose namespace, wire and tree are there. Sets PID to its first process as the machine sees it.
host_boot() { # K CLIENT_KEY NAME KIND NUMBER LAYER
    local tree id cgroup='' enter authorized=''
    tree=$(trees "$1")/$3
    read -r id </proc/sys/kernel/random/uuid
    printf '%s\n' "$id" >"$tree/boot_id"
    host_key "$1" "$5"
    [ -z "$(login_value "$6" key)" ] || authorized=$2.pub
    enter=(nsenter "--net=/run/netns/lfw-$1-$3" unshare --mount --pid --uts --ipc --fork --kill-child)
    if [ -e "$6/etc/landfall-world/init" ]; then
        cgroup=$(cgroup_root)/landfall-world/$1-$3
        mkdir -p "$cgroup"
        enter+=(--cgroup)
    fi
    (
        exec </dev/null >>"$tree/log" 2>&1 6>&- 7>&- 8>&-
        [ -z "$cgroup" ] || printf '%s\n' "$BASHPID" >"$cgroup/cgroup.procs"
        LANDFALL_WORLD_CGROUP=$cgroup exec setsid "${enter[@]}" setpriv --bounding-set "$NO_CAPABILITY" \
            "$HERE/lib/host-init.sh" "$tree" "$6:${6%/kinds/*}/root" "$3" "$(address "$1" "$5")/22" "$(address6 "$1" "$5")/64" \
            "${KEY%/*}" "$authorized"
    ) &
    PID=$!
    # The shell is not to report its end; the books know of it.
    disown "$PID"
}

# Waits until every host answers with an SSH banner. Standard input: NAME ADDRESS PID TREE, one host a line.
await_banners() {
    local name address pid tree banner fd end=$((SECONDS + DEADLINE)) waiting
    mapfile -t waiting
    while [ ${#waiting[@]} -gt 0 ]; do
        local still=()
        for line in "${waiting[@]}"; do
            read -r name address pid tree <<<"$line"
            # Asking sshd before it listens would cost a second's retransmission, so its pid file is looked for first.
            if [ -e "/proc/$pid/root/etc/landfall-world" ] &&
                { [ -e "/proc/$pid/root/run/sshd.pid" ] || [ -e "/proc/$pid/root/run/dropbear.pid" ]; } &&
                { exec {fd}<>"/dev/tcp/$address/22"; } 2>/dev/null; then
                banner=''
                # A server may say something else first.
                while IFS= read -r -t 5 banner <&"$fd" && [[ $banner != SSH-* ]]; do :; done
                exec {fd}>&-
                [[ $banner != SSH-* ]] || continue
            fi
            [ -d "/proc/$pid" ] || host_failed "$name" "$tree" "ended before its SSH server answered"
            [ "$SECONDS" -lt "$end" ] || host_failed "$name" "$tree" "did not answer on port 22 within $DEADLINE s"
            still+=("$line")
        done
        waiting=("${still[@]}")
        [ ${#waiting[@]} -eq 0 ] || sleep 0.05
    done
}

host_failed() { # NAME TREE WHAT
    printf 'world: host %s %s; its log:\n' "$1" "$3" >&2
    tail -n 20 "$2/log" "$2/upper/var/log/sshd.log" >&2 2>/dev/null || true
    exit 1
}

namespaces() { # K [NAME]: the files that hold them open
    local file
    for file in /run/netns/lfw-"$1"-*; do
        if [ -e "$file" ] && [ "$file" = "/run/netns/lfw-$1-${2:-${file#"/run/netns/lfw-$1-"}}" ]; then
            printf '%s\n' "$file"
        fi
    done
}

# Every process in the namespaces of a world's hosts, or of one host.
host_pids() { # K [NAME]
    local inode path wanted
    if [ $# = 2 ]; then
        [ ! -e "/run/netns/lfw-$1-$2" ] || ip netns pids "lfw-$1-$2"
        return
    fi
    wanted=" $(namespaces "$@" | xargs -r stat -c %i 2>/dev/null | paste -sd' ') "
    # shellcheck disable=SC2016
    stat -L -c '%i %n' /proc/[0-9]*/ns/net 2>/dev/null | while read -r inode path; do
        case $wanted in
        *" $inode "*) path=${path#/proc/} && printf '%s\n' "${path%%/*}" ;;
        esac
    done
}

# The host's own pid 1, as the machine numbers it.
host_init_pid() { # K NAME
    local pid key rest
    for pid in $(host_pids "$1" "$2"); do
        while read -r key rest; do
            [[ $key != NSpid: || $rest != *[[:blank:]]1 ]] || { printf '%s' "$pid" && return; }
        done <"/proc/$pid/status" 2>/dev/null
    done
    return 1
}

# Power off: everything in the hosts' namespaces at once, without a word to anybody.
hosts_kill() { # K [NAME]
    local pid pids killed=() stat end=$((SECONDS + 15))
    while mapfile -t pids < <(host_pids "$@") && [ ${#pids[@]} -gt 0 ]; do
        [ "$SECONDS" -lt "$end" ] || fail "processes of world $1 do not end: ${pids[*]}"
        kill -KILL "${pids[@]}" 2>/dev/null || true
        killed+=("${pids[@]}")
        sleep 0.02
    done
    # A dying process is out of its network namespace a moment before it lets go of its mounts and its cgroup.
    for pid in "${killed[@]}"; do
        while { read -r stat <"/proc/$pid/stat"; } 2>/dev/null && [[ ${stat##*) } != [ZX]* ]] && [ "$SECONDS" -lt "$end" ]; do
            sleep 0.01
        done
    done
    cgroups_remove "$@"
}
