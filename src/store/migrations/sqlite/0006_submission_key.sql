-- Submissions that came with a key (`Idempotency-Key`): one that comes again within its time is answered with the first job.

create table submission_key (
    app         text    not null,
    key         text    not null,
    -- An HMAC of what was asked for: bodies hold passwords, which a bare digest would give away.
    fingerprint text    not null,
    -- Null only as long as the transaction that records the job.
    job_id      integer references job (id),
    -- What was answered beside the job.
    answer      text    not null,
    expires_at  integer not null,
    primary key (app, key)
) strict, without rowid;

create index submission_key_expiry on submission_key (expires_at);
