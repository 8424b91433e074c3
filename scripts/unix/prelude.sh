#!/bin/sh
# What every program begins with: the same surroundings everywhere, and the words it fails and logs with.
# It never looks at an argument, never reads stdin, and never writes a file.
#
# The first part of every program but the probe; src/assets.rs has the parts of each.
set -u
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

# One line as it is. The ksh of 1988 has no printf of its own, so a secret in its arguments would show in the process list; its
# print is a builtin, its echo reads backslashes.
print=$(command -v print 2>/dev/null)
put_line() { # TEXT
    if [ "$print" = print ]; then print -r -- "$1"; else printf '%s\n' "$1"; fi
}

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

# By ls, which looks at no byte: some wc read the whole file.
size_of() { # FILE
    if [ -f "$1" ]; then
        # shellcheck disable=SC2012,SC2046 # split into the columns of ls
        set -- $(ls -lnL "$1" 2>/dev/null)
        put_line "${5:-0}"
    else
        put_line 0
    fi
}

# Exact where stdin is a file: dd goes on where the one before ended. Not by `count=0`, which some dd take for no bound at all.
skip_bytes() { # COUNT
    blocks=$(($1 / 65536)) rest=$(($1 % 65536))
    if [ "$blocks" -gt 0 ]; then dd bs=65536 count="$blocks" >/dev/null 2>&1; fi
    if [ "$rest" -gt 0 ]; then dd bs="$rest" count=1 >/dev/null 2>&1; fi
}
