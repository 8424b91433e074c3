//! What is on a host when all is over, looked at from beside SSH.

use std::collections::HashMap;

use crate::package::Archive;
use crate::world::World;

/// Prints what is asked below, one `KEY=VALUE` a line.
const LOOK: &str = "cd /var/lib/landfall
echo runs=$(sed -n 's/.*run START //p' history.log)
echo blobs=$(ls -A blobs)
echo blob=$(cat blobs/* | sha256sum | cut -d ' ' -f 1)
echo stage=$(ls -A stage)
echo log=$(cat runs/*/log | sha256sum | cut -d ' ' -f 1)
echo agents=$(cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[s]h bin/agent' | wc -l)
cd /usr/local/gse/tiny/current && sha256sum $(find . -type f) | sed 's|^\\([0-9a-f]*\\)  ./\\(.*\\)$|file \\2=\\1|'";

/// What was found.
pub struct Found(HashMap<String, String>);

impl Found {
    pub fn on(world: &World, name: &str) -> Self {
        let told = world.exec(name, LOOK);
        Self(told.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect())
    }

    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Run ids in the order in which the host started them.
    pub fn runs(&self) -> Vec<&str> {
        self.get("runs").split_whitespace().collect()
    }

    /// What is not as a clean install leaves it.
    pub fn faults(&self, archive: &Archive) -> Vec<String> {
        let expected = [("blobs", archive.sha256.as_str()), ("blob", archive.sha256.as_str()), ("stage", ""), ("agents", "1")];
        let mut faults: Vec<String> = expected
            .into_iter()
            .filter(|(key, value)| self.get(key) != *value)
            .map(|(key, value)| format!("{key} is `{}`, not `{value}`", self.get(key)))
            .collect();
        for (path, digest) in &archive.files {
            if self.get(&format!("file {path}")) != digest {
                faults.push(format!("{path} holds other bytes than the package"));
            }
        }
        faults
    }
}
