# What a kind of Windows host is made of; sourced by its script after common.sh. The root has wine and a drive C (prefix.sh).
# shellcheck shell=sh
WINDOWS=$PROVISION/../windows
# shellcheck source-path=SCRIPTDIR source=wine.sh
. "$WINDOWS/wine.sh"
SYSTEM=/C:/windows/system32

# Compiles what is in a directory of its own, so that Windows's headers are read only once for all stand-ins.
compile() { # ARGUMENT...
    x86_64-w64-mingw32-gcc -O2 -Wall -Wextra -Werror -municode "$@"
}
BUILD=$(mktemp -d)
cp "$WINDOWS"/*.[ch] "$BUILD"
compile "$BUILD/win.h"

# Builds a stand-in and puts it where Windows has that program; wine's own must go, or wine would run that one.
stand_in() { # PROGRAM [PLACE [OPTION...]]
    program=$1 place=${2:-$SYSTEM}
    [ $# -lt 2 ] || shift
    shift
    rm -f "$WINE_PROGRAMS/$program.exe"
    compile -s "$@" -o "$place/$program.exe" "$BUILD/$program.c" -lws2_32 -ladvapi32 -lbcrypt -lwinhttp -lntdll -lz
}

# What cmd.exe imports of the C library it then has of cmdcrt.dll, which hands it on and sets the locale (cmdcrt.c).
locale_of_cmd() {
    {
        printf 'LIBRARY cmdcrt.dll\nEXPORTS\n'
        x86_64-w64-mingw32-objdump -p "$WINE_PROGRAMS/cmd.exe" |
            awk '/DLL Name:/ { library = $3; next } library == "ucrtbase.dll" && NF == 4 && $1 ~ /^[0-9a-f]+$/ { print $4 " = ucrtbase." $4 }'
    } >"$BUILD/cmdcrt.def"
    compile -s -shared -o "$SYSTEM/cmdcrt.dll" "$BUILD/cmdcrt.c" "$BUILD/cmdcrt.def"
    perl -0777 -pi -e 's/\0ucrtbase\.dll\0/\0cmdcrt.dll\0\0\0/ or die "cmd.exe has another C library\n"' "$WINE_PROGRAMS/cmd.exe"
    cp "$WINE_PROGRAMS/cmd.exe" "$SYSTEM/cmd.exe"
}

# wine has these and they do nothing, or lie about what is there; and some of its programs say that they succeeded all the same.
loud() { # PROGRAM...
    for program in "$@"; do
        place=$(find "$SYSTEM" -iname "$program.exe" | head -n 1)
        cp /C:/windows/loud.exe "${place:-$SYSTEM/$program.exe}"
        rm -f "$WINE_PROGRAMS/$program.exe"
    done
}

# wine keeps the registry in memory and writes it every 30 s, so a host that is switched off would lose its new services: every second.
lasting_registry() {
    perl -0777 -pi -e 's/\x48\xc7\xc7\x00\x5d\x1e\xee/\x48\xc7\xc7\x80\x69\x67\xff/g == 2 or die "wineserver has another period\n"' "$WINESERVER"
}

ssh_ident() { # IDENT
    for program in /usr/sbin/sshd /usr/lib/openssh/sshd-session /usr/lib/openssh/sshd-auth; do
        IDENT=$1 perl -0777 -pi -e 's/OpenSSH_[\w.]+ Debian[^\0]*/my $ident = $ENV{IDENT}; $ident . "\0" x (length($&) - length $ident)/e or die "no version\n"' "$program"
    done
}

windows() { # KIND IDENT
    begin "$1"
    ssh_ident "$2"
    lasting_registry
    install -d /usr/local/lib/windows
    cp "$WINDOWS/wine.sh" /usr/local/lib/windows/
    install -m 755 "$WINDOWS/winsh" "$WINDOWS/windows-boot" /usr/local/sbin/
    usermod -s /usr/local/sbin/winsh Administrator
    set_password Administrator "${WORLD_PASSWORD:-$PLAIN_PASSWORD}"
    login user=Administrator "password=${WORLD_PASSWORD:-$PLAIN_PASSWORD}"
    sshd_setting 'PermitTTY no' 'AllowUsers Administrator'
    printf 'exec /usr/local/sbin/windows-boot /usr/sbin/sshd -D -E /var/log/sshd.log\n' >"$WORLD/server"
    stand_in labexec /C:/windows
    stand_in loud /C:/windows
    for program in icacls mklink rd sc timeout whoami findstr schtasks fsutil; do stand_in "$program"; done
    locale_of_cmd
    stand_in wmic "$SYSTEM/wbem"
    stand_in wmiprvse "$SYSTEM/wbem"
    cp "$SYSTEM/rd.exe" "$SYSTEM/rmdir.exe"
    loud powershell netsh dism robocopy cacls net netstat shutdown setx subst arp pnputil wevtutil secedit regini mofcomp \
        find
    # For tests to put into packages; it is not on the host's drive.
    install -d /opt/landfall-world
    stand_in agent /opt/landfall-world
    stand_in words /opt/landfall-world
}
