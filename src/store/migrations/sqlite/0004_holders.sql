-- Who works on a host, and hosts that are to be cancelled apart from their job.

-- The hold under which it was claimed last.
alter table host_task add column holder text;
alter table host_task add column cancel_asked integer not null default 0;
-- 1: any executor may take the job up; 0: it waits for the person who began it.
alter table job add column served integer not null default 0;
update job set served = 1 where spec ->> '$.served';

create index job_unfinished on job (id) where finished_at is null;
