#!/bin/sh
# The first process of the container `postgres`: makes the database at the first start, and becomes its server. Who connects over
# the network needs the password, the last field of /run/secrets/pgpass.
set -eu
data=/var/lib/postgresql/record
bin=$(echo /usr/lib/postgresql/*/bin)

as_owner() { # COMMAND...
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

if [ ! -d "$data" ]; then
    # What a start that was interrupted half way has left.
    rm -rf "$data.new"
    install -d -m 700 -o postgres -g postgres "$data.new"
    as_owner "$bin/initdb" --pgdata="$data.new" --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256
    echo 'host landfall landfall samenet scram-sha-256' >>"$data.new/pg_hba.conf"
    sed "s/.*:\(.*\)/create role landfall login password '\1'/" /run/secrets/pgpass |
        as_owner "$bin/postgres" --single -D "$data.new" postgres >/dev/null
    echo 'create database landfall owner landfall' | as_owner "$bin/postgres" --single -D "$data.new" postgres >/dev/null
    mv "$data.new" "$data"
fi
install -d -m 755 -o postgres -g postgres /run/postgresql
exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" -c listen_addresses='*' \
    -c unix_socket_directories=/run/postgresql
