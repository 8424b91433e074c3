//! Plugins in a plan: each is a package of its own beside the agent's or the proxy's, in a step of its own.
//!
//! An install brings the newest ones that are marked for it, after what it installs has answered and before that is
//! registered. An uninstall takes those away that are there, before the last agent or proxy of the host goes. Never here: which
//! ones are brought ([`super::choose::plugins`]).

use super::render::{self, Templates, Values};
use super::settle::{Known, Package, state_dir, state_room_kb};
use crate::domain::failure::{Code, Failure};
use crate::domain::finding::{Finding, Subject};
use crate::domain::installed::Installed;
use crate::domain::package::{PackageEntry, Role};
use crate::domain::plan::{Plan, PluginName, Step, StepKind, Work};
use crate::domain::site::HostPaths;

impl Known<'_> {
    /// Adds plugins to the plan of an install. Everything that can be wrong with them is found here, before the host is
    /// touched.
    ///
    /// # Errors
    /// Templates, room; [`Code::BadPackage`] for a name that is taken or too long.
    pub fn add_plugins(&self, plan: &mut Plan, plugins: &[Package<'_>]) -> Result<(), Failure> {
        let Work::Install { package, payload, .. } = &plan.work else { return Ok(()) };
        let root = self.facts.root.clone().unwrap_or_default();
        let sent = |sha256: &str, size: u64| if root.blobs.iter().any(|(digest, _)| digest == sha256) { 0 } else { size };
        let (mut unpacked, mut bytes) = (package.unpacked, sent(&payload.sha256, payload.size));
        let mut added = Vec::new();
        for plugin in plugins {
            let installed = self.plugin(&plan.work.installed().name, &plan.paths, (plugin.entry, plugin.templates))?;
            added.push(Work::Install {
                package: Box::new(plugin.entry.clone()),
                payload: plugin.payload.clone(),
                installed: Box::new(installed),
                previous: None,
            });
            unpacked += plugin.entry.unpacked;
            bytes += sent(&plugin.payload.sha256, plugin.payload.size);
        }
        self.check_setup_room(unpacked)?;
        plan.state_dir = state_dir(&root, state_room_kb(bytes))?;
        let behind = (place_of(plan, StepKind::Verify) + 1).min(plan.steps.len());
        weave(plan, added, behind, StepKind::InstallPlugins)
    }

    /// A plugin that a job would bring beside the package of that name.
    #[must_use]
    pub fn examine_plugin(&self, beside: &str, plugin: (&PackageEntry, &Templates)) -> Finding {
        let found = self.plugin(beside, &self.paths(), plugin);
        Finding::of(Subject::Package, found.map(|plugin| format!("plugin {} {}", plugin.name, plugin.version)))
    }

    /// What a plugin will be on the host.
    fn plugin(
        &self,
        beside: &str,
        paths: &HostPaths,
        (entry, templates): (&PackageEntry, &Templates),
    ) -> Result<Installed, Failure> {
        let manifest = &entry.manifest;
        let root = self.facts.root.as_ref();
        let there = root.into_iter().flat_map(|root| &root.installed).filter(|there| there.role != Role::Plugin);
        let mut taken = there.map(|there| there.name.as_str()).chain([beside]);
        if taken.any(|name| name == manifest.name) {
            let message = format!("plugin {} has the name of an agent or a proxy, whose place it would take", manifest.name);
            return Err(Failure::new(Code::BadPackage, message));
        }
        let vars = render::plugin_vars(manifest, self.job, self.task);
        let values = Values::of(self.task, entry, paths, &vars, &self.task.upstream);
        let installed = render::installed(entry, paths, &values)?;
        render::stage(manifest, &installed, &values, templates, self.system())?;
        Ok(installed)
    }

    /// Adds the plugins that are there to the plan that takes an agent or a proxy away, unless another of them stays.
    ///
    /// # Errors
    /// [`Code::BadPackage`] for a name that no plugin can have.
    pub fn remove_plugins(&self, plan: &mut Plan) -> Result<(), Failure> {
        let there = self.facts.root.as_ref().map_or(&[][..], |root| root.installed.as_slice());
        let goes = plan.work.installed();
        let stays = |there: &&Installed| there.role != Role::Plugin && (there.name != goes.name || there.paths != goes.paths);
        if there.iter().any(|there| stays(&there)) {
            return Ok(());
        }
        let plugins = there.iter().filter(|there| there.role == Role::Plugin);
        let removed = plugins.map(|plugin| Work::Uninstall { installed: Box::new(plugin.clone()) }).collect();
        let before = place_of(plan, StepKind::RunScript);
        weave(plan, removed, before, StepKind::RemovePlugins)
    }
}

/// Puts the steps of plugins into the plan, from that place on.
fn weave(plan: &mut Plan, plugins: Vec<Work>, place: usize, step: impl Fn(PluginName) -> StepKind) -> Result<(), Failure> {
    let timeout_s = plan.steps.iter().find(|step| step.kind == StepKind::RunScript).map_or(0, |step| step.timeout_s);
    let mut place = place;
    for work in plugins {
        let name = &work.installed().name;
        let named = PluginName::new(name).ok_or_else(|| {
            let longest = PluginName::LONGEST;
            Failure::new(Code::BadPackage, format!("`{name}` cannot be the name of a plugin: at most {longest} characters"))
        })?;
        // One that is found in two places is one plugin.
        if plan.plugin(&named).is_none() {
            plan.steps.insert(place, Step { kind: step(named), timeout_s });
            plan.plugins.push(work);
            place += 1;
        }
    }
    Ok(())
}

/// Where a step of that kind stands in the plan; behind all where there is none.
fn place_of(plan: &Plan, kind: StepKind) -> usize {
    plan.steps.iter().position(|step| step.kind == kind).unwrap_or(plan.steps.len())
}
