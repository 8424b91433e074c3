#!/bin/sh
# What every program begins with: the same surroundings everywhere, and the words it fails and logs with.
# It never looks at an argument, never reads stdin, and never writes a file.
#
# The first part of every program but the probe; src/assets.rs has the parts of each.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C LANG=C
export PATH LC_ALL LANG
unset IFS
umask 077

fail() { # CODE TEXT: to the executor
    printf '@@lf:fail=%s@@\n' "$*"
    exit 1
}

say() { # LEVEL STEP STATUS MESSAGE: to the log
    printf '%s %s %s %s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$1" "$2" "$3" "$4"
}

size_of() { # FILE
    if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi
}
