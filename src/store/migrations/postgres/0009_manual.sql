-- Hosts that a person installs: what the commands for them may do, and until when they are waited for; as in the SQLite
-- record's migration 0009.

-- 1: nobody logs in to the hosts of the job, so no executor claims them.
alter table job add column manual bigint not null default 0;

create table manual_host (
    task_id text   collate "C" primary key references host_task (id),
    -- While no script was fetched the host task ends then.
    until   bigint not null,
    -- SHA-256 of the token of the script that was fetched last, the claim that came with it, and when it was heard of last.
    run     text   collate "C",
    epoch   bigint,
    seen    bigint
);

-- One-time tokens. The digest only: whoever reads the record cannot use one.
create table manual_token (
    hash       text   collate "C" primary key,
    task_id    text   collate "C" not null references host_task (id),
    expires_at bigint not null,
    spent_at   bigint,
    revoked_at bigint
);

create index manual_token_task on manual_token (task_id);
create index manual_token_expiry on manual_token (expires_at);
