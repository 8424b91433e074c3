# What a world tells about itself: the JSON that tests read, the table that people read, and an ssh_config for both.
# It never asks a host anything: everything here is known from the books and from what provisioning wrote down.
# shellcheck shell=bash

json_string() { # TEXT
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "$text"
}

json_or_null() { # TEXT
    if [ -n "$1" ]; then json_string "$1"; else printf null; fi
}

# up, cut (its cable is out) or off.
host_state() { # K NAME
    if [ ! -e "/run/netns/lfw-$1-$2" ]; then
        printf off
    elif [ -e "$(trees "$1")/$2/cut" ]; then
        printf cut
    else
        printf up
    fi
}

# One host as a JSON object, from a line of the books.
host_json() { # K DIR NAME KIND NUMBER LAYER [with-state]
    local key_file='' type public
    [ -z "$(login_value "$6" key)" ] || key_file=$2/id_ed25519
    host_key "$1" "$5"
    read -r type public _ <"$KEY.pub"
    printf '{"name":"%s","kind":"%s","ip":"%s","ip6":"%s","port":22,"user":"%s","password":%s,"key_file":%s,' \
        "$3" "$4" "$(address "$1" "$5")" "$(address6 "$1" "$5")" "$(login_value "$6" user)" \
        "$(json_or_null "$(login_value "$6" password)")" "$(json_or_null "$key_file")"
    printf '"sudo_password":%s,"host_key":"%s"' "$(json_or_null "$(login_value "$6" sudo_password)")" "$type $public"
    [ -z "${7:-}" ] || printf ',"state":"%s"' "$(host_state "$1" "$3")"
    printf '}'
}

hosts_json() { # K DIR [with-state]
    local name kind number layer separator='['
    while read -r name kind number layer; do
        printf '%s' "$separator"
        host_json "$1" "$2" "$name" "$kind" "$number" "$layer" "${3:-}"
        separator=$',\n '
    done <"$STATE/worlds/$1/hosts"
    printf ']'
}

world_json() { # K DIR
    printf '{"world":%d,"dir":%s,"blackhole":"%s","closed":"%s","key_file":%s,"encrypted_key_file":%s,"passphrase":%s,\n"hosts":' \
        "$1" "$(json_string "$2")" "$(address "$1" 3)" "$(address "$1" 2)" "$(json_string "$2/id_ed25519")" \
        "$(json_string "$2/id_ed25519_encrypted")" "$(json_string "$PASSPHRASE")"
    hosts_json "$1" "$2" with-state
    printf '}\n'
}

world_table() { # K DIR
    local name kind number layer way
    printf '%-14s %-14s %-14s %-6s %-6s %s\n' NAME KIND ADDRESS STATE USER LOGIN
    while read -r name kind number layer; do
        way=$(login_value "$layer" password)
        [ -n "$way" ] || way="-i $2/id_ed25519"
        printf '%-14s %-14s %-14s %-6s %-6s %s\n' "$name" "$kind" "$(address "$1" "$number")" \
            "$(host_state "$1" "$name")" "$(login_value "$layer" user)" "$way"
    done <"$STATE/worlds/$1/hosts"
    printf 'closed port: %s   black hole: %s   by name: ssh -F %s/ssh_config NAME\n' \
        "$(address "$1" 2)" "$(address "$1" 3)" "$2"
}

# For people: `ssh -F DIR/ssh_config NAME`, with the host keys pinned and nothing left in anybody's own known_hosts.
ssh_config() { # K DIR
    local name kind number layer
    : >"$2/known_hosts"
    while read -r name kind number layer; do
        host_key "$1" "$number"
        printf '%s %s\n' "$(address "$1" "$number")" "$(cut -d' ' -f1,2 "$KEY.pub")" >>"$2/known_hosts"
        printf 'Host %s\n HostName %s\n User %s\n' "$name" "$(address "$1" "$number")" "$(login_value "$layer" user)"
    done <"$STATE/worlds/$1/hosts"
    printf 'Host *\n IdentityFile "%s/id_ed25519"\n IdentitiesOnly yes\n UserKnownHostsFile "%s/known_hosts"\n' "$2" "$2"
}

# The client's key of a world, and the same key under a passphrase.
client_key() { # DIR
    [ ! -f "$1/id_ed25519.pub" ] || return 0
    ssh-keygen -q -t ed25519 -N '' -C landfall-world -f "$1/id_ed25519"
    install -m 600 "$1/id_ed25519" "$1/id_ed25519_encrypted"
    # One round: strong enough for a key that opens nothing but these hosts, and quick.
    ssh-keygen -q -p -a 1 -N "$PASSPHRASE" -f "$1/id_ed25519_encrypted" >/dev/null
}
