-- Submissions that came with a key (`Idempotency-Key`), as in the SQLite record's migration 0006.

create table submission_key (
    app         text collate "C" not null,
    key         text collate "C" not null,
    -- An HMAC of what was asked for: bodies hold passwords, which a bare digest would give away.
    fingerprint text   not null,
    -- Null only as long as the transaction that records the job.
    job_id      bigint references job (id),
    -- What was answered beside the job.
    answer      text   not null,
    expires_at  bigint not null,
    primary key (app, key)
);

create index submission_key_expiry on submission_key (expires_at);
