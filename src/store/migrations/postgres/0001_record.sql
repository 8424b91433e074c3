-- The job record, as the SQLite one is after its migration 0002. Forward only: what is here is never edited again, a change
-- is a new file in both directories.
-- Moments are microseconds since 1970 UTC; ids, states and payloads are text (src/store/row.rs). Numbers are bigint and
-- yes or no is 1 or 0, so that both databases read the same statements. collate "C": the order of bytes, whatever the
-- database's own is.

create table job (
    id              bigint primary key generated always as identity,
    next_seq        bigint not null,
    created_by      text   not null,
    created_at      bigint not null,
    finished_at     bigint,
    -- Of JobFinished; null while the status is the fold of the hosts.
    status          text,
    spec            text   not null,
    -- How often something was asked by processes that do not work on the job; null once a retry was asked for.
    asked           bigint not null default 0,
    cancel_asked_at bigint
);

create table host_task (
    id         text collate "C" primary key,
    job_id     bigint not null references job (id),
    host_index bigint not null,
    cloud      bigint not null,
    ip         text collate "C" not null,
    status     text   not null,
    epoch      bigint not null,
    -- 1 until the host task is terminal: as long as that the job holds the host.
    open       bigint not null check (open in (0, 1)),
    spec       text   not null,
    unique (job_id, host_index)
);

-- No host is ever in two unfinished jobs.
create unique index host_task_open on host_task (cloud, ip) where open = 1;
create index host_task_address on host_task (cloud, ip, job_id);
-- Statistics of a job without touching the specs.
create index host_task_status on host_task (job_id, status);

create table event (
    job_id     bigint not null references job (id),
    seq        bigint not null,
    -- Null for events of the job itself.
    host_index bigint,
    at         bigint not null,
    version    bigint not null,
    body       text   not null,
    primary key (job_id, seq)
);

create table output (
    -- Order in which pieces came, so that steps are listed in the order they began.
    id          bigint primary key generated always as identity,
    task_id     text collate "C" not null references host_task (id),
    step        text collate "C" not null,
    attempt     bigint not null,
    byte_offset bigint not null,
    data        bytea  not null,
    unique (task_id, step, attempt, byte_offset)
);

-- New output of one host after a cursor.
create index output_task on output (task_id, id);

create table credential (
    task_id     text collate "C" primary key references host_task (id),
    key_id      text collate "C" not null,
    nonce       bytea not null,
    sealed      bytea not null,
    -- Seconds from the terminal state; null is long term.
    retention_s bigint,
    -- Null only for long term credentials of host tasks that have ended.
    purge_at    bigint
);

create index credential_purge on credential (purge_at);
create index credential_key on credential (key_id);

-- Inventory. No reference to the job: the host outlives the record of how it came to be.
create table host (
    cloud         bigint not null,
    ip            text collate "C" not null,
    spec          text   not null,
    package       text   not null,
    version       text   not null,
    digest        text   not null,
    job_id        bigint not null,
    registered_at bigint not null,
    primary key (cloud, ip)
);

create table host_key (
    cloud     bigint not null,
    ip        text collate "C" not null,
    port      bigint not null,
    key       text   not null,
    pinned_at bigint not null,
    primary key (cloud, ip, port)
);

-- Who holds a job. By the time of the database alone: the clocks of executors may differ.
create table lease (
    job_id     bigint primary key,
    -- Of one hold: a process that holds the job again is another owner.
    owner      text   not null,
    pid        bigint not null,
    renewals   bigint not null,
    expires_at timestamptz not null
);

-- Marks of the latest transactions: whoever got no answer to a commit finds out here what became of it.
create table written (
    mark text primary key,
    at   timestamptz not null default now()
);
