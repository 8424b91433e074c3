//! A host list from a spreadsheet, carried out on real hosts.

use rust_xlsxwriter::Workbook;

use crate::landfall::{Landfall, Running};
use crate::package::Package;
use crate::target::holds;
use crate::world::World;

#[test]
fn a_list_of_hosts_is_installed_and_removed_again_as_a_job_file_would_be() {
    let world = World::up(&[("a", "password"), ("b", "key")]);
    let dir = tempfile::tempdir().unwrap();
    let landfall = Landfall::with(&Package::tiny("tiny").build(dir.path()).file);
    let (a, b) = (world.host("a"), world.host("b"));
    // Beside the list, so that the list may name them as they are.
    std::fs::write(dir.path().join("a.password"), a.password.as_deref().unwrap()).unwrap();
    std::fs::copy(&world.key_file, dir.path().join("id_ed25519")).unwrap();

    let header = ["inner_ip", "port", "account", "password_file", "key_file", "paths.setup_path", "# where"];
    let rows = [
        [&a.ip, "", &a.user, "a.password", "", "", "rack 1"],
        [&b.ip, "22", &b.user, "", "id_ed25519", "/opt/agents", "rack 2, below"],
    ];
    let csv = rows.map(|row| row.map(|cell| format!("\"{cell}\"")).join(";") + "\r\n").concat();
    let csv_file = dir.path().join("hosts.csv");
    std::fs::write(&csv_file, format!("\u{feff}{}\r\n{csv}", header.join(";"))).unwrap();
    let run = |file: &std::path::Path, kind: &str| {
        let file = file.display().to_string();
        let command = landfall.command(&["run", "--hosts", &file, "--kind", kind, "--biz", "2", "--ap", "1", "--output", "json"]);
        Running::spawn(command).report().succeeded()
    };

    let report = run(&csv_file, "INSTALL_AGENT");
    assert_eq!(
        (report.host(&a.ip)["status"].as_str(), report.host(&b.ip)["status"].as_str()),
        (Some("SUCCESS"), Some("SUCCESS"))
    );
    assert!(holds(&world, "a", "test -e /usr/local/gse/tiny/current"));
    assert!(holds(&world, "b", "test -e /opt/agents/tiny/current"));

    // The same hosts from a workbook, which needs no login any more: the record keeps it.
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write_column(0, 0, ["inner_ip", &a.ip, &b.ip]).unwrap();
    sheet.write_column(0, 1, ["paths.setup_path", "", "/opt/agents"]).unwrap();
    let book_file = dir.path().join("hosts.xlsx");
    book.save(&book_file).unwrap();
    run(&book_file, "UNINSTALL_AGENT");
    assert!(!holds(&world, "a", "test -e /usr/local/gse/tiny/current"));
    assert!(!holds(&world, "b", "test -e /opt/agents/tiny/current"));
}
