//! Host lists at the door of the built binary: what a spreadsheet becomes, and where its faults are. No host is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "support/desk.rs"]
mod desk;

use std::io::ErrorKind;
use std::net::TcpListener;

use desk::{Desk, Said};
use rust_xlsxwriter::Workbook;
use serde_json::{Value, json};

const HEADER: [&str; 6] = ["inner_ip", "port", "account", "password_file", "bt_speed_limit", "enable_compression"];

/// 200 hosts of this machine's loopback, all with sshd at `port`: rows 2 to 201.
fn table(port: u16) -> Vec<Vec<String>> {
    let hosts =
        (1..=200).map(|n| [format!("127.9.0.{n}"), port.to_string(), "root".into(), "secret".into(), "2".into(), "1".into()]);
    std::iter::once(HEADER.map(str::to_owned)).chain(hosts).map(Vec::from).collect()
}

fn csv(table: &[Vec<String>]) -> String {
    table.iter().map(|row| row.join(";") + "\r\n").collect()
}

/// As a spreadsheet program writes it: numbers are numbers.
fn xlsx(table: &[Vec<String>], desk: &Desk, name: &str) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    for (row, cells) in table.iter().enumerate() {
        for (column, text) in cells.iter().enumerate() {
            let (row, column) = (u32::try_from(row).unwrap(), u16::try_from(column).unwrap());
            match text.parse::<f64>() {
                Ok(number) => sheet.write(row, column, number).unwrap(),
                Err(_) => sheet.write(row, column, text).unwrap(),
            };
        }
    }
    book.save(desk.dir.path().join(name)).unwrap();
}

fn errors(envelope: &Value) -> Vec<(&str, &str)> {
    let errors = envelope["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["path"].as_str().unwrap(), error["message"].as_str().unwrap())).collect()
}

fn nothing_recorded(desk: &Desk) {
    let jobs = desk.landfall("job list --output json").exits(0);
    assert_eq!(serde_json::from_str::<Value>(&jobs.out).unwrap()["list"], json!([]), "{}", jobs.out);
}

#[test]
fn of_200_rows_three_broken_ones_are_named_with_their_columns_and_nobody_is_contacted() {
    let door = TcpListener::bind("0.0.0.0:0").unwrap();
    door.set_nonblocking(true).unwrap();
    let desk = Desk::new();
    desk.file("secret", "hunter2");
    let mut table = table(door.local_addr().unwrap().port());
    table[41][0] = "127.9.0.401".into();
    table[76][1] = "70000".into();
    table[199][3] = "nowhere".into();
    desk.file("hosts.csv", &csv(&table));
    xlsx(&table, &desk, "hosts.xlsx");
    for (command, file) in [("run", "hosts.csv"), ("run", "hosts.xlsx"), ("plan", "hosts.csv"), ("check", "hosts.xlsx")] {
        let run = format!("{command} --hosts {file} --kind INSTALL_AGENT --biz 2");
        let said = desk.landfall(&run).exits(2).complains(&[
            "error: the job is not valid: 3 fault(s)",
            &format!("{file} row 42, column inner_ip: `127.9.0.401` is not an IPv4 address"),
            &format!("{file} row 77, column port: 70000 must be between 1 and 65535"),
            &format!("{file} row 200, column password_file: cannot read ./nowhere: No such file"),
        ]);
        assert_eq!((said.out.as_str(), said.err.lines().count()), ("", 4), "{}", said.err);

        let envelope = desk.landfall(&format!("{run} --output json")).exits(2).last();
        assert_eq!((envelope["result"].as_bool(), envelope["code"].as_i64()), (Some(false), Some(3_800_001)), "{envelope}");
        let paths: Vec<&str> = errors(&envelope).iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, ["row 42, column inner_ip", "row 77, column port", "row 200, column password_file"]);
    }
    nothing_recorded(&desk);
    assert_eq!(door.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody was contacted");
}

#[test]
fn faults_of_the_table_and_of_its_hosts_are_told_together() {
    let desk = Desk::new();
    desk.file("hosts.csv", "inner_ip,prot,password\n10.0.0.1,22,a\n10.0.0.2,22\n10.0.0,22,c,d\n");
    let said = desk.landfall("run --hosts hosts.csv --kind INSTALL_AGENT").exits(2).complains(&[
        "hosts.csv row 1, column bk_biz_id: is required: there is no such column",
        "hosts.csv row 1, column prot: is no field of a host; did you mean `port`?",
        "hosts.csv row 3, column password: is required",
        "hosts.csv row 4, column inner_ip: `10.0.0` is not an IPv4 address",
        "hosts.csv row 4, column D: has a value, but row 1 names no such column",
        "hint: `--biz ID` names the business of all hosts",
    ]);
    assert!(said.err.contains("5 fault(s)"), "{}", said.err);
    assert!(!desk.dir.path().join("data").exists(), "a record was made for it");
}

#[test]
fn what_is_no_list_is_told_in_one_sentence_and_as_an_envelope() {
    let desk = Desk::new();
    desk.file("hosts.csv", "inner_ip\n").file("empty.xlsx", "PK\u{3}\u{4}");
    for (file, told) in [
        ("hosts.csv", "error: hosts.csv: names no host"),
        ("empty.xlsx", "error: empty.xlsx: cannot be read as .xlsx"),
        ("none.csv", "error: cannot read none.csv: No such file"),
    ] {
        let said = desk.landfall(&format!("run --hosts {file} --kind INSTALL_AGENT --biz 2 --output json")).exits(2);
        let said = said.complains(&[told]);
        assert_eq!(errors(&said.last())[0].0, "", "{}", said.out);
    }
}

#[test]
fn a_list_is_taken_as_a_job_file_with_the_same_hosts_would_be() {
    let desk = Desk::new();
    desk.file("hosts.csv", "inner_ip,password\n10.0.0.1,a\n10.0.0.2,b\n");
    desk.file("empty.csv", "inner_ip,password,bk_cloud_id\n10.0.0.1,a,2\n");
    // Both get as far as the package, which is not there, or their cloud.
    let run = |words: &str| -> Said { desk.landfall(&format!("run --hosts {words} --kind install_agent --biz 2")) };
    run("hosts.csv").exits(2).complains(&["package", "landfall package add"]);
    run("hosts.csv --package tiny@1.0").exits(2).complains(&["package", "tiny"]);
    run("empty.csv").exits(2).complains(&["empty.csv row 2, column bk_cloud_id: there is no cloud 2"]);
    run("hosts.csv --ap 7").exits(2).complains(&["hosts.csv ap_id: there is no access point 7"]);
    // A system that has no proxies is known.
    desk.file("site.toml", "[[cloud]]\nid = 2\n");
    desk.file(
        "aix.csv",
        "inner_ip,outer_ip,password,os_type,bk_cloud_id\n10.0.0.1,192.0.2.1,a,AIX,2\n10.0.0.2,192.0.2.2,b,AIX,2\n",
    );
    let said = desk.landfall("run --hosts aix.csv --kind RESTART_PROXY --biz 2 --site site.toml --output json").exits(3);
    let envelope = said.last();
    assert_eq!(envelope["data"]["ip_filter"].as_array().map(Vec::len), Some(2), "{envelope}");
}

#[test]
fn a_list_may_come_through_a_pipe() {
    use std::io::Write as _;
    let desk = Desk::new();
    let mut command = desk.command("run --hosts - --kind INSTALL_AGENT --biz 2");
    let mut child = command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"inner_ip,port,password\n10.0.0.1,0,x\n").unwrap();
    let output = child.wait_with_output().unwrap();
    Said::from(output).exits(2).complains(&["stdin row 2, column port: 0 must be between 1 and 65535"]);
}
