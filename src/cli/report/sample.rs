//! Values for the tests of this room.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::event::{Event, EventKind, HostRef};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::job::{JobKind, Statistics, Status};
use crate::domain::plan::{Plan, StepKind};
use crate::domain::site::Language;
use crate::service::view::{HostView, JobLine, JobMeta, JobView, Place};

pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

/// An event at the epoch; host 0 is 10.77.0.1.
pub(crate) fn event(index: Option<u32>, kind: EventKind) -> Event {
    let host = index.map(|index| HostRef { ip: [10, 77, 0, index as u8 + 1].into(), bk_cloud_id: 0 });
    Event { seq: Seq(1), at: at(0.0), job_id: JobId(1), host_index: index, host, kind }
}

pub(crate) fn failure(code: Code, step: StepKind) -> Failure {
    Failure::new(code, "it did not work").at(step)
}

pub(crate) fn plan() -> Plan {
    let paths = serde_json::json!({"setup_path": "/usr/local/gse", "data_path": "/d", "run_path": "/r", "log_path": "/l", "temp_path": "/t"});
    let installed = serde_json::json!({
        "name": "node-exporter", "version": "1.5.0", "role": "agent", "digest": "c15a0bb3dd2d", "release": "1.5.0-c15a0bb3dd2d",
        "start": "bin/node_exporter", "paths": paths, "health": {"tcp": "127.0.0.1:9100"},
    });
    let manifest = serde_json::json!({
        "name": "node-exporter", "version": "1.5.0", "role": "agent", "os": "linux", "cpu": "x86_64",
        "process": {"start": "bin/node_exporter"}, "health": {"tcp": "127.0.0.1:9100"},
    });
    serde_json::from_value(serde_json::json!({
        "version": 1, "steps": [], "state_dir": "/var/lib/landfall", "dialect": "posix", "privilege": "root",
        "digest_tool": "sha256sum", "paths": paths,
        "work": {
            "work": "install", "installed": installed,
            "package": {"sha256": "c15a0bb3dd2d", "size": 4_200_000, "unpacked": 9_000_000, "manifest": manifest},
            "payload": {"sha256": "c15a0bb3dd2d", "size": 4_200_000, "form": "gzip"},
        },
    }))
    .unwrap()
}

/// A job whose hosts, from 10.77.0.1 on, stand so.
pub(crate) fn job(statuses: &[Status]) -> JobView {
    let list: Vec<HostView> = statuses.iter().enumerate().map(|(index, status)| host(index as u8 + 1, *status)).collect();
    let status = Status::fold(statuses.iter().copied());
    let line = JobLine {
        id: JobId(1),
        job_type: JobKind::InstallAgent,
        job_type_display: "install agent".into(),
        status,
        statistics: Statistics::of(statuses.iter().copied()),
        created_by: "root".into(),
        start_time: at(0.0),
        end_time: Some(at(12.3)),
        cost_time: Some(12.3),
        bk_biz_scope: vec![2],
        bk_biz_scope_display: vec!["2".into()],
        meta: JobMeta::of(JobKind::InstallAgent, Language::En),
    };
    let (meta, total) = ((&line.meta).into(), list.len() as u64);
    JobView { job_id: JobId(1), line, meta, total, ip_filter_list: Vec::new(), list, held_by: None, audit: None }
}

fn host(last: u8, status: Status) -> HostView {
    let mut refused = failure(Code::ConnectionRefused, StepKind::Connect);
    refused.message = format!("10.77.0.{last}:22 refused the connection");
    HostView {
        instance_id: format!("host|instance|host|10.77.0.{last}-0-0"),
        job_id: JobId(1),
        op_type: "INSTALL",
        op_type_display: "install",
        ip: [10, 77, 0, last].into(),
        bk_cloud_id: 0,
        bk_host_id: None,
        bk_biz_id: 2,
        place: Place::default(),
        os_type: None,
        status,
        status_display: status.word().to_lowercase(),
        step: None,
        subject: None,
        node_id: -1,
        outcome: match status {
            Status::Success => Some("succeeded"),
            Status::Failed => Some("failed"),
            _ => None,
        },
        failure: (status == Status::Failed).then_some(refused),
        exclusion: (status == Status::Ignored).then(|| Exclusion::new(Exception::Duplicate, "hosts[0]")),
        attempts: 1,
        bytes_sent: if status == Status::Success { 4_200_000 } else { 0 },
        start_time: Some(at(0.0)),
        end_time: Some(at(3.4)),
        cost_time: Some(3.4),
        steps: Vec::new(),
        task: TaskId(uuid::Uuid::nil()),
    }
}
