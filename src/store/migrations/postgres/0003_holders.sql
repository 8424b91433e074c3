-- Several executors work on one job: who works on a host, and hosts that are to be cancelled apart from their job.

-- The hold under which it was claimed last.
alter table host_task add column holder text collate "C";
alter table host_task add column cancel_asked bigint not null default 0 check (cancel_asked in (0, 1));
-- 1: any executor may take the job up; 0: it waits for the person who began it.
alter table job add column served bigint not null default 0 check (served in (0, 1));
update job set served = 1 where spec::jsonb ->> 'served' = 'true';

create index job_unfinished on job (id) where finished_at is null;

-- A shared hold is one of many, any other the only one.
alter table lease add column shared bigint not null default 0 check (shared in (0, 1));
alter table lease drop constraint lease_pkey;
alter table lease add primary key (owner);
create index lease_job on lease (job_id);
