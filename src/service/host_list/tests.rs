//! Lists as people make them, and what each mistake in them is answered with.

use super::*;
use crate::domain::site::Site;
use crate::service::request::{SecretSources, parse};

fn given() -> Given {
    Given { kind: JobKind::InstallAgent, business: Some(2), access_point: None, package: PackageChoice::default(), sheet: None }
}

fn list(text: &str) -> HostList {
    read(text.as_bytes(), &given()).unwrap()
}

/// All faults of a list, with what the request says of it.
fn faults(text: &str) -> Vec<String> {
    faults_of(&list(text))
}

fn faults_of(list: &HostList) -> Vec<String> {
    let sources = SecretSources { references: true, ..SecretSources::default() };
    let found = parse(&list.body, &Site::default(), &sources).err().unwrap_or_default();
    list.places.faults(&list.body, found).iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
}

#[test]
fn a_list_becomes_the_body_that_a_job_file_would_be() {
    let list = list(
        "inner_ip,port,account,password_file,key_env,paths.setup_path,vars.port,vars.tag,# rack,enable_compression\n\
         10.0.0.1,22,root,secrets/a,,,9100,007,r1,TRUE\n\
         10.0.0.2,,,,DEPLOY_KEY,/opt/agents,,true,r2,0\n",
    );
    let host = |index: usize| &list.body["hosts"][index];
    assert_eq!(list.body["job_type"], "INSTALL_AGENT");
    assert_eq!(
        *host(0),
        json!({"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "10.0.0.1", "port": "22", "account": "root",
            "password": {"file": "secrets/a"}, "vars": {"port": 9100, "tag": "007"}, "enable_compression": "TRUE"})
    );
    assert_eq!(
        *host(1),
        json!({"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "10.0.0.2", "auth_type": "KEY", "key": {"env": "DEPLOY_KEY"},
            "paths": {"setup_path": "/opt/agents"}, "vars": {"tag": true}, "enable_compression": "0"})
    );
    assert!(!list.places.is_faulty());
}

#[test]
fn a_cell_is_data_whatever_is_in_it() {
    for value in
        ["it's $(id) `id`; id | id * \\", "=cmd|'/c id'!A0", "{{ 7*7 }} 100% %n", "中文", "-rf", "say \"hi\"", "a,b;c\td"]
    {
        let cell = format!("\"{}\"", value.replace('"', "\"\""));
        let path = format!("\"/opt/{}\"", value.replace('"', "\"\"").replace('\t', " "));
        let list = list(&format!(
            "inner_ip,account,password,data_path,paths.log_path,vars.text\n10.0.0.1,ops,{cell},{path},{path},{cell}\n"
        ));
        let host = &list.body["hosts"][0];
        let in_path = format!("/opt/{}", value.replace('\t', " "));
        assert_eq!((&host["password"], &host["vars"]["text"]), (&json!(value), &json!(value)));
        assert_eq!((&host["data_path"], &host["paths"]["log_path"]), (&json!(in_path), &json!(in_path)));
        assert_eq!(faults_of(&list), [""; 0], "{value}");
    }
    let control = "inner_ip,account,password,vars.text,paths.log_path\n10.0.0.1,o\u{1b}s,a\u{7}b,x\0y,/opt/\u{1b}\n";
    let told = faults(control);
    for column in ["account", "password", "vars.text", "paths.log_path"] {
        assert!(told.iter().any(|fault| fault.starts_with(&format!("row 2, column {column}: "))), "{column}: {told:?}");
    }
}

#[test]
fn what_spreadsheets_and_editors_do_to_a_csv_changes_nothing() {
    let plain = list("inner_ip,password\n10.0.0.1,a\n\n10.0.0.2,b\n");
    for text in [
        "\u{feff}inner_ip,password\n10.0.0.1,a\n\n10.0.0.2,b\n",
        "inner_ip,password\r\n10.0.0.1,a\r\n\r\n10.0.0.2,b\r\n",
        "inner_ip;password\r\n10.0.0.1;a\r\n;\r\n10.0.0.2;b\r\n;;;\r\n",
        "sep=;\r\ninner_ip;password\r\n10.0.0.1;a\r\n\r\n10.0.0.2;b",
        "inner_ip\tpassword\n10.0.0.1\ta\n\t\n10.0.0.2\tb",
        "\"inner_ip\",\"password\"\n\"10.0.0.1\",\"a\"\n , \n\"10.0.0.2\",\"b\"",
        "Inner_IP , PASSWORD\n 10.0.0.1 ,a\n\n10.0.0.2,b,,\n",
        "inner_ip,password\r10.0.0.1,a\r\r10.0.0.2,b\r",
    ] {
        let other = list(text);
        assert_eq!(other.body, plain.body, "{text:?}");
        assert_eq!(other.places.rows, [2, 4], "{text:?}");
    }
}

#[test]
fn a_fault_is_in_the_row_that_the_spreadsheet_shows_below_texts_of_many_lines_too() {
    let text = "inner_ip,auth_type,key,port\n\n10.0.0.1,KEY,\"-----BEGIN\n\nmany lines\n\",22\n\n\n10.0.0.2,KEY,k,many\n";
    assert_eq!(faults(text), ["row 6, column port: must be a whole number"]);
    assert_eq!(faults(&text.replace('\n', "\r\n")), ["row 6, column port: must be a whole number"]);
}

#[test]
fn every_fault_of_table_and_hosts_is_told_at_once_from_the_top() {
    let text = "inner_ip,prot,port,password,port\n\
                10.0.0.1,22,,a,\n\
                10.0.0.300,22,70000,b,\n\
                10.0.0.3,22,22,,\n\
                10.0.0.4,22,22,d,,too,many\n";
    assert_eq!(
        faults(text),
        [
            "row 1, column prot: is no field of a host; did you mean `port`? A remark begins with `#`",
            "row 1, column port: stands there twice, in C and E",
            "row 3, column inner_ip: `10.0.0.300` is not an IPv4 address",
            "row 3, column port: 70000 must be between 1 and 65535",
            "row 4, column password: is required when auth_type is PASSWORD",
            "row 5, column F: has a value, but row 1 names no such column",
            "row 5, column G: has a value, but row 1 names no such column",
        ]
    );
}

#[test]
fn a_column_that_all_hosts_lack_is_told_once_and_not_when_it_is_only_misspelt() {
    let hosts = "10.0.0.1\n10.0.0.2\n10.0.0.3\n";
    assert_eq!(
        faults(&format!("inner_ip\n{hosts}")),
        ["row 1, column password: is required when auth_type is PASSWORD: there is no such column"]
    );
    let misspelt = faults("inner_ip,pasword_file\n10.0.0.1,a\n10.0.0.2,b\n");
    assert_eq!(
        misspelt,
        ["row 1, column pasword_file: is no field of a host; did you mean `password_file`? A remark begins with `#`"]
    );
    // Some need one and some do not.
    assert_eq!(
        faults("inner_ip,key_env\n10.0.0.1,PATH\n10.0.0.2,\n"),
        ["row 3, column password: is required when auth_type is PASSWORD"]
    );
}

#[test]
fn what_was_given_for_the_whole_list_is_wrong_once() {
    let site: Site = toml::from_str("[[business]]\nid = 2\n").unwrap();
    let given = Given { business: Some(9), ..given() };
    let text = "inner_ip,password,bk_biz_id\n10.0.0.1,a,\n10.0.0.2,b,2\n10.0.0.3,c,\n10.0.0.4,d,7\n";
    let list = read(text.as_bytes(), &given).unwrap();
    let found = parse(&list.body, &site, &SecretSources::default()).unwrap_err();
    let paths: Vec<_> = list.places.faults(&list.body, found).into_iter().map(|fault| (fault.path, fault.code)).collect();
    assert_eq!(paths, [("bk_biz_id".to_owned(), code::BUSINESS), ("row 5, column bk_biz_id".to_owned(), code::BUSINESS)]);
}

#[test]
fn a_secret_is_named_by_the_column_it_came_from_and_given_once() {
    let text = "inner_ip,password,password_file,password_env\n\
                10.0.0.1,,nowhere/at/all,\n\
                10.0.0.2,,,LANDFALL_NO_SUCH\n\
                10.0.0.3,a,b,\n\
                10.0.0.4,\"two\nlines\",,\n";
    let found = faults(text);
    let places: Vec<&str> = found.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(
        places,
        ["row 2, column password_file", "row 3, column password_env", "row 4, column password_file", "row 5, column password"]
    );
    assert!(found[2].contains("another column gives password already"), "{found:?}");
    assert!(found[3].contains("password must be one line"), "{found:?}");
    // Spaces belong to a password.
    assert_eq!(list("inner_ip,password\n10.0.0.1, a b \n").body["hosts"][0]["password"], " a b ");
}

#[test]
fn what_is_no_table_is_told_with_what_to_do() {
    let utf16: Vec<u8> = "\u{feff}inner_ip\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, told) in [
        (&b""[..], "is empty"),
        (b"\n\n ,\n", "is empty"),
        (b"inner_ip,password\n", "names no host"),
        (
            b"inner_ip,account\n10.0.0.1,\xb9\xdc\xc0\xed\n",
            "line 2 is not UTF-8 (GBK or Latin-1, perhaps): save it as \"CSV UTF-8\"",
        ),
        (&utf16, "is UTF-16: save it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old .xls or has a password"),
        (b"PK\x03\x04 and no more", "cannot be read as .xlsx"),
        (b"inner_ip,password\n10.0.0.1,\"open\n10.0.0.2,b\n", "row 2 has a quote that is never closed"),
    ] {
        let error = read(bytes, &given()).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    let error = read(b"inner_ip\n10.0.0.1\n", &Given { sheet: Some("a".into()), ..given() }).unwrap_err();
    assert!(error.contains("no sheet to choose"), "{error}");
}

#[test]
fn a_list_has_bounds() {
    let many = format!("inner_ip\n{}", "10.0.0.1\n".repeat(MOST_HOSTS));
    assert_eq!(list(&many).places.rows.len(), MOST_HOSTS);
    assert!(read(format!("{many}10.0.0.1\n").as_bytes(), &given()).unwrap_err().contains("more than 100000 hosts"));
    let wide = format!("inner_ip\n10.0.0.1{}x\n", ",".repeat(256));
    assert!(read(wide.as_bytes(), &given()).unwrap_err().contains("row 2 has more than 256 columns"));
}

#[test]
fn columns_have_the_letters_of_a_spreadsheet() {
    for (column, shown) in [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")] {
        assert_eq!(table::letters(column), shown);
    }
}

mod workbook {
    use std::io::Write as _;

    use rust_xlsxwriter::{Formula, Workbook, Worksheet};

    use super::*;

    fn book(fill: impl FnOnce(&mut Worksheet)) -> Workbook {
        let mut book = Workbook::new();
        fill(book.add_worksheet());
        book
    }

    fn hosts(mut book: Workbook, sheet: Option<&str>) -> Result<HostList, String> {
        read(&book.save_to_buffer().unwrap(), &Given { sheet: sheet.map(str::to_owned), ..given() })
    }

    fn header(sheet: &mut Worksheet, names: &[&str]) {
        sheet.write_row(0, 0, names.iter().copied()).unwrap();
    }

    #[test]
    fn its_cells_are_what_is_shown() {
        let list = hosts(
            book(|sheet| {
                header(sheet, &["inner_ip", "port", "enable_compression", "account", "password", "vars.port", "bt_speed_limit"]);
                sheet.write(1, 0, "10.0.0.1").unwrap().write(1, 1, 22.0).unwrap().write(1, 2, true).unwrap();
                sheet.write(1, 3, Formula::new("\"ro\"&\"ot\"").set_result("root")).unwrap();
                sheet.write(1, 4, 123_456).unwrap().write(1, 5, 9100).unwrap().write(1, 6, "").unwrap();
                // Row 3 is empty, far to the right there is nothing but a format.
                sheet.write_blank(2, 16_000, &rust_xlsxwriter::Format::new().set_bold()).unwrap();
                sheet.write(3, 0, "10.0.0.2").unwrap().write(3, 4, "x").unwrap();
            }),
            None,
        )
        .unwrap();
        assert_eq!(
            list.body["hosts"][0],
            json!({"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "10.0.0.1", "port": "22", "enable_compression": "true",
                "account": "root", "password": "123456", "vars": {"port": 9100}})
        );
        assert_eq!((list.places.rows.as_slice(), faults_of(&list).len()), (&[2, 4][..], 0));
        assert_eq!(list.sheet, None);
    }

    #[test]
    fn what_a_spreadsheet_cannot_mean_is_a_fault_of_its_cell() {
        let list = hosts(
            book(|sheet| {
                header(sheet, &["inner_ip", "port", "account", "password"]);
                let date = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
                sheet.write(1, 0, "10.0.0.1").unwrap().write(1, 1, Formula::new("NA()").set_result("#N/A")).unwrap();
                sheet.write(1, 3, 12_345_678_901_234_567_890.0_f64).unwrap();
                sheet.write_with_format(2, 0, 45_000, &date).unwrap();
                sheet.write(2, 1, 22.5).unwrap().write(2, 3, "x").unwrap();
            }),
            None,
        )
        .unwrap();
        assert_eq!(
            faults_of(&list),
            [
                "row 2, column port: is the error #N/A",
                "row 2, column password: is a number of more digits than a spreadsheet keeps: format the cell as text and \
                 type it again",
                "row 3, column inner_ip: is a date or time: format the cell as text and type it again",
                "row 3, column port: must be a whole number",
            ]
        );
    }

    /// A workbook with nothing in it but one sheet, as a program might write it.
    fn bare(sheet_data: &str) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let relations = "http://schemas.openxmlformats.org/package/2006/relationships";
        let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        for (name, text) in [
            (
                "_rels/.rels",
                format!(
                    "<Relationships xmlns='{relations}'><Relationship Id='r1' Type='{office}/officeDocument' Target='xl/workbook.xml'/></Relationships>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                format!(
                    "<Relationships xmlns='{relations}'><Relationship Id='r1' Type='{office}/worksheet' Target='worksheets/sheet1.xml'/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml",
                format!(
                    "<workbook xmlns='{main}' xmlns:r='{office}'><sheets><sheet name='hosts' sheetId='1' r:id='r1'/></sheets></workbook>"
                ),
            ),
            ("xl/worksheets/sheet1.xml", format!("<worksheet xmlns='{main}'><sheetData>{sheet_data}</sheetData></worksheet>")),
        ] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_formula_gives_what_was_stored_with_it_and_is_a_fault_without() {
        let text = |at: &str, text: &str| format!("<c r='{at}' t='inlineStr'><is><t>{text}</t></is></c>");
        let sheet = format!(
            "<row r='1'>{}{}{}</row><row r='2'>{}<c r='B2'><f>A9</f></c>{}</row><row r='3'>{}<c r='B3' t='str'><f>A9</f><v></v></c>{}</row>",
            text("A1", "inner_ip"),
            text("B1", "port"),
            text("C1", "password"),
            text("A2", "10.0.0.1"),
            text("C2", "x"),
            text("A3", "10.0.0.2"),
            text("C3", "x")
        );
        let list = read(&bare(&sheet), &given()).unwrap();
        assert_eq!(
            faults_of(&list),
            ["row 2, column port: is a formula without a stored value: open the file in a spreadsheet program and save it"]
        );
        assert_eq!(list.body["hosts"][1].get("port"), None);
    }

    #[test]
    fn a_sheet_has_bounds_and_an_order() {
        let far = hosts(
            book(|sheet| {
                header(sheet, &["inner_ip"]);
                sheet.write(1_048_575, 16_383, "x").unwrap();
            }),
            None,
        );
        assert_eq!(far.unwrap_err(), "row 1048576 has more than 256 columns");
        let upside_down = bare("<row r='5'><c r='A5'><v>1</v></c></row><row r='2'><c r='A2'><v>1</v></c></row>");
        assert_eq!(read(&upside_down, &given()).unwrap_err(), "has row 2 below row 5");
    }

    #[test]
    fn the_first_sheet_that_is_shown_is_read_and_another_by_its_name() {
        let several = || {
            let mut book = Workbook::new();
            for (name, ip) in [("notes", "10.0.0.1"), ("hosts", "10.0.0.2"), ("old", "10.0.0.3")] {
                let sheet = book.add_worksheet().set_name(name).unwrap();
                header(sheet, &["inner_ip"]);
                sheet.write(1, 0, ip).unwrap();
                if name == "notes" {
                    sheet.set_hidden(true);
                }
                if name == "hosts" {
                    sheet.set_active(true);
                }
            }
            book
        };
        let ip = |list: &HostList| list.body["hosts"][0]["inner_ip"].clone();
        let first = hosts(several(), None).unwrap();
        assert_eq!((ip(&first), first.sheet), (json!("10.0.0.2"), Some(Sheet { name: "hosts".into(), of: 2 })));
        assert_eq!(ip(&hosts(several(), Some("notes")).unwrap()), "10.0.0.1");
        let error = hosts(several(), Some("new")).unwrap_err();
        assert_eq!(error, "has no sheet `new`, but `notes`, `hosts`, `old`");
    }
}
