-- What pages of a list need to cost the page only, as in the SQLite record's migration 0003.

-- The journal of a few hosts of a large job.
create index event_host on event (job_id, host_index) where host_index is not null;
-- Jobs that have a host at an address, whatever its cloud.
create index host_task_ip on host_task (ip, job_id);
-- Hosts by the number that the caller knows them by.
create index host_number on host ((spec::jsonb ->> 'bk_host_id')) where spec::jsonb ->> 'bk_host_id' is not null;
