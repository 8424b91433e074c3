# How wine is called: sourced by what makes the root and the kinds, and a part of the login shell of Windows hosts.
# shellcheck shell=sh
# shellcheck disable=SC2034  # read by whoever sources it
WINE=/usr/lib/wine/wine64
WINESERVER=/usr/lib/wine/wineserver64
WINE_PROGRAMS=/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
PREFIX=/home/Administrator/.wine

# Becomes the command. A locale of code page 936; nothing of the caller's environment, which wine would show to Windows programs.
in_wine() { # COMMAND...
    exec env -i LC_ALL=zh_CN.UTF-8 HOME=/home/Administrator "WINEPREFIX=$PREFIX" WINEARCH=win64 WINEDEBUG=-all DISPLAY= \
        XDG_RUNTIME_DIR=/tmp WINEDLLOVERRIDES='mscoree,mshtml=' PATH=/usr/bin:/bin "$@"
}

as_administrator() { # COMMAND...
    in_wine setpriv --reuid=Administrator --regid=Administrator --init-groups "$@"
}
