//! The table: what becomes of a host whose way breaks, once, at every ask that changes it.

use landfall::domain::failure::Failure;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;

use crate::cells::Cell;
use crate::host::Found;
use crate::package::hex;
use crate::stage::{Stage, Told};

/// Step, ask, moment and fault of each cell; then how the host ended, the code of the attempt that failed at that step, what
/// the record says of the step at last, in which attempt of it, and how many runs the host has started. A connection that is
/// gone before an ask has begun is had anew without being an attempt, unless it was the first ask.
const TABLE: &str = "
connect        connect asked   stall         | succeeded | connect_timeout   | done    | 2 | 1
connect        connect halfway stall         | succeeded | connect_timeout   | done    | 2 | 1
probe          probe   asked   stall         | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   stall         | succeeded | connection_lost   | done    | 2 | 1
upload_package put     halfway stall         | succeeded | transfer_stalled  | done    | 2 | 1
upload_package put     done    stall         | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   stall         | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  halfway stall         | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    stall         | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   stall         | succeeded | connection_lost   | done    | 1 | 1
run_script     start   halfway stall         | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    stall         | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   stall         | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  done    stall         | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   stall         | succeeded | connection_lost   | done    | 2 | 1
verify         health  asked   stall         | succeeded | connection_lost   | done    | 2 | 1
cleanup        cleanup asked   stall         | succeeded | connection_lost   | done    | 2 | 1
cleanup        cleanup done    stall         | succeeded | connection_lost   | done    | 2 | 1
upload_package put     halfway late          | succeeded | transfer_stalled  | done    | 2 | 1
upload_files   bundle  halfway late          | succeeded | connection_lost   | done    | 2 | 1
run_script     start   halfway late          | succeeded | connection_lost   | done    | 1 | 1
connect        connect asked   cut           | succeeded | connection_closed | done    | 2 | 1
connect        connect halfway cut           | succeeded | connection_closed | done    | 2 | 1
probe          probe   asked   cut           | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   cut           | succeeded | -                 | done    | 1 | 1
upload_package put     halfway cut           | succeeded | connection_lost   | done    | 2 | 1
upload_package put     done    cut           | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   cut           | succeeded | -                 | done    | 1 | 1
upload_files   bundle  halfway cut           | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    cut           | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   cut           | succeeded | -                 | done    | 1 | 1
run_script     start   halfway cut           | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    cut           | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   cut           | succeeded | -                 | done    | 1 | 1
run_script     follow  done    cut           | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   cut           | succeeded | -                 | done    | 1 | 1
verify         health  asked   cut           | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   cut           | succeeded | -                 | done    | 1 | 1
cleanup        cleanup done    cut           | succeeded | connection_lost   | done    | 2 | 1
connect        connect asked   fin_to_client | succeeded | connection_closed | done    | 2 | 1
connect        connect halfway fin_to_client | succeeded | connection_closed | done    | 2 | 1
probe          probe   asked   fin_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   fin_to_client | succeeded | -                 | done    | 1 | 1
upload_package put     halfway fin_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_package put     done    fin_to_client | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   fin_to_client | succeeded | -                 | done    | 1 | 1
upload_files   bundle  halfway fin_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    fin_to_client | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   fin_to_client | succeeded | -                 | done    | 1 | 1
run_script     start   halfway fin_to_client | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    fin_to_client | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   fin_to_client | succeeded | -                 | done    | 1 | 1
run_script     follow  done    fin_to_client | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   fin_to_client | succeeded | -                 | done    | 1 | 1
verify         health  asked   fin_to_client | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   fin_to_client | succeeded | -                 | done    | 1 | 1
cleanup        cleanup done    fin_to_client | succeeded | connection_lost   | done    | 2 | 1
connect        connect asked   fin_to_server | succeeded | connection_closed | done    | 2 | 1
connect        connect halfway fin_to_server | succeeded | connection_closed | done    | 2 | 1
probe          probe   asked   fin_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   fin_to_server | succeeded | -                 | done    | 1 | 1
upload_package put     halfway fin_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_package put     done    fin_to_server | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   fin_to_server | succeeded | -                 | done    | 1 | 1
upload_files   bundle  halfway fin_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    fin_to_server | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   fin_to_server | succeeded | -                 | done    | 1 | 1
run_script     start   halfway fin_to_server | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    fin_to_server | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   fin_to_server | succeeded | -                 | done    | 1 | 1
run_script     follow  done    fin_to_server | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   fin_to_server | succeeded | -                 | done    | 1 | 1
verify         health  asked   fin_to_server | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   fin_to_server | succeeded | -                 | done    | 1 | 1
cleanup        cleanup done    fin_to_server | succeeded | connection_lost   | done    | 2 | 1
connect        connect halfway bit_to_client | succeeded | handshake_garbled | done    | 2 | 1
probe          probe   asked   bit_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   bit_to_client | succeeded | -                 | done    | 1 | 1
upload_package put     halfway bit_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_package put     done    bit_to_client | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   bit_to_client | succeeded | -                 | done    | 1 | 1
upload_files   bundle  halfway bit_to_client | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    bit_to_client | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   bit_to_client | succeeded | -                 | done    | 1 | 1
run_script     start   halfway bit_to_client | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    bit_to_client | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   bit_to_client | succeeded | -                 | done    | 1 | 1
run_script     follow  done    bit_to_client | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   bit_to_client | succeeded | -                 | done    | 1 | 1
verify         health  asked   bit_to_client | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   bit_to_client | succeeded | -                 | done    | 1 | 1
cleanup        cleanup done    bit_to_client | succeeded | connection_lost   | done    | 2 | 1
connect        connect asked   bit_to_server | succeeded | handshake_garbled | done    | 2 | 1
connect        connect halfway bit_to_server | succeeded | handshake_garbled | done    | 2 | 1
probe          probe   asked   bit_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_package put     asked   bit_to_server | succeeded | -                 | done    | 1 | 1
upload_package put     halfway bit_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_package put     done    bit_to_server | succeeded | connection_lost   | skipped | 2 | 1
upload_files   bundle  asked   bit_to_server | succeeded | -                 | done    | 1 | 1
upload_files   bundle  halfway bit_to_server | succeeded | connection_lost   | done    | 2 | 1
upload_files   bundle  done    bit_to_server | succeeded | connection_lost   | done    | 2 | 1
run_script     start   asked   bit_to_server | succeeded | -                 | done    | 1 | 1
run_script     start   halfway bit_to_server | succeeded | connection_lost   | done    | 1 | 1
run_script     start   done    bit_to_server | succeeded | connection_lost   | done    | 1 | 1
run_script     follow  asked   bit_to_server | succeeded | -                 | done    | 1 | 1
run_script     follow  done    bit_to_server | succeeded | connection_lost   | done    | 1 | 1
verify         status  asked   bit_to_server | succeeded | -                 | done    | 1 | 1
verify         health  asked   bit_to_server | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   bit_to_server | succeeded | -                 | done    | 1 | 1
cleanup        cleanup done    bit_to_server | succeeded | connection_lost   | done    | 2 | 1
connect        connect asked   delay         | succeeded | -                 | done    | 1 | 1
probe          probe   asked   delay         | succeeded | -                 | done    | 1 | 1
upload_package put     asked   delay         | succeeded | -                 | done    | 1 | 1
upload_files   bundle  asked   delay         | succeeded | -                 | done    | 1 | 1
run_script     start   asked   delay         | succeeded | -                 | done    | 1 | 1
run_script     follow  asked   delay         | succeeded | -                 | done    | 1 | 1
verify         status  asked   delay         | succeeded | -                 | done    | 1 | 1
verify         health  asked   delay         | succeeded | -                 | done    | 1 | 1
cleanup        cleanup asked   delay         | succeeded | -                 | done    | 1 | 1
";

/// A line of the table, as it went.
fn line(cell: &Cell, told: &Told, found: &Found) -> String {
    let outcome = told.record.outcome().map_or("none", Outcome::word);
    let codes: Vec<String> = told.failed.iter().map(|failure| code_of(cell, failure)).collect();
    let step = told.record.step(cell.step).expect("the step");
    let result = match &step.outcome {
        None => "no result".to_owned(),
        Some(StepOutcome::Done { .. }) => "done".to_owned(),
        Some(StepOutcome::Warned { message }) => format!("warned: {message}"),
        Some(StepOutcome::Skipped { .. }) => "skipped".to_owned(),
        Some(StepOutcome::Failed { failure }) => format!("failed: {failure}"),
    };
    let codes = if codes.is_empty() { "-".to_owned() } else { codes.join(",") };
    format!(
        "{:<14} {:<7} {:<7} {:<13} | {outcome:<9} | {codes:<17} | {result:<7} | {} | {}",
        cell.step.word(),
        format!("{:?}", cell.ask).to_lowercase(),
        format!("{:?}", cell.moment).to_lowercase(),
        cell.fault.to_string(),
        step.attempts,
        found.runs().len(),
    )
}

/// The code; with its step where that is another one than the cell's.
fn code_of(cell: &Cell, failure: &Failure) -> String {
    match failure.step {
        Some(step) if step != cell.step => format!("{step}:{}", failure.code),
        _ => failure.code.to_string(),
    }
}

/// Lines that are not as the table has them, with what the record says of their failures.
fn differences(lines: &[String], told: &[Told]) -> Vec<String> {
    let expected: Vec<&str> = TABLE.trim().lines().collect();
    let rows = lines.len().max(expected.len());
    let differ = (0..rows).filter(|row| lines.get(*row).map(String::as_str) != expected.get(*row).copied());
    let tell = |row: usize| {
        let failed = told.get(row).map(|told| told.failed.iter().map(Failure::to_string).collect::<Vec<_>>());
        format!("table {:?}\n  was {:?}\n      {failed:?}", expected.get(row), lines.get(row))
    };
    differ.map(tell).collect()
}

#[test]
fn every_fault_at_every_step_on_a_host_ends_with_its_agent_and_one_run() {
    // A host per cell: its sessions, their tasks and the proxies share what threads there are.
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(story());
}

async fn story() {
    let cells = Cell::all();
    let begun = std::time::Instant::now();
    let stage = Stage::of(&cells).await;
    eprintln!("{} hosts up after {:.1?}", cells.len(), begun.elapsed());
    let (job, found) = stage.run().await;
    eprintln!("the job ended after {:.1?}", begun.elapsed());
    let told = stage.told(job).await;

    let mut lines = Vec::new();
    let mut faults = Vec::new();
    for ((rig, told), found) in stage.rigs.iter().zip(&told).zip(&found) {
        let line = line(&rig.cell, told, found);
        let mut wrong = found.faults(&stage.archive);
        if rig.proxy.struck() != 1 {
            wrong.push(format!("the fault struck {} times", rig.proxy.struck()));
        }
        let run = told.record.step(StepKind::RunScript).and_then(|step| step.run_id.as_ref());
        if found.runs() != [run.map_or("none", |run| run.as_str())] {
            wrong.push(format!("the host has run {:?}, the record {run:?}", found.runs()));
        }
        if hex(&told.output) != found.get("log") {
            wrong.push(format!("the record has other output than the host: {}", String::from_utf8_lossy(&told.output)));
        }
        faults.extend(wrong.into_iter().map(|wrong| format!("{line}: {wrong}")));
        lines.push(line);
    }
    faults.extend(differences(&lines, &told));
    assert!(faults.is_empty(), "the table, as it went:\n{}\n{}", lines.join("\n"), faults.join("\n"));
}
