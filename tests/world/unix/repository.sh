# The repository of the Service Management Facility and what runs of it. Read by its commands and its restarter.
# shellcheck shell=dash
# shellcheck disable=SC2034 # who reads it uses them
# REPOSITORY/INSTANCE is what `svccfg import` left (manifest.awk), `enabled` beside it; RUN/INSTANCE.* is of this boot. INSTANCE is
# the FMRI without `svc:/`, with `%` for `/`.
REPOSITORY=/etc/svc/repository
RUN=/.real/run/smf
TAB='	'
# What a host has from the start, and every dependency on it is met.
SYSTEM='network/loopback:default network/physical:default network/initial:default network/service:default network/ssh:default
    milestone/network:default milestone/name-services:default milestone/single-user:default milestone/multi-user:default
    milestone/multi-user-server:default milestone/devices:default milestone/sysconfig:default
    system/filesystem/root:default system/filesystem/usr:default system/filesystem/minimal:default
    system/filesystem/local:default system/filesystem/autofs:default system/svc/restarter:default system/boot-
    archive:default system/system-log:default system/utmp:default system/cron:default system/identity:node
    system/rmtmpfiles:default'

fmri() { # INSTANCE
    printf 'svc:/%s\n' "$1" | tr % /
}

value() { # INSTANCE KEY
    sed -n "s/^$2 //p" "$REPOSITORY/$1/definition"
}

run_value() { # INSTANCE KEY
    [ ! -f "$RUN/$1.$2" ] || cat "$RUN/$1.$2"
}

set_run() { # INSTANCE KEY VALUE
    printf '%s\n' "$3" >"$RUN/$1.$2.new" && mv "$RUN/$1.$2.new" "$RUN/$1.$2"
}

enabled() { # INSTANCE: for now, or for good
    if [ -f "$RUN/$1.temporary" ]; then cat "$RUN/$1.temporary"; else cat "$REPOSITORY/$1/enabled"; fi
}

# The instances that a pattern means, one a line: an FMRI, the end of one, with or without the instance, or a glob.
instances() { # PATTERN
    wanted=${1#svc:/}
    case $1 in svc:/*) whole=yes ;; *) whole= ;; esac
    { cd "$REPOSITORY" && ls; } | while read -r one; do
        path=$(printf '%s' "$one" | tr % /)
        # shellcheck disable=SC2254 # it may be a glob
        case $path in
        $wanted | $wanted:*) echo "$one" && continue ;;
        esac
        # shellcheck disable=SC2254
        [ -n "$whole" ] || case $path in */$wanted | */$wanted:*) echo "$one" ;; esac
    done
}

# The live processes of a contract: those that the start method left, wherever they have gone since.
members() { # INSTANCE
    leader=$(run_value "$1" start_pid)
    {
        [ -z "$leader" ] || awk -v leader="$leader" '
            { sub(/^.*\) /, ""); split($0, field, " "); split(FILENAME, at, "/"); if (field[4] == leader) print at[3] }
            ' /.prc/[0-9]*/stat 2>/dev/null
        grep -lzxF "SMF_FMRI=$(fmri "$1")" /.prc/[0-9]*/environ 2>/dev/null | while IFS= read -r environment; do
            if grep -qzxF SMF_METHOD=start "$environment" 2>/dev/null; then
                environment=${environment#/.prc/}
                echo "${environment%/environ}"
            fi
        done
    } | sort -un | while read -r one; do
        # A method's own shell, before it has become the method, and who is dead already.
        state=$(sed -n 's/^State:[^A-Z]*\(.\).*/\1/p' "/.prc/$one/status" 2>/dev/null)
        case $state in '' | Z | X) ;; *) echo "$one" ;; esac
    done
}
