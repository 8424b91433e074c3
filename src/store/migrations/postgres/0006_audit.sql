-- Who asked for what, as in the SQLite record's migration 0007.

create table audit (
    id       bigint primary key generated always as identity,
    at       bigint not null,
    job_id   bigint not null references job (id),
    action   text   not null,
    -- The app that was authenticated, if apps are.
    app      text,
    username text   not null,
    -- The caller's address, or 'cli'.
    source   text   not null,
    detail   text   not null
);

create index audit_job on audit (job_id, id);
