# The wires of the test world. Every world has a switch in a namespace of its own (a container engine on the
# machine filters frames that cross a bridge of the root namespace), one wire from it to the machine, and one to
# each host. It never gives a host a way out: there is no default route, no forwarding, no address translation,
# and packets to a host that is not there end at an unreachable route instead of the machine's gateway.
# shellcheck shell=bash

# The network of all worlds; more specific routes of the worlds that are up win.
guard_route() { # replace | del
    ip route "$1" unreachable 10.77.0.0/16 metric 4096 2>/dev/null || [ "$1" = del ]
    ip -6 route "$1" unreachable fd77::/32 metric 4096 2>/dev/null || true
}

net_up() { # K
    guard_route replace
    ip -batch - <<-COMMANDS
	netns add lfw-$1
	link add lfw$1 address $(mac "$1" 1) type veth peer name up0 netns lfw-$1
	link set lfw$1 up
	addr add $(address "$1" 1)/22 dev lfw$1
	neigh replace $(address "$1" 2) lladdr $(mac "$1" 2) nud permanent dev lfw$1
	neigh replace $(address "$1" 3) lladdr $(mac "$1" 3) nud permanent dev lfw$1
	COMMANDS
    ip addr add "$(address6 "$1" 1)/64" dev "lfw$1" nodad 2>/dev/null || true
    # 2 answers with a reset on every port, since nothing listens there; 3 has a neighbour entry and no machine.
    ip -n "lfw-$1" -batch - <<-COMMANDS
	link add sw0 address $(mac "$1" 2) type bridge
	link set sw0 up
	addr add $(address "$1" 2)/22 dev sw0
	link set up0 master sw0 up
	COMMANDS
}

# Gives every host its namespace and its wire. The neighbour entries are fixed, so that a host that is off or cut
# off is as silent as behind a router: connections to it time out, they are not refused.
wires_up() { # K; standard input: NAME KIND NUMBER ...
    local name number machine='' switch=''
    while read -r name _ number _; do
        machine+="netns add lfw-$1-$name
neigh replace $(address "$1" "$number") lladdr $(mac "$1" "$number") nud permanent dev lfw$1
"
        switch+="link add p$number type veth peer name eth0 address $(mac "$1" "$number") netns lfw-$1-$name
link set p$number master sw0 up
"
    done
    ip -batch - <<<"$machine"
    ip -n "lfw-$1" -batch - <<<"$switch"
}

wire() { # K NUMBER up|down
    ip -n "lfw-$1" link set "p$2" "$3"
}

# Removes a host's wire and its namespace, and with that every connection that its kernel still held. The wire by name: a
# namespace is taken apart in the background, and a host that is started again at once would find the old wire there.
wire_remove() { # K NAME NUMBER
    ip -n "lfw-$1" link del "p$3" 2>/dev/null || true
    [ ! -e "/run/netns/lfw-$1-$2" ] || ip netns del "lfw-$1-$2"
}

net_down() { # K
    local namespace commands=''
    for namespace in /run/netns/"lfw-$1"-* /run/netns/"lfw-$1"; do
        [ ! -e "$namespace" ] || commands+="netns del ${namespace##*/}
"
    done
    # By name as well: a namespace is taken apart in the background, and the machine's end must be gone on return.
    [ ! -e "/sys/class/net/lfw$1" ] || commands="link del lfw$1
$commands"
    [ -z "$commands" ] || ip -force -batch - <<<"$commands"
}
