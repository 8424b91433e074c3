# Sourced by every kind's script. The scripts run as root inside a Debian or Ubuntu root file system that has the
# packages of `base.sh`, once, before the host ever starts; they turn it into a target of one kind.
#
# They know nothing of how the host will be run: namespaces and container images are made from the very same files.
# In: WORLD_PASSWORD (optional, another password than the kind's own).
# Out, below /etc/landfall-world: `login` (user, password, sudo_password, key: how a client gets in), `server` (the
# SSH server, a foreground command), `full` (places to be covered by a small full tmpfs), `mounts` (arguments of mount, a line each), `init` (another pid 1),
# and `pid1`, the host's first process. They never start a daemon and never reach for the network.
# shellcheck shell=sh
set -eu

WORLD=/etc/landfall-world
PROVISION=${0%/*}
# Root's own password where the kind is not about passwords, so that a person can read it off the table and type it.
PLAIN_PASSWORD=landfall
# Blanks, quotes and `$` are there to break quoting.
OPS_PASSWORD=${WORLD_PASSWORD:-"s\$udo \"pa'ss"}

begin() { # KIND
    mkdir -p "$WORLD" /etc/ssh/sshd_config.d
    printf '%s\n' "$1" >"$WORLD/kind"
    cp "$PROVISION/pid1.sh" "$WORLD/pid1"
    printf 'exec /usr/sbin/sshd -D -E /var/log/sshd.log\n' >"$WORLD/server"
    # 100: many sessions at once is what the tests are about, and the stock 10 would answer them by dropping.
    cat >/etc/ssh/sshd_config.d/50-world.conf <<-SETTINGS
	HostKey /etc/ssh/ssh_host_ed25519_key
	MaxStartups 100:30:200
	UseDNS no
	PermitRootLogin yes
	PasswordAuthentication yes
	SETTINGS
    # The audit login uid cannot be set in every namespace or container; it is no part of what is tested.
    sed -i 's/^\(session *\)required\( *pam_loginuid\)/\1optional\2/' /etc/pam.d/sshd
}

# The first value wins in sshd_config, so a kind's own settings come before the common ones.
sshd_setting() { # LINE...
    printf '%s\n' "$@" >>/etc/ssh/sshd_config.d/10-kind.conf
}

login() { # KEY=VALUE...
    printf '%s\n' "$@" >>"$WORLD/login"
}

set_password() { # USER PASSWORD
    printf '%s:%s\n' "$1" "$2" | chpasswd
}

root_with_password() { # PASSWORD
    set_password root "${WORLD_PASSWORD:-$1}"
    login user=root "password=${WORLD_PASSWORD:-$1}"
}

root_with_shell() { # SHELL
    usermod -s "$1" root
    root_with_password "$PLAIN_PASSWORD"
}

# An ordinary user with a password that sudo asks for as well.
ops_with_password() {
    useradd -m -s /bin/bash ops
    set_password ops "$OPS_PASSWORD"
    login user=ops "password=$OPS_PASSWORD"
}

# Root has a password of its own, which su asks for; nobody logs in with it.
root_for_su() {
    set_password root "Ro ot\$'s"
    sshd_setting 'PermitRootLogin no'
    login "sudo_password=Ro ot\$'s"
}

# Every command has an empty stdin; SFTP is as it always is.
commands_without_stdin() {
    cat >/usr/local/sbin/no-stdin <<-'COMMAND'
	#!/bin/sh
	case $SSH_ORIGINAL_COMMAND in
	    */sftp-server) exec "$SSH_ORIGINAL_COMMAND" ;;
	esac
	exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" </dev/null
	COMMAND
    chmod 755 /usr/local/sbin/no-stdin
    sshd_setting 'ForceCommand /usr/local/sbin/no-stdin'
}

doas_rule() { # LINE
    printf '%s\n' "$1" >/etc/doas.conf
    chmod 400 /etc/doas.conf
}

# The SSH server is another release's, of the base's own: /opt/NAME.
server_of() { # NAME
    [ -x "/opt/$1/usr/sbin/sshd" ] || {
        printf 'the base root has no %s: it is fetched from the mirror of a Debian machine when the base root is built\n' "$1" >&2
        exit 1
    }
    cp "/opt/$1/usr/lib/openssh/sftp-server" /usr/lib/openssh/sftp-server
}

# Takes commands away, wherever PATH would find them.
without() { # COMMAND...
    for command in "$@"; do
        rm -f "/usr/local/bin/$command" "/usr/bin/$command" "/usr/sbin/$command" "/bin/$command" "/sbin/$command"
    done
}

# Makes process 1 a real systemd, which starts the SSH server.
under_systemd() {
    printf '/lib/systemd/systemd\n' >"$WORLD/init"
    ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
    # What a host of its own hardware would need; here it would only wait for devices and consoles that never come.
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
        console-getty.service getty.target systemd-update-utmp.service \
        ssh.socket tinysshd.socket systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
        sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount; do
        ln -sf /dev/null "/etc/systemd/system/$unit"
    done
    systemctl --quiet enable ssh.service
    # A journal in memory: what matters is that the units' output has somewhere to go.
    mkdir -p /etc/systemd/journald.conf.d
    printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n' >/etc/systemd/journald.conf.d/world.conf
}
