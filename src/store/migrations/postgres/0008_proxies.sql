-- Proxies: what a known host is, through which proxies it reaches its servers, and which proxies carry nobody any more.

alter table host add column role text collate "C" not null default 'agent';
-- Addresses of the proxies that an agent was configured with, a list in JSON.
alter table host add column upstream text collate "C" not null default '[]';
create index host_proxy on host (cloud) where role = 'proxy';

-- A proxy that was replaced. Also one that the site file still declares: the record wins, until a job installs it anew.
create table retired_proxy (
    cloud      bigint not null,
    ip         text collate "C" not null,
    job_id     bigint not null,
    retired_at bigint not null,
    primary key (cloud, ip)
);

-- A job that another one began: the agents of a zone are pointed at its new proxy by a job of their own.
alter table job add column parent_id bigint references job (id);
create index job_parent on job (parent_id) where parent_id is not null;

-- 1: it let us in. A login that never did must not stand in the place of one that does. Nothing is known of those from before.
alter table credential add column proved bigint not null default 0 check (proved in (0, 1));
update credential set proved = 1;
