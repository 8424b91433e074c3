#!/bin/sh
# What every program begins with: the same surroundings everywhere, and the words it fails and logs with.
# It never looks at an argument, never reads stdin, and never writes a file.
#
# The first part of every program but the probe; src/assets.rs has the parts of each.
set -u
# One line as it is. The ksh of 1988 has no printf of its own, so a secret in its arguments would show in the process list; its
# print is a builtin, its echo reads backslashes. Where no program is found only builtins are.
print=
if PATH=/ whence print >/dev/null 2>&1 || PATH=/ command -v print >/dev/null 2>&1; then print=yes; fi
put_line() { # TEXT
    if [ -n "$print" ]; then print -r -- "$1"; else printf '%s\n' "$1"; fi
}

# First where Solaris has tools as POSIX wants them, last where it and AIX have what others brought.
PATH=/usr/xpg4/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sfw/bin:/opt/freeware/bin
LC_ALL=C LANG=C
export PATH LC_ALL LANG
# Blank, tab, newline: what an unset IFS means is not the same everywhere.
IFS=' 	
'
# An exported TMOUT bounds every read of bash; an old ksh reads what ENV names, and takes its options; and what runs an agent is
# told by LANDFALL_AGENT, which whatever the agent starts has as well.
unset TMOUT ENV LANDFALL_AGENT
set +o noclobber
umask 077

fail() { # CODE TEXT: to the executor
    put_line "@@lf:fail=$*@@"
    exit 1
}

say() { # LEVEL STEP STATUS MESSAGE: to the log
    put_line "$(date '+%Y-%m-%d %H:%M:%S') $1 $2 $3 $4"
}

# Only where root cannot be had without one (sudo with requiretty, su) is a program on a terminal. Nothing is asked there any
# more, so it stops looking into what comes: every byte is one, at once, and none comes back.
terminal=
if [ -t 0 ]; then
    # shellcheck disable=SC2034 # not every program reads it
    terminal=yes
    stty raw -echo || fail no_stty "the terminal cannot be made to pass every byte: stty is missing or failed"
fi

# What is found is set, not printed: to catch what a function prints takes a process each time.

# By ls, which looks at no byte: some wc read the whole file.
# shellcheck disable=SC2034 # not every program reads bytes
size_of() { # FILE: sets bytes
    bytes=0
    [ -s "$1" ] && [ -f "$1" ] || return 0
    # shellcheck disable=SC2012,SC2046 # split into the columns of ls
    set -- $(ls -lnL "$1" 2>/dev/null)
    bytes=${5:-0}
}

# Of its nearest ancestor that is there; unknown room counts as plenty: the write itself will tell.
free_kb() { # PATH: sets free
    free=$1
    while [ -n "$free" ] && [ ! -e "$free" ]; do free=${free%/*}; done
    # shellcheck disable=SC2046 # split into words; the heading ends by `Mounted on`
    set -- $(df -kP "${free:-/}" 2>/dev/null)
    while [ $# -gt 0 ] && [ "$1" != on ]; do shift; done
    # Ten digits are more than every shell counts to.
    case ${5-} in '' | *[!0-9]* | ??????????*) free=999999999 ;; *) free=$5 ;; esac
}

# Exact where stdin is a file: dd goes on where the one before ended. Not by `count=0`, which some dd take for no bound at all.
skip_bytes() { # COUNT
    blocks=$(($1 / 65536)) rest=$(($1 % 65536))
    if [ "$blocks" -gt 0 ]; then dd bs=65536 count="$blocks" >/dev/null 2>&1; fi
    if [ "$rest" -gt 0 ]; then dd bs="$rest" count=1 >/dev/null 2>&1; fi
}
