#!/bin/sh
# What every program begins with: the same surroundings everywhere, and the words it fails and logs with.
# It never looks at an argument, never reads stdin, and never writes a file.
#
# The first part of every program but the probe; src/assets.rs has the parts of each.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C LANG=C
export PATH LC_ALL LANG
# An exported TMOUT bounds every read of bash.
unset IFS TMOUT
umask 077

fail() { # CODE TEXT: to the executor
    printf '@@lf:fail=%s@@\n' "$*"
    exit 1
}

say() { # LEVEL STEP STATUS MESSAGE: to the log
    printf '%s %s %s %s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$1" "$2" "$3" "$4"
}

# Only where root cannot be had without one (sudo with requiretty, su) is a program on a terminal. Nothing is asked there any
# more, so it stops looking into what comes: every byte is one, at once, and none comes back.
terminal=
if [ -t 0 ]; then
    # shellcheck disable=SC2034 # not every program reads it
    terminal=yes
    stty raw -echo || fail no_stty "the terminal cannot be made to pass every byte: stty is missing or failed"
fi

size_of() { # FILE
    if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi
}
