# The books of the test world: which worlds exist, whose they are, and which addresses they hold.
# One directory per world, $STATE/worlds/K, made before anything else of the world and removed after everything
# else, so that whatever crashed can be found again. It never touches a namespace or a process itself.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the settings and K are read by `world` and the other files here

STATE=${LANDFALL_WORLD_STATE:-/run/landfall-world}
CACHE=${LANDFALL_WORLD_CACHE:-/var/cache/landfall-world}
# World K owns 10.77.(4K).0/22, so 64 worlds of up to 1000 hosts fit in 10.77.0.0/16.
WORLDS=64
MOST_HOSTS=1000
DEADLINE=${LANDFALL_WORLD_DEADLINE:-60}

fail() {
    printf 'world: %s\n' "$1" >&2
    exit 1
}

need_root() {
    [ "$EUID" = 0 ] || fail "root is needed: hosts are made of namespaces, mounts and network devices"
    local missing='' command
    for command in ip unshare nsenter setpriv flock ssh-keygen pivot_root; do
        command -v "$command" >/dev/null || missing+=" $command"
    done
    [ -z "$missing" ] || fail "not here:$missing; run: apt-get install --no-install-recommends iproute2 util-linux openssh-client"
}

# An address of world K: 1 the machine's own, 2 the closed one, 3 the black hole, from 11 on the hosts.
address() { # K NUMBER
    printf '10.77.%d.%d' $(($1 * 4 + $2 / 256)) $(($2 % 256))
}

address6() { # K NUMBER
    printf 'fd77:0:%x::%x' "$1" "$2"
}

mac() { # K NUMBER
    printf '02:4d:00:%02x:%02x:%02x' "$1" $(($2 / 256)) $(($2 % 256))
}

# Where the hosts' trees are: beside the base, so that both are on one file system.
trees() { # K
    printf '%s/worlds/%s-%d' "$CACHE" "$STATE_TAG" "$1"
}
STATE_TAG=${STATE//\//%}

boot_id() {
    local id
    read -r id </proc/sys/kernel/random/boot_id
    printf '%s' "$id"
}

# The start time of a process: with it a pid means one process, and not the next one of that number.
started() { # PID
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086  # the fields are to be split
    set -- ${stat##*) }
    printf '%s' "${20}"
}

# One field of a world's record.
field() { # K NAME
    local line
    [ -f "$STATE/worlds/$1/world" ] || return 1
    while IFS= read -r line; do
        [ "${line%%=*}" != "$2" ] || { printf '%s' "${line#*=}" && return; }
    done <"$STATE/worlds/$1/world"
    return 1
}

world_of() { # DIR: prints the number of the world whose directory that is
    local entry number
    for entry in "$STATE"/worlds/*; do
        number=${entry##*/}
        [ "$(field "$number" dir)" != "$1" ] || { printf '%s' "$number" && return; }
    done
    return 1
}

# Runs a command while no other `world` looks at the books.
with_books() { # COMMAND...
    mkdir -p "$STATE"
    local status=0
    exec 8>"$STATE/lock"
    flock 8
    # Under the lock: the last world that goes takes it along.
    mkdir -p "$STATE/worlds"
    "$@" || status=$?
    exec 8>&-
    return "$status"
}

# A world is locked for as long as it is being brought up or taken down (descriptor 7; hosts must not inherit it).
lock_world() { # K [flock options]
    exec 7>"$STATE/$1.lock"
    flock "${@:2}" 7
}

unlock_world() {
    exec 7>&-
}

# Takes the first free number, writes the world's record and locks it. Sets K.
enter_world() { # DIR OWNER
    local number owner=$2
    ! number=$(world_of "$1") || fail "there is a world in $1 already (number $number); take it down first: world down --dir $1"
    for ((number = 0; number < WORLDS; number++)); do
        if [ ! -e "$STATE/worlds/$number" ] && [ ! -e "/sys/class/net/lfw$number" ] && [ ! -e "/run/netns/lfw-$number" ]; then
            break
        fi
    done
    [ "$number" -lt "$WORLDS" ] || fail "all $WORLDS worlds are taken; \`world list --all\` tells by whom"
    [ -z "$owner" ] || owner="$owner $(started "$owner")" || fail "no process $2 to own the world"
    lock_world "$number"
    mkdir "$STATE/worlds/$number" || fail "cannot write to $STATE"
    printf 'dir=%s\nowner=%s\nboot=%s\n' "$1" "$owner" "$(boot_id)" >"$STATE/worlds/$number/world.new"
    mv "$STATE/worlds/$number/world.new" "$STATE/worlds/$number/world"
    K=$number
}

# Whether nobody can want world K any more: its owner is dead, or the machine has been started anew since.
is_abandoned() { # K
    local owner
    [ "$(field "$1" boot)" = "$(boot_id)" ] || return 0
    owner=$(field "$1" owner) && [ -n "$owner" ] || return 1
    [ "$(started "${owner% *}")" != "${owner#* }" ]
}
