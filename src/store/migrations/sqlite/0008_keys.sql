-- Which key secrets are sealed under, for all processes over the record, and key pairs that callers seal with.

-- One row. The empty word until keys are changed for the first time: then every process seals under its key file's first.
create table sealing (
    id     integer primary key not null check (id = 1),
    key_id text    not null
) strict;

insert into sealing (id, key_id) values (1, '');

create table key_pair (
    name    text primary key not null,
    key_id  text    not null,
    nonce   blob    not null,
    -- The private half; the public one follows from it.
    sealed  blob    not null,
    made_at integer not null
) strict;
