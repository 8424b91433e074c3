-- Which key secrets are sealed under, for all processes over the record, and key pairs that callers seal with: as in the
-- SQLite record's migration 0008.

-- One row. The empty word until keys are changed for the first time: then every process seals under its key file's first.
create table sealing (
    id     bigint primary key check (id = 1),
    key_id text   collate "C" not null
);

insert into sealing (id, key_id) values (1, '');

create table key_pair (
    name    text collate "C" primary key,
    key_id  text collate "C" not null,
    nonce   bytea  not null,
    -- The private half; the public one follows from it.
    sealed  bytea  not null,
    made_at bigint not null
);
