# What a kind of AIX or Solaris host is made of; sourced by its script after common.sh. The root is Debian's, and afterwards
# it has of Debian only what is behind /.real.
# shellcheck shell=sh
UNIX=$PROVISION/../unix
REAL=/.real

# The programs that guards and stand-ins use.
BEHIND='[ awk basename cat chgrp chmod chown chroot cksum cmp comm cp csplit curl cut dash date dd df diff dirname du echo env expr
    false find fold getconf grep gzip head hostname id install join kill ksh93 ln logger ls mawk md5sum mkdir mkfifo mknod mktemp mount mv
    nice nl nohup od paste pgrep pkill pr printf ps pwd readlink rm rmdir sed setpriv setsid sha1sum sha256sum sha384sum sha512sum
    sleep sort split stat stty sum sync tail tar tee test time touch tr true tty umount uniq wc wget who whoami xargs'

# Neither Sun's nor IBM's server says a word of Debian.
ssh_ident() { # IDENT
    # shellcheck disable=SC2016 # dollars of perl
    IDENT=$1 perl -0777 -pi -e 's/OpenSSH_[\w.]+ Debian[^\0]*/$ENV{IDENT} . "\0" x (length($&) - length $ENV{IDENT})/e or die "no version\n"' \
        /usr/sbin/sshd
}

# Where Linux's /proc is once it is hidden (boot): the programs that read it look there.
elsewhere() { # FILE...
    perl -0777 -pi -e 's{/proc(?=[/\0])}{/.prc}g' "$@"
}

behind() {
    install -d "$REAL/bin" "$REAL/proc" "$REAL/run"
    ln -s "$REAL/proc" /.prc
    for program in $BEHIND; do
        for place in /usr/bin /usr/sbin; do
            # -L: what is behind an alternative.
            [ ! -e "$place/$program" ] || cp -L --preserve=mode "$place/$program" "$REAL/bin/"
        done
    done
    cp "$REAL/bin/mawk" "$REAL/bin/nawk"
    for way in egrep=-E fgrep=-F; do
        printf '#!/.real/bin/dash\nexec /.real/bin/grep %s "$@"\n' "${way#*=}" >"$REAL/bin/${way%%=*}"
        chmod 755 "$REAL/bin/${way%%=*}"
    done
    elsewhere "$REAL/bin/ps" "$REAL/bin/pgrep" "$REAL/bin/pkill" "$REAL/bin/df" "$REAL/bin/find"
    find /usr/lib -name 'libproc2.so.*' -type f | while read -r library; do elsewhere "$library"; done
    # What ksh88 has not, which either platform calls ksh: a sleep of its own, and connections by redirection. There the function of
    # libc becomes another, which never says 0.
    perl -0777 -pi -e 's/\0sleep\0/\0sle\x01p\0/g; s/\0connect\0/\0getppid\0/ or die "ksh93 connects by something else\n"' "$REAL/bin/ksh93"
}

# A guard at each place: the table's line, and who reads it.
guards() { # TABLE PLACE
    grep -v '^#' "$UNIX/$1" | while read -r tool options check; do
        printf "#!/.real/bin/dash\ntool='%s' options='%s' check='%s'\n. /.real/guard.sh\n" "$tool" "$options" "${check#@}" >"$2/$tool"
        chmod 755 "$2/$tool"
    done
}

stand_in() { # FILE NAME...: in /usr/bin
    file=$1
    shift
    for program in "$@"; do install -m 755 "$UNIX/$file" "/usr/bin/$program"; done
}

# Only what somebody asked for is left: the SSH server's own programs, and what PAM runs.
bare() {
    install -d /tmp/kept/bin /tmp/kept/sbin
    for program in ssh ssh-keygen ssh-add ssh-agent scp sftp su passwd; do cp -p "/usr/bin/$program" /tmp/kept/bin/; done
    for program in sshd unix_chkpwd; do cp -p "/usr/sbin/$program" /tmp/kept/sbin/; done
    PATH=$REAL/bin
    # shellcheck disable=SC2114 # of a root that is a host's
    rm -rf /usr/games /usr/include /usr/lib/os-release /usr/lib/systemd /usr/lib/gcc /var/lib/dpkg \
        /etc/os-release /etc/debian_version /etc/motd /etc/issue /etc/issue.net /etc/init.d /etc/rc?.d /etc/systemd /etc/apt \
        /etc/alternatives /etc/perl /etc/python3* /opt/openssh-*
    # Emptied: what is removed and made again in one layer of an image has its old content with some engines.
    # shellcheck disable=SC2115 # the same
    rm -rf /usr/bin/* /usr/sbin/* /usr/local/*
    cp -pr /tmp/kept/bin /tmp/kept/sbin /usr/
    rm -rf /tmp/kept
}

names() { # LINE...: what uname and its like say
    printf '%s\n' "$@" >"$REAL/names"
}

unix() { # KIND SYSTEM IDENT SHELL PATH
    begin "$1"
    ssh_ident "$3"
    # usermod takes no other home for who is logged in, and that is root.
    sed -i "s,^\(root:x:0:0\):.*,\1:root:/:$4," /etc/passwd
    root_with_password "$PLAIN_PASSWORD"
    login key=yes
    sshd_setting 'AuthorizedKeysFile /root/.ssh/authorized_keys' 'PrintMotd no' 'PrintLastLog no' "SetEnv PATH=$5"
    printf 'exec /.real/bin/dash /.real/boot\n' >"$WORLD/pid1"
    install -d /opt/landfall-world
    (cd "$UNIX" && tcc -Wall -o /opt/landfall-world/agent agent.c)
    behind
    printf '%s\n' "$2" >"$REAL/system"
    for file in guard.sh special.sh shapes.sh boot "boot-$2.sh"; do cp "$UNIX/$file" "$REAL/"; done
}

aix() { # KIND IDENT
    unix "$1" AIX "$2" /usr/bin/ksh /usr/bin:/etc:/usr/sbin:/usr/ucb:/usr/bin/X11:/sbin
    cp "$UNIX/objects.sh" "$REAL/"
    bare
    sed -i 's/^root:/system:/' /etc/group
    guards tools.common /usr/bin
    guards tools.aix /usr/bin
    for shell in sh ksh ksh93 psh; do ln "$REAL/bin/ksh93" "/usr/bin/$shell" 2>/dev/null || cp "$REAL/bin/ksh93" "/usr/bin/$shell"; done
    printf '%s\n' '*****' "*  Welcome to AIX" '*****' >/etc/motd
    stand_in uname uname
    stand_in netstat netstat
    stand_in simple oslevel bootinfo csum
    cp /usr/bin/bootinfo "$REAL/bin/"
    stand_in src mkssys chssys rmssys startsrc stopsrc lssrc refresh
    stand_in inittab mkitab chitab lsitab rmitab telinit init
    mkdir -p /etc/objrepos/SRCsubsys /etc/rc.d/rc2.d /etc/rc.d/init.d
    for program in mkssys chssys rmssys mkitab chitab lsitab rmitab bootinfo telinit init; do ln -s "../bin/$program" "/usr/sbin/$program"; done
    install -m 755 "$UNIX/srcmstr" /usr/sbin/srcmstr
    ln -s ../usr/sbin/telinit /etc/telinit
    printf '%s\n' ': @(#)49  1.28.2.8  inittab' 'init:2:initdefault:' \
        'rc:23456789:wait:/etc/rc 2>&1' "srcmstr:23456789:respawn:/usr/sbin/srcmstr # System Resource Controller" >/etc/inittab
    # shellcheck disable=SC2016 # words of the host
    printf '#!/usr/bin/ksh\nfor script in /etc/rc.d/rc2.d/S*; do [ -x "$script" ] && "$script" start; done\nexit 0\n' >/etc/rc
    chmod 755 /etc/rc
}

solaris() { # KIND IDENT
    unix "$1" SunOS "$2" /sbin/sh /usr/sbin:/usr/bin
    # It knows nothing newer than these.
    ssh-keygen -q -t rsa -b 2048 -N '' -f "$WORLD/rsa"
    sed -i '/^HostKey/d' /etc/ssh/sshd_config.d/50-world.conf
    sshd_setting "HostKey $WORLD/rsa" 'KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group1-sha1' 'HostKeyAlgorithms ssh-rsa' \
        'Ciphers aes128-ctr,aes128-cbc,3des-cbc' 'MACs hmac-sha1'
    cp "$UNIX/bourne.awk" "$REAL/"
    bare
    guards tools.common /usr/bin
    guards tools.solaris /usr/bin
    install -d /usr/xpg4/bin /etc/init.d /etc/rc0.d /etc/rc1.d /etc/rc2.d /etc/rc3.d /etc/rcS.d
    guards tools.xpg4 /usr/xpg4/bin
    cp "$REAL/bin/ksh93" /usr/bin/ksh
    ln /usr/bin/ksh /usr/xpg4/bin/sh
    install -m 755 "$UNIX/bourne" /usr/bin/sh
    ln /usr/bin/sh /usr/sbin/sh
    ln /usr/bin/sh /usr/bin/jsh
    printf 'Sun Microsystems Inc.   SunOS       Generic\n' >/etc/motd
    stand_in uname uname
    stand_in netstat netstat
    stand_in simple pargs pwdx
}

smf() {
    cp "$UNIX/repository.sh" "$UNIX/manifest.awk" "$REAL/"
    stand_in svc svcs svcprop svcadm svccfg
    mv /usr/bin/svcadm /usr/bin/svccfg /usr/sbin/
    install -d /lib/svc/bin /var/svc/log /var/svc/manifest/site /etc/svc/repository
    install -m 755 "$UNIX/startd" /lib/svc/bin/svc.startd
}
