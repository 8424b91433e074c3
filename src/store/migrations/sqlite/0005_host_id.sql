-- The numbers of hosts (`bk_host_id`). They outlive the inventory's rows: a host that is installed again has its number again.

create table host_id (
    id    integer primary key,
    cloud integer not null,
    ip    text    not null,
    unique (cloud, ip)
) strict;

-- The next number that is given, in one row. It grows only, so that no number is given twice.
create table host_counter (
    one  integer primary key check (one = 1),
    next integer not null
) strict;

-- What the hosts have already. Of a number that several have, the one that was registered last keeps it.
insert into host_id (id, cloud, ip)
select number, cloud, ip from (
    select spec ->> '$.bk_host_id' as number, cloud, ip,
           row_number() over (partition by spec ->> '$.bk_host_id' order by registered_at desc, cloud, ip) as place
    from host where spec ->> '$.bk_host_id' between 1 and 9007199254740991)
where place = 1;
insert into host_counter (one, next) select 1, coalesce(max(id), 0) + 1 from host_id;
insert into host_id (id, cloud, ip)
select (select next from host_counter) + row_number() over (order by registered_at, cloud, ip) - 1, cloud, ip
from host h where not exists (select 1 from host_id n where n.cloud = h.cloud and n.ip = h.ip);
update host_counter set next = (select coalesce(max(id), 0) + 1 from host_id);
update host set spec = json_set(spec, '$.bk_host_id',
    (select n.id from host_id n where n.cloud = host.cloud and n.ip = host.ip));

-- Looked up in host_id from now on.
drop index host_number;

-- CPU of the installed package; empty where the package is for any.
alter table host add column cpu text not null default '';
