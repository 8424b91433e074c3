//! How many write transactions a job costs: the real engine over the real records, with a fleet that is not there
//! (`tests/support/fake`), in real time and with the limits of a site that says nothing.
//!
//! `cargo bench --bench transactions [-- HOSTS...]`, 1,000 hosts unless told otherwise. Each record counts for itself, from
//! outside: SQLite's log has a mark for every commit, PostgreSQL numbers transactions that write. Beside that stands what the
//! journal counts of its own.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that goes wrong should stop where it does, and it is here to print"
)]

#[path = "../tests/support/asks.rs"]
mod asks;
#[path = "../tests/support/fake/mod.rs"]
mod fake;
#[path = "../tests/support/order.rs"]
mod order;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "../tests/support/transactions.rs"]
mod transactions;

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let hosts = if asked.is_empty() { vec![1_000] } else { asked };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<12} {:>6} {:>9} {:>9} {:>12} {:>10}", "record", "hosts", "counted", "journal", "per host", "seconds");
    for hosts in hosts {
        for record in transactions::Record::ALL {
            let cost = runtime.block_on(transactions::install(record, hosts));
            let per_host = cost.counted as f64 / hosts as f64;
            let (counted, journal, seconds) = (cost.counted, cost.journal, cost.took.as_secs_f64());
            println!("{:<12} {hosts:>6} {counted:>9} {journal:>9} {per_host:>12.3} {seconds:>10.1}", record.name());
        }
    }
}
