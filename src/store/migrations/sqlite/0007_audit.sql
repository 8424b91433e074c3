-- Who asked for what: a row for every submission, retry and cancel, written with what it asks for.

create table audit (
    id       integer primary key,
    at       integer not null,
    job_id   integer not null references job (id),
    action   text    not null,
    -- The app that was authenticated, if apps are.
    app      text,
    username text    not null,
    -- The caller's address, or 'cli'.
    source   text    not null,
    detail   text    not null
) strict;

create index audit_job on audit (job_id, id);
