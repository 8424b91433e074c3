-- The job record. Forward only: what is here is never edited again, a change is a new file.
-- Moments are integer microseconds since 1970 UTC; ids, states and payloads are text (src/store/row.rs).

create table job (
    -- autoincrement: the number of a job is never given twice.
    id          integer primary key autoincrement,
    next_seq    integer not null,
    created_by  text    not null,
    created_at  integer not null,
    finished_at integer,
    -- Of JobFinished; null while the status is the fold of the hosts.
    status      text,
    spec        text    not null
) strict;

create table host_task (
    id         text    primary key not null,
    job_id     integer not null references job (id),
    host_index integer not null,
    cloud      integer not null,
    ip         text    not null,
    status     text    not null,
    epoch      integer not null,
    -- 1 until the host task is terminal: as long as that the job holds the host.
    open       integer not null check (open in (0, 1)),
    spec       text    not null,
    unique (job_id, host_index)
) strict;

-- No host is ever in two unfinished jobs.
create unique index host_task_open on host_task (cloud, ip) where open = 1;
create index host_task_address on host_task (cloud, ip, job_id);
-- Statistics of a job without touching the specs.
create index host_task_status on host_task (job_id, status);

create table event (
    job_id     integer not null references job (id),
    seq        integer not null,
    -- Null for events of the job itself.
    host_index integer,
    at         integer not null,
    version    integer not null,
    body       text    not null,
    primary key (job_id, seq)
) strict, without rowid;

create table output (
    -- Order in which pieces came, so that steps are listed in the order they began.
    id          integer primary key,
    task_id     text    not null references host_task (id),
    step        text    not null,
    attempt     integer not null,
    byte_offset integer not null,
    data        blob    not null,
    unique (task_id, step, attempt, byte_offset)
) strict;

create table credential (
    task_id     text primary key not null references host_task (id),
    key_id      text not null,
    nonce       blob not null,
    sealed      blob not null,
    -- Seconds from the terminal state; null is long term.
    retention_s integer,
    -- Null only for long term credentials of host tasks that have ended.
    purge_at    integer
) strict;

create index credential_purge on credential (purge_at);
create index credential_key on credential (key_id);

-- Inventory. No reference to the job: the host outlives the record of how it came to be.
create table host (
    cloud         integer not null,
    ip            text    not null,
    spec          text    not null,
    package       text    not null,
    version       text    not null,
    digest        text    not null,
    job_id        integer not null,
    registered_at integer not null,
    primary key (cloud, ip)
) strict;

create table host_key (
    cloud     integer not null,
    ip        text    not null,
    port      integer not null,
    key       text    not null,
    pinned_at integer not null,
    primary key (cloud, ip, port)
) strict;
