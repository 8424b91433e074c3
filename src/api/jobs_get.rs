//! `job_list/`, `details/` and `log/`: what the record shows, a page at a time.

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, fault};
use super::call::Call;
use super::params::{self, both, items, list as list_of};
use crate::domain::id::JobId;
use crate::domain::job::JobKind;
use crate::domain::site::Language;
use crate::service::details::{Counted, JobFilter, JobOrder, TaskFilter, TaskName, instance};
use crate::service::request::Fields;
use crate::service::view::JobMeta;

/// Bytes of a tail when the caller does not say, and at most.
const TAIL: usize = 1 << 20;
const LONGEST_TAIL: usize = 4 << 20;

pub(super) async fn list(call: Call) -> Answer {
    Answer::of(list_page(&call).await, call.language)
}

async fn list_page(call: &Call) -> Result<Value, Refusal> {
    let (mut filter, order, page) =
        params::read(&call.body, |fields| (job_filter(fields), job_order(fields), params::page(fields)))?;
    filter.within = call.businesses();
    Ok(json!(call.door.service.job_page(&filter, order, page, call.language).await?))
}

fn job_filter(fields: &mut Fields<'_>) -> JobFilter {
    let kind = |value: &Value| JobKind::from_wire(value.as_str()?);
    let (kinds, steps) = (list_of(fields, "job_type", "a job type", kind), list_of(fields, "step_type", "text", params::text));
    let operations = list_of(fields, "op_type", "text", params::text);
    let meant = |kind: &JobKind| {
        let meta = JobMeta::of(*kind, Language::En);
        kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
            && steps.as_ref().is_none_or(|steps| steps.contains(&meta.step_type))
            && operations.as_ref().is_none_or(|operations| operations.iter().any(|word| word == meta.op_type))
    };
    let any = kinds.is_some() || steps.is_some() || operations.is_some();
    JobFilter {
        ids: list_of(fields, "job_id", "a number", |value| params::number(value).map(JobId)),
        statuses: list_of(fields, "status", "one of the published statuses", params::status),
        created_by: list_of(fields, "created_by", "text", params::text),
        businesses: list_of(fields, "bk_biz_id", "a number", params::number),
        within: None,
        ips: list_of(fields, "inner_ip_list", "an IP address", params::ip),
        kinds: any.then(|| JobKind::ALL.into_iter().filter(meant).collect()),
        from: params::moment(fields, "start_time"),
        until: params::moment(fields, "end_time"),
    }
}

fn job_order(fields: &mut Fields<'_>) -> JobOrder {
    let Some(mut sort) = fields.child("sort") else { return JobOrder::Newest };
    let counted = match sort.text("head").as_deref() {
        Some("total_count") => None,
        Some("failed_count") => Some(Counted::Failed),
        Some("success_count") => Some(Counted::Succeeded),
        _ => {
            sort.fault("head", "must be total_count, failed_count or success_count");
            None
        }
    };
    let ascending = match sort.text("sort_type").as_deref() {
        Some("ASC") => true,
        Some("DEC" | "DESC") => false,
        _ => {
            sort.fault("sort_type", "must be ASC or DEC");
            false
        }
    };
    JobOrder::Hosts { counted, ascending }
}

pub(super) async fn details(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(details_page(&id, &call).await, call.language)
}

async fn details_page(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job(id).await?;
    let (filter, page) = params::read(&call.body, |fields| (conditions(fields), params::page(fields)))?;
    Ok(json!(call.door.service.details(id, &filter, page, call.language).await?))
}

/// `conditions: [{key, value}]`: all of them hold.
fn conditions(fields: &mut Fields<'_>) -> TaskFilter {
    let mut filter = TaskFilter::default();
    let Some(value) = fields.value("conditions") else { return filter };
    let Some(conditions) = value.as_array() else {
        fields.fault("conditions", "must be an array of {key, value}");
        return filter;
    };
    for (index, condition) in conditions.iter().enumerate() {
        let value = condition.get("value").unwrap_or(&Value::Null);
        let faulty = match condition.get("key").and_then(Value::as_str) {
            Some("ip") => both(&mut filter.ips, items(value, params::ip)),
            Some("status") => both(&mut filter.statuses, items(value, params::status)),
            // A name that is none names nobody: it is no fault, as a number that no host has is none.
            Some("instance_id") => both(&mut filter.named, names(value)),
            Some("exclude_instance_ids") => {
                let (names, faulty) = names(value);
                filter.excluded.extend(names);
                faulty
            }
            _ => {
                let known = "must be ip, instance_id, status or exclude_instance_ids";
                fields.fault(&format!("conditions[{index}].key"), known);
                Vec::new()
            }
        };
        for place in faulty {
            fields.fault(&format!("conditions[{index}].value[{place}]"), "is not understood");
        }
    }
    filter
}

fn names(value: &Value) -> (Vec<TaskName>, Vec<usize>) {
    let (texts, faulty) = items(value, params::text);
    (texts.iter().filter_map(|text| instance(text)).collect(), faulty)
}

/// The query of a path, by name.
type Words = Result<Query<HashMap<String, String>>, QueryRejection>;

pub(super) async fn log(Path(id): Path<String>, words: Words, call: Call) -> Answer {
    Answer::of(log_of(&id, words, &call).await, call.language)
}

async fn log_of(id: &str, words: Words, call: &Call) -> Result<Value, Refusal> {
    let id = call.job(id).await?;
    let Query(words) = words.map_err(|error| fault("", error.to_string()))?;
    let (name, offset, limit) = params::read(&json!(words), |fields| {
        let name = params::instance_id(fields);
        let offset = fields.integer("offset");
        if offset.is_some_and(|offset| offset < 0) {
            fields.fault("offset", "must be at least 0");
        }
        (name, offset, fields.count("limit"))
    })?;
    let service = &call.door.service;
    if offset.is_none() && limit.is_none() {
        return Ok(json!(service.host_log(id, &name).await?));
    }
    let limit = limit.map_or(TAIL, |limit| (limit as usize).min(LONGEST_TAIL));
    Ok(json!(service.host_tail(id, &name, (offset.unwrap_or(0), limit)).await?))
}
