//! What a job would meet on a host, by the very rules that settle its plan; without one, and without stopping at the first.

use super::render::{self, Templates, Values};
use super::settle::{Known, state_dir, state_room_kb};
use crate::domain::facts::{Facts, Room};
use crate::domain::failure::{Code, Failure};
use crate::domain::finding::{Finding, Subject};
use crate::domain::host::Os;
use crate::domain::package::PackageEntry;

/// Below that much room in the temp path an agent is likely to stumble: 64 MiB.
const TEMP_KB: u64 = 64 * 1024;

impl Known<'_> {
    /// The system, whatever it is to be used for.
    #[must_use]
    pub fn examine_system(&self) -> Vec<Finding> {
        let facts = self.facts;
        let system = facts.shown();
        let mut findings = vec![Finding::of(Subject::System, self.check_os().map(|_| system))];
        if let Some(temp) = &facts.temp {
            let detail = room(&self.paths().temp_path, temp);
            findings.push(match temp.verdict.as_str() {
                "ro" => Finding::warning(
                    Subject::TempPath,
                    format!("{detail}; mounted read-only"),
                    "choose another `paths.temp_path`",
                ),
                _ if temp.free_kb < TEMP_KB => Finding::warning(Subject::TempPath, detail, "free space there"),
                _ => Finding::ok(Subject::TempPath, detail),
            });
        }
        findings.push(self.tools());
        findings
    }

    /// Room and package for a job that installs `entry`.
    #[must_use]
    pub fn examine_install(&self, entry: &PackageEntry, templates: &Templates) -> Vec<Finding> {
        let setup = self.facts.setup.as_ref().map_or_else(String::new, |setup| room(&self.paths().setup_path, setup));
        vec![
            Finding::of(Subject::Package, self.fits(entry, templates)),
            Finding::of(Subject::SetupPath, self.check_setup_room(entry.unpacked).map(|()| setup)),
            self.state(entry.size),
        ]
    }

    /// What is installed, for a job that acts on it.
    #[must_use]
    pub fn examine_installed(&self) -> Vec<Finding> {
        let found = self.installed().and_then(|there| {
            there.map(|there| format!("{} {} is installed", there.name, there.version)).ok_or_else(|| {
                Failure::new(Code::NotInstalled, format!("nothing of Landfall's is installed under {}", self.paths().setup_path))
            })
        });
        vec![Finding::of(Subject::Package, found), self.state(0)]
    }

    /// Can it be unpacked there, and do its templates fill?
    fn fits(&self, entry: &PackageEntry, templates: &Templates) -> Result<String, Failure> {
        let form = self.form()?;
        let paths = self.paths();
        let vars = render::vars(&entry.manifest.vars, self.job, self.task);
        let values = Values::of(self.task, entry, &paths, &vars, &self.task.upstream);
        let installed = render::installed(entry, &paths, &values)?;
        render::stage(&entry.manifest, &installed, &values, templates, self.system())?;
        let there = self.facts.root.iter().flat_map(|root| &root.installed).find(|there| there.name == installed.name);
        let now = match there {
            Some(there) if there.digest == installed.digest => ", the same is installed".to_owned(),
            Some(there) => format!(", {} is installed", there.version),
            None => String::new(),
        };
        Ok(format!("{} {} as {}{now}", installed.name, installed.version, form.word()))
    }

    fn state(&self, payload: u64) -> Finding {
        let root = self.facts.root.clone().unwrap_or_default();
        Finding::of(Subject::State, state_dir(&root, state_room_kb(payload)))
    }

    fn tools(&self) -> Finding {
        let facts = self.facts;
        let there: Vec<&str> = facts.tools.iter().map(String::as_str).collect();
        let there = there.join(" ");
        if facts.is_windows() {
            return windows_tools(facts, there);
        }
        if facts.digest_tool() == "none" {
            let remedy = "install sha256sum, shasum or openssl, so that the host can check what it stored";
            return Finding::warning(Subject::Tools, format!("no digest tool ({there})"), remedy);
        }
        // Elsewhere there is none: the shell makes the group.
        if self.os() == Os::Linux && !facts.has("setsid") {
            let remedy = "install setsid (util-linux), so that a run has a process group of its own";
            return Finding::warning(Subject::Tools, format!("no setsid ({there})"), remedy);
        }
        Finding::ok(Subject::Tools, there)
    }
}

/// What starts a run apart from its session there, the first that works.
const WAYS_OUT: [&str; 3] = ["powershell", "wmic", "schtasks"];

fn windows_tools(facts: &Facts, there: String) -> Finding {
    if !facts.has("certutil") {
        let remedy = "let certutil work, so that the host can check what it stored";
        return Finding::warning(Subject::Tools, format!("no certutil ({there})"), remedy);
    }
    if WAYS_OUT.iter().any(|tool| facts.has(tool)) {
        return Finding::ok(Subject::Tools, there);
    }
    let remedy = "let one of PowerShell, wmic and the task scheduler work, so that a run outlives the session that started it";
    Finding::warning(Subject::Tools, format!("no {} ({there})", WAYS_OUT.join(", no ")), remedy)
}

/// `/usr/local/gse: 12.3 GB free`, with the directory that was asked when the path is not there yet.
fn room(path: &str, room: &Room) -> String {
    let megabytes = room.free_kb / 1024;
    let free = match room.free_kb {
        // What the probe says when the host cannot tell.
        999_999_999.. => "unknown room".to_owned(),
        _ if megabytes >= 10_240 => format!("{} GiB free", megabytes / 1024),
        _ => format!("{megabytes} MiB free"),
    };
    if room.path == path { format!("{path}: {free}") } else { format!("{path}: {free} in {}", room.path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Verdict;

    #[test]
    fn a_windows_host_is_asked_for_a_way_out_of_the_session_and_not_for_setsid() {
        for (tools, verdict, detail) in [
            (&["certutil", "wmic"][..], Verdict::Ok, ""),
            (&["certutil"], Verdict::Warning, "no powershell, no wmic, no schtasks"),
            (&["powershell"], Verdict::Warning, "no certutil"),
        ] {
            let facts = Facts { tools: tools.iter().map(|tool| (*tool).to_owned()).collect(), ..Facts::default() };
            let finding = windows_tools(&facts, String::new());
            assert!(finding.verdict == verdict && finding.detail.starts_with(detail), "{finding:?}");
        }
    }

    #[test]
    fn room_is_told_with_the_directory_that_was_asked() {
        let asked = |path: &str, free_kb| Room { path: path.into(), free_kb, verdict: "rw".into() };
        assert_eq!(room("/opt/a", &asked("/opt", 2_048)), "/opt/a: 2 MiB free in /opt");
        assert_eq!(room("/tmp", &asked("/tmp", 50 << 20)), "/tmp: 50 GiB free");
        assert_eq!(room("/tmp", &asked("/tmp", 999_999_999)), "/tmp: unknown room");
    }
}
