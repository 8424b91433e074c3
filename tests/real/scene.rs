//! What most stories begin with: hosts, an installation of Landfall, and a package in it.

use tempfile::TempDir;

use crate::landfall::Landfall;
use crate::package::{Archive, Package};
use crate::world::World;

pub struct Scene {
    pub world: World,
    pub landfall: Landfall,
    pub archive: Archive,
    /// For files of the test; the archive is there.
    pub dir: TempDir,
}

impl Scene {
    #[track_caller]
    pub fn new(world: World, package: Package) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the package");
        let archive = package.build(dir.path());
        Self { landfall: Landfall::with(&archive.file), world, archive, dir }
    }

    /// With one host, called `a`, where root logs in by password.
    #[track_caller]
    pub fn one_host(package: Package) -> Self {
        Self::new(World::up(&[("a", "password")]), package)
    }

    /// Address of the host `a`.
    #[track_caller]
    pub fn ip(&self) -> &str {
        &self.world.host("a").ip
    }
}
