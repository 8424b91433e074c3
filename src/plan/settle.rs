//! Outline + facts + package → the plan of one host. After this there is nothing left to choose.

use super::render::{self, Templates, Values};
use crate::domain::facts::{Facts, RootFacts};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::{Os, System};
use crate::domain::installed::Installed;
use crate::domain::package::{PackageEntry, Role};
use crate::domain::plan::{Form, PayloadRef, Plan, Privilege, Work};
use crate::domain::site::{HostPaths, target_path};
use crate::domain::spec::{JobSpec, Part, TaskSpec};

/// Room that a state directory needs beside the payload: scripts, logs of a few runs.
const STATE_ROOM_KB: u64 = 8 * 1024;

/// kB that a state directory needs for a payload of so many bytes.
#[must_use]
pub fn state_room_kb(payload: u64) -> u64 {
    STATE_ROOM_KB + payload / 1024
}

/// What is known when a plan is settled.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// The host task.
    pub task: &'a TaskSpec,
    /// What the probe found, as root.
    pub facts: &'a Facts,
    /// How root is reached.
    pub privilege: Privilege,
}

/// The package for a host, and its templates.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// Its entry.
    pub entry: &'a PackageEntry,
    /// The bytes that will travel.
    pub payload: &'a PayloadRef,
    /// Its templates.
    pub templates: &'a Templates,
}

/// Paths of a host: its own, over the job's, over the access point's; `data_path` of the contract wins for data.
#[must_use]
pub fn paths(job: &JobSpec, task: &TaskSpec, os: Os) -> HostPaths {
    let mut own = task.host.paths.clone();
    own.data_path = own.data_path.or_else(|| task.host.data_path.clone());
    let own = own.over(&job.paths);
    match os {
        Os::Windows => HostPaths::windows(&own.over(&task.access_point.windows)),
        Os::Linux | Os::Aix | Os::Solaris => HostPaths::linux(&own.over(&task.access_point.linux)),
    }
}

impl Known<'_> {
    /// Paths of this host.
    #[must_use]
    pub fn paths(&self) -> HostPaths {
        paths(self.job, self.task, self.os())
    }

    /// What files for this host depend on. A Windows that does not tell its code page has the letters of ASCII in any case.
    #[must_use]
    pub fn system(&self) -> System {
        let codepage = self.facts.is_windows().then(|| self.facts.codepage.unwrap_or(437));
        System { os: self.os(), codepage }
    }

    /// What the host runs.
    #[must_use]
    pub fn os(&self) -> Os {
        Os::from_uname(&self.facts.os).unwrap_or(Os::Linux)
    }

    /// Is the host of a kind that this release serves, and the one that was announced?
    ///
    /// # Errors
    /// [`Code::UnsupportedOs`], [`Code::OsMismatch`].
    pub fn check_os(&self) -> Result<Os, Failure> {
        let found = Os::from_uname(&self.facts.os);
        if let (Some(stated), Some(found)) = (self.task.host.os_type, found)
            && stated != found
        {
            let message = format!("os_type is {}, but the host runs {}", stated.word(), found.word());
            return Err(Failure::new(Code::OsMismatch, message));
        }
        match found {
            Some(Os::Linux) => Ok(Os::Linux),
            Some(other) if self.job.kind.role() == Role::Proxy => {
                let message = format!("the host runs {}, and proxies are for Linux only", other.shown());
                Err(Failure::new(Code::UnsupportedOs, message))
            }
            Some(Os::Windows) => self.check_windows_paths().map(|()| Os::Windows),
            Some(unix) => Ok(unix),
            None => Err(Failure::new(
                Code::UnsupportedOs,
                format!("the host runs `{}`, which this release does not serve", self.facts.os),
            )),
        }
    }

    /// A request that does not say that its host is Windows may name paths of others.
    fn check_windows_paths(&self) -> Result<(), Failure> {
        let HostPaths { setup_path, data_path, run_path, log_path, temp_path } = self.paths();
        let fault = |path: &String| target_path::windows_fault(path).map(|fault| format!("`{path}` {fault}"));
        match [setup_path, data_path, run_path, log_path, temp_path].iter().find_map(fault) {
            Some(fault) => Err(Failure::new(Code::BadHostPath, format!("the host runs Windows, and its path {fault}"))),
            None => Ok(()),
        }
    }

    /// The form in which a package should travel to this host.
    ///
    /// # Errors
    /// [`Code::MissingTool`] when the host can unpack none.
    pub fn form(&self) -> Result<Form, Failure> {
        if self.facts.is_windows() {
            // bsdtar, which is there since Windows 10 1803 and Server 2019, reads gzip always and zstd sometimes.
            return Ok(if self.facts.has("tar") { Form::Gzip } else { Form::Tree });
        }
        if !self.facts.has("tar") {
            return Err(Failure::new(Code::MissingTool, "the host has no tar to unpack the package with"));
        }
        let compress = self.task.host.enable_compression;
        Ok(match (compress && self.facts.has("zstd"), self.facts.has("gzip")) {
            (true, _) => Form::Zstd,
            (false, true) => Form::Gzip,
            (false, false) => Form::Tar,
        })
    }

    /// The plan that puts a package there. Everything that can be wrong with it is found here, before the host is touched.
    ///
    /// # Errors
    /// Templates, room, places.
    pub fn install(&self, package: Package<'_>) -> Result<Plan, Failure> {
        self.put(package, self.paths(), None)
    }

    /// The plan that puts a package beside the release that is there. Paths and variables that the request does not name stay
    /// as they were installed.
    ///
    /// # Errors
    /// Templates, room, places.
    pub fn upgrade(&self, package: Package<'_>, there: Installed) -> Result<Plan, Failure> {
        self.put(package, there.paths.clone(), Some(there))
    }

    fn put(&self, package: Package<'_>, paths: HostPaths, previous: Option<Installed>) -> Result<Plan, Failure> {
        let mut known = package.entry.manifest.vars.clone();
        known.extend(previous.iter().flat_map(|there| there.vars.clone()));
        let vars = render::vars(&known, self.job, self.task);
        // Its configuration files are carried over, so what they name stays.
        let kept = previous.as_ref().map(|there| &there.upstream).filter(|upstream| !upstream.is_empty());
        let values = Values::of(self.task, package.entry, &paths, &vars, kept.unwrap_or(&self.task.upstream));
        let installed = render::installed(package.entry, &paths, &values)?;
        render::stage(&package.entry.manifest, &installed, &values, package.templates, self.system())?;
        let is_there = previous.as_ref().is_some_and(|there| there.digest == package.entry.sha256);
        if !is_there {
            self.check_setup_room(package.entry.unpacked)?;
        }
        let root = self.root();
        let there = is_there || root.blobs.iter().any(|(digest, _)| *digest == package.payload.sha256);
        let need_kb = state_room_kb(if there { 0 } else { package.payload.size });
        let work = Work::Install {
            package: Box::new(package.entry.clone()),
            payload: package.payload.clone(),
            installed: Box::new(installed),
            previous: previous.map(Box::new),
        };
        Ok(self.plan(state_dir(&root, need_kb)?, paths, work))
    }

    /// What is installed on the host for this job to act on; `Ok(None)` when nothing is.
    ///
    /// # Errors
    /// [`Code::SeveralInstalled`].
    pub fn installed(&self) -> Result<Option<Installed>, Failure> {
        let root = self.root();
        // What a replacement installs says nothing of what the old proxy has.
        let wanted = self.job.package.name.as_deref().filter(|_| self.task.part == Part::Whole);
        let there: Vec<&Installed> = root
            .installed
            .iter()
            .filter(|installed| installed.role == self.job.kind.role() && wanted.is_none_or(|name| name == installed.name))
            .collect();
        match there.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some((*only).clone())),
            several => {
                let names: Vec<_> = several.iter().map(|installed| installed.name.as_str()).collect();
                let message = format!("several packages are installed: {}", names.join(", "));
                Err(Failure::new(Code::SeveralInstalled, message))
            }
        }
    }

    /// The plan that takes away what is there.
    ///
    /// # Errors
    /// Places.
    pub fn uninstall(&self, installed: Installed) -> Result<Plan, Failure> {
        self.act_on(installed.paths.clone(), Work::Uninstall { installed: Box::new(installed) })
    }

    /// The plan that stops and starts what is there.
    ///
    /// # Errors
    /// Places.
    pub fn restart(&self, installed: Installed) -> Result<Plan, Failure> {
        self.act_on(installed.paths.clone(), Work::Restart { installed: Box::new(installed) })
    }

    /// The plan that gives what is there the configuration of this request. What the request does not name stays as it was
    /// installed.
    ///
    /// # Errors
    /// Templates; [`Code::ReloadNotEnough`] when the new values change more than configuration.
    pub fn reload(&self, there: &Installed, entry: &PackageEntry, templates: &Templates) -> Result<Plan, Failure> {
        let paths = there.paths.clone();
        let vars = render::vars(&there.vars, self.job, self.task);
        let values = Values::of(self.task, entry, &paths, &vars, &self.task.upstream);
        let installed = render::installed(entry, &paths, &values)?;
        if let Some((what, before, after)) = command_that_differs(there, &installed) {
            let message = format!("the new values change `{what}` from `{before}` to `{after}`, which a reload leaves as it is");
            return Err(Failure::new(Code::ReloadNotEnough, message));
        }
        render::stage(&entry.manifest, &installed, &values, templates, self.system())?;
        self.act_on(paths, Work::Reload { package: Box::new(entry.clone()), installed: Box::new(installed) })
    }

    /// A plan that brings no payload.
    fn act_on(&self, paths: HostPaths, work: Work) -> Result<Plan, Failure> {
        Ok(self.plan(state_dir(&self.root(), 0)?, paths, work))
    }

    fn root(&self) -> RootFacts {
        self.facts.root.clone().unwrap_or_default()
    }

    fn plan(&self, state_dir: String, paths: HostPaths, work: Work) -> Plan {
        Plan {
            version: 1,
            steps: self.task.outline.clone(),
            state_dir,
            dialect: self.facts.dialect(),
            privilege: self.privilege,
            inbox: self.facts.inbox(),
            os: self.os(),
            codepage: self.system().codepage,
            digest_tool: self.facts.digest_tool().into(),
            paths,
            access_point: None,
            work,
            plugins: Vec::new(),
        }
    }

    /// Is there room for so many bytes of unpacked packages, where they may be run?
    ///
    /// # Errors
    /// [`Code::WriteFailed`], [`Code::NoSpace`].
    pub fn check_setup_room(&self, unpacked: u64) -> Result<(), Failure> {
        let Some(room) = &self.facts.setup else { return Ok(()) };
        if !matches!(room.verdict.as_str(), "ok" | "rw") {
            let code = if room.verdict == "no_inodes" { Code::NoSpace } else { Code::WriteFailed };
            return Err(Failure::new(code, format!("{} cannot be used for the setup path: {}", room.path, room.verdict)));
        }
        let need_kb = unpacked / 1024 + 1024;
        if room.free_kb < need_kb {
            let message = format!("{} has {} kB free, the package needs {need_kb} kB", room.path, room.free_kb);
            return Err(Failure::new(Code::NoSpace, message));
        }
        Ok(())
    }
}

/// The command of the installed release that new values would change: its name, then as it is, then as it would be.
fn command_that_differs<'a>(there: &'a Installed, new: &'a Installed) -> Option<(&'static str, &'a str, &'a str)> {
    let text = |command: &'a Option<String>| command.as_deref().unwrap_or_default();
    let commands = [
        ("start", there.start.as_str(), new.start.as_str()),
        ("stop", text(&there.stop), text(&new.stop)),
        ("reload", text(&there.reload), text(&new.reload)),
        ("user", text(&there.user), text(&new.user)),
    ];
    commands.into_iter().find(|(_, before, after)| before != after)
}

/// The first place that holds our state already, else the first with room.
///
/// # Errors
/// [`Code::NoSpace`], naming what was looked at.
pub fn state_dir(root: &RootFacts, need_kb: u64) -> Result<String, Failure> {
    if let Some(state) = &root.state {
        return Ok(state.clone());
    }
    if let Some(place) = root.places.iter().find(|place| place.verdict == "ok" && place.free_kb >= need_kb) {
        return Ok(place.path.clone());
    }
    let tried: Vec<_> =
        root.places.iter().map(|place| format!("{} ({} kB free, {})", place.path, place.free_kb, place.verdict)).collect();
    Err(Failure::new(Code::NoSpace, format!("no place for Landfall's state with {need_kb} kB free: {}", tried.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::Room;

    fn place(path: &str, free_kb: u64, verdict: &str) -> Room {
        Room { path: path.into(), free_kb, verdict: verdict.into() }
    }

    #[test]
    fn state_goes_where_it_is_already_else_to_the_first_place_with_room() {
        let mut root = RootFacts {
            places: vec![
                place("/var/lib/landfall", 10, "ok"),
                place("/opt/landfall", 9_000, "ro"),
                place("/usr/local/landfall", 9_000, "ok"),
            ],
            ..RootFacts::default()
        };
        assert_eq!(state_dir(&root, 100).unwrap(), "/usr/local/landfall");
        let failure = state_dir(&root, 100_000).unwrap_err();
        assert!(failure.message.contains("/opt/landfall (9000 kB free, ro)"), "{}", failure.message);
        root.state = Some("/opt/landfall".into());
        assert_eq!(state_dir(&root, 100_000).unwrap(), "/opt/landfall");
    }
}
