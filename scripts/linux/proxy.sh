# What a proxy has beside an agent: the names of its stages (setup_proxy, remove_proxy, ...), and a look at what its role needs.
# It never changes sshd: whether connections are forwarded is for whoever owns the machine to decide.
#
# A part of proxy, which is agent with this in it. Needs prelude.sh before it, and comes before agent.sh.
# shellcheck shell=sh disable=SC2034 # agent.sh reads node
node=proxy

# The parts speak of an agent wherever they mean what is installed.
say() { # LEVEL STEP STATUS MESSAGE
    case $2 in
        *_agent) told=${2%_agent}_proxy ;;
        *) told=$2 ;;
    esac
    put_line "$(date '+%Y-%m-%d %H:%M:%S') $1 $told $3 $4"
}

# The executor proves later that the proxy forwards. Here is told why it will not, as far as sshd says: a Match block may allow
# what is forbidden to all others.
check_role() {
    sshd=$(command -v sshd 2>/dev/null || echo /usr/sbin/sshd)
    [ -x "$sshd" ] || return 0
    "$sshd" -T 2>/dev/null | while IFS=' ' read -r key value; do
        case "$key $value" in
            'allowtcpforwarding no' | 'allowtcpforwarding remote' | 'disableforwarding yes')
                say WARN check_env - "sshd has $key $value: a proxy has to forward connections"
                ;;
        esac
    done
}
