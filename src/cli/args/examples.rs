//! The examples and tables below the help texts: what a person copies.
//!
//! To add a command: its constant here, named in its variant of [`super::Command`].

use crate::config;

pub(super) fn top_examples() -> String {
    format!(
        "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz
  landfall run job.json
  landfall run job.json --output json | jq .kind
  landfall job resume 12

Exit codes:
  0    every host of the request ended SUCCESS
  1    some host did not, an ignored one included
  2    wrong usage or an invalid job; an unknown job, or one that another process works on
  3    no host was accepted
  4    internal, or the job record failed
  130  interrupted: go on with `landfall job resume ID`

Environment:
  {}, {}, {}: see the options of the same names
  {}: file with the key of sealed credentials [default: DIR/key]",
        config::DATA_DIR,
        config::SITE,
        config::DATABASE_URL,
        config::KEY_FILE
    )
}

pub(super) const RUN: &str = "\
Examples:
  landfall run job.json
  landfall run job.json --ask-password
  landfall run job.json --output json > events.jsonl
  generate-job | landfall run -
  landfall run --hosts hosts.csv --kind INSTALL_AGENT --biz 2

Example of a job:
  {\"job_type\": \"INSTALL_AGENT\", \"hosts\": [
    {\"bk_biz_id\": 2, \"bk_cloud_id\": 0, \"ap_id\": 1, \"inner_ip\": \"10.0.0.5\", \"os_type\": \"LINUX\",
     \"account\": \"root\", \"port\": 22, \"auth_type\": \"PASSWORD\", \"password\": {\"env\": \"ROOT_PASSWORD\"}}]}

`password`, `key` and the other secrets may be text, {\"env\": \"NAME\"} or {\"file\": \"PATH\"} (relative to the job file). \
Ctrl-C once: no new host begins and running steps finish; twice: let go at once. Either way the job can be resumed.";

pub(super) const PLAN: &str = "\
Examples:
  landfall plan job.json
  landfall plan job.json --output json | jq '.list[].steps[].step'
  landfall plan --hosts hosts.csv --kind INSTALL_AGENT --biz 2

Exit code 1 when a host would be ignored, or a template of its package cannot be filled.";

pub(super) const MANUAL: &str = "\
Examples:
  landfall manual job.json
  landfall manual job.json --url https://landfall.example:8420
  landfall manual --hosts hosts.csv --kind INSTALL_AGENT --output json | jq -r '.list[].command'

Nobody logs in: whoever has a shell of the host runs the command there, as root, once, within 24 hours. It fetches what it needs from \
`landfall serve`, which must run over the same record, and the record fills as it does over SSH. More commands, or taking them back: \
`landfall job commands ID`.";

pub(super) const JOB_COMMANDS: &str = "\
Examples:
  landfall job commands 12
  landfall job commands 12 10.0.0.11 --url https://landfall.example:8420
  landfall job commands 12 --revoke

Each call makes new commands; those before stay good until they are used, taken back, or over.";

pub(super) const CHECK: &str = "\
Examples:
  landfall check job.json
  landfall check job.json --output json | jq 'select(.ready == false)'
  landfall check --hosts hosts.csv --kind INSTALL_AGENT --biz 2

Each login is offered once. JSON: one line a host as it is done, then all of them. Exit code 0 when every host is ready.";

pub(super) const SERVE: &str = "\
Examples:
  landfall serve
  landfall serve --listen 127.0.0.1:9000
  landfall serve --database-url postgres://landfall@db/landfall --api-only
  landfall serve --database-url postgres://landfall@db/landfall --executor-only
  landfall serve --database-url postgres://landfall@db/landfall --executor-only --clouds 2,5
  landfall serve --output json > address.json

  curl -s http://127.0.0.1:8420/api/job/install/ -d @job.json
  curl -s http://127.0.0.1:8420/api/job/12/details/ -d '{}'
  curl -sN http://127.0.0.1:8420/api/job/12/events/

The API and the executor are one process, or any number of each over one PostgreSQL: executors share the hosts of a job, and \
what a killed one had is taken over by the others within `limits.lease_s`. SIGTERM or Ctrl-C once: no new host begins and \
running steps finish; twice: let go at once. Unfinished jobs that came in by HTTP go on at the next start; jobs of `run` are \
left to `landfall job resume`. Beyond loopback the site file must declare who may call ([[app]]) and TLS ([api]). \
Exit code 0 after a stop.";

pub(super) const JOB: &str = "\
Examples:
  landfall job list
  landfall job show 12
  landfall job log 12 10.0.0.5 --follow
  landfall job resume 12
  landfall job retry 12
  landfall job cancel 12";

pub(super) const JOB_LIST: &str = "\
Examples:
  landfall job list
  landfall job list --limit 200 --output json";

pub(super) const JOB_SHOW: &str = "\
Examples:
  landfall job show 12
  landfall job show 12 --host 10.0.0.5
  landfall job show 12 --output json | jq '.list[] | select(.status == \"FAILED\") | .ip'";

pub(super) const JOB_LOG: &str = "\
Examples:
  landfall job log 12
  landfall job log 12 10.0.0.5
  landfall job log 12 10.0.0.5 --output json
  landfall job log 12 10.0.0.5 --follow
  landfall job log 12 10.0.0.5 --from-target

`--from-target` logs in with the login that is kept. Exit code 1 when the host does not give its log.";

pub(super) const JOB_WATCH: &str = "\
Examples:
  landfall job watch 12
  landfall job watch 12 --output json | jq .kind

Exit codes are those of `run`.";

pub(super) const JOB_RETRY: &str = "\
Examples:
  landfall job retry 12
  landfall job retry 12 10.0.0.5 10.0.0.6
  landfall job retry 12 --credentials passwords.csv
  landfall job retry 12 --from-start

Each host begins at its first step that is not known to be done. A login names its host by bk_cloud_id and inner_ip (or by \
bk_host_id), and brings any of account, port, auth_type, password, second_password, key, certificate, passphrase, \
sudo_password; secrets may be named as in a job file and in a host list. What it leaves out stays as it was. A process that \
works on the job takes the hosts up; without one this process does. Exit codes are those of `run`.";

pub(super) const JOB_CANCEL: &str = "\
Examples:
  landfall job cancel 12

Hosts that ended keep their result. What runs on the others is ended there, and they become TERMINATED; \
`landfall job retry 12` goes on with them. Exit code 0 once the job has ended.";

pub(super) const JOB_RESUME: &str = "\
Examples:
  landfall job resume 12
  landfall job resume 12 --output json
  landfall job resume 12 --credentials passwords.csv

Unfinished hosts keep their logins for 7 days. `--credentials` gives those new ones that have none any more, in the form of \
`landfall job retry`.";

pub(super) const KEY: &str = "\
Examples:
  landfall key rotate
  landfall key purge";

pub(super) const KEY_ROTATE: &str = "\
Examples:
  landfall key rotate
  landfall key rotate --output json
  landfall key rotate --prepare

The key file has the old and the new key until everything is sealed anew, then the new one alone. Broken off at any moment, \
the next call goes on. A running `landfall serve` goes on, too: it reads the key file again when it has to. Where several \
machines share the record, `--prepare` first, copy the key file to each, then rotate on one and copy once more. \
JSON: how far it is, a line a step; the last line is the result.";

pub(super) const KEY_PURGE: &str = "\
Examples:
  landfall key purge
  landfall key purge --at 2026-12-01T00:00:00Z

Every command and a running `landfall serve` do the same by themselves; this is for the impatient.";

pub(super) const PACKAGE: &str = "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz
  landfall package list
  landfall package verify";

pub(super) const PACKAGE_ADD: &str = "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz";

pub(super) const PACKAGE_LIST: &str = "\
Examples:
  landfall package list
  landfall package list --output json";

pub(super) const PACKAGE_VERIFY: &str = "\
Examples:
  landfall package verify

Exit code 1 when a package is damaged.";

pub(super) const HOSTKEY_LIST: &str = "\
Examples:
  landfall hostkey list
  landfall hostkey list --output json | jq -r '.[] | .ip + \" \" + .fingerprint'";

pub(super) const HOSTKEY: &str = "\
Examples:
  landfall hostkey list
  landfall hostkey forget 10.0.0.11
  landfall hostkey forget 10.0.0.11 --port 2222

The next job pins the key that the host shows then. Make sure that it is the host's own.";

pub(super) const SITE: &str = "\
Examples:
  landfall site check
  landfall site hash-secret
  landfall --site ./site.toml site check";

pub(super) const SITE_CHECK: &str = "\
Examples:
  landfall site check
  landfall site check --site ./site.toml

Exit code 2 when the file is wrong; every fault is named with its place.";

pub(super) const SITE_HASH_SECRET: &str = "\
Examples:
  landfall site hash-secret
  openssl rand -base64 24 | tee esb_test.secret | landfall site hash-secret

The line it prints belongs into the site file, and the secret to whoever calls:
  [[app]]
  code = \"esb_test\"
  secret_hash = \"$argon2id$v=19$...\"
  businesses = [2]
  kinds = \"*\"

At a terminal the secret is asked for twice, without echo; else stdin's first line is it.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  landfall completions bash > /etc/bash_completion.d/landfall
  landfall completions zsh > ~/.zfunc/_landfall";

pub(super) const MAN: &str = "\
Examples:
  landfall man /usr/local/share/man/man1
  landfall man ./man && man ./man/landfall-run.1";
