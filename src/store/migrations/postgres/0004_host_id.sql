-- The numbers of hosts (`bk_host_id`), as in the SQLite record's migration 0005.

create table host_id (
    id    bigint primary key,
    cloud bigint not null,
    ip    text collate "C" not null,
    unique (cloud, ip)
);

-- The next number that is given, in one row. It grows only, so that no number is given twice. Whoever gives numbers locks it.
create table host_counter (
    one  bigint primary key check (one = 1),
    next bigint not null
);

-- What the hosts have already. Of a number that several have, the one that was registered last keeps it.
insert into host_id (id, cloud, ip)
select number, cloud, ip from (
    select number, cloud, ip, row_number() over (partition by number order by registered_at desc, cloud, ip) as place
    from (select (spec::jsonb ->> 'bk_host_id')::bigint as number, cloud, ip, registered_at from host) numbered
    where number between 1 and 9007199254740991) placed
where place = 1;
insert into host_counter (one, next) select 1, coalesce(max(id), 0) + 1 from host_id;
insert into host_id (id, cloud, ip)
select (select next from host_counter) + row_number() over (order by registered_at, cloud, ip) - 1, cloud, ip
from host h where not exists (select 1 from host_id n where n.cloud = h.cloud and n.ip = h.ip);
update host_counter set next = (select coalesce(max(id), 0) + 1 from host_id);
update host set spec = jsonb_set(spec::jsonb, '{bk_host_id}', to_jsonb(n.id))::text
from host_id n where n.cloud = host.cloud and n.ip = host.ip;

-- Looked up in host_id from now on.
drop index host_number;

-- CPU of the installed package; empty where the package is for any.
alter table host add column cpu text not null default '';
