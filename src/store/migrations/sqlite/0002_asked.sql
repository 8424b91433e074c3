-- What is asked of a job by processes that do not work on it. The one that does looks at these two columns.

alter table job add column asked integer not null default 0;
-- Null once a retry was asked for.
alter table job add column cancel_asked_at integer;
