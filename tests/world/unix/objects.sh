# Where the objects of the System Resource Controller are. Read by its commands and its master.
# shellcheck shell=dash
# shellcheck disable=SC2034 # the fields are read by name
OBJECTS=/etc/objrepos/SRCsubsys
RUN=/.real/run/src
FIELDS='synonym cmdargs path uid auditid standin standout standerr action multi contact svrkey svrmtype priority signorm sigforce
    display waittime grpname'

# Sets a variable for each field.
load() { # NAME
    [ -f "$OBJECTS/$1" ] || return 1
    for field in $FIELDS; do eval "$field="; done
    while IFS= read -r line; do
        field=${line%% *} value=${line#* }
        eval "$field=\$value"
    done <"$OBJECTS/$1"
}

store() { # NAME
    for field in $FIELDS; do eval "printf '%s %s\n' $field \"\$$field\""; done >"$OBJECTS/$1.new"
    mv "$OBJECTS/$1.new" "$OBJECTS/$1"
}

pid_of() { # NAME: sets pid
    [ -f "$RUN/$1.pid" ] && read -r pid <"$RUN/$1.pid" && kill -0 "$pid" 2>/dev/null
}
