//! The compose file and its images: that they can be had, and what is said where something is missing for them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::project::{Project, ROOT, docker, landfall_context, program, programs, run, told};

#[test]
fn the_compose_file_is_valid_for_every_compose_that_is_here() {
    assert!(!programs().is_empty(), "no compose here");
    for words in programs() {
        let mut command = program(words);
        command.args(["config", "--quiet"]).current_dir(ROOT);
        let output = run(command);
        assert!(output.status.success() && told(&output).is_empty(), "{words:?}: {}", told(&output));
    }
}

#[test]
fn a_host_that_takes_keys_only_says_how_to_make_one() {
    let project = Project::prepared();
    let output = docker(&["run", "--rm", &project.image("key")]);
    assert!(!output.status.success());
    assert!(told(&output).contains("no client key at /client.pub; make it: scripts/base-image.sh"), "{}", told(&output));
}

/// Builds the image `landfall` with this binary, which must fail with these words.
#[track_caller]
fn build_fails(binary: Option<&Path>, words: &str) {
    let project = Project::prepared();
    landfall_context(&project.context(), binary);
    let output = project.compose(&["build", "--force-rm", "landfall"]);
    assert!(!output.status.success(), "{}", told(&output));
    // The builder also shows the instruction itself, with all that it could say.
    let said = told(&output).lines().any(|line| line.contains(words) && !line.contains("echo"));
    assert!(said, "{}", told(&output));
}

#[test]
fn without_a_release_binary_the_image_says_how_to_build_one() {
    build_fails(None, "target/release/landfall is not there. Make it with: cargo build --release");
}

#[test]
fn a_binary_that_does_not_run_on_the_base_is_told_apart_from_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let binary = dir.path().join("landfall");
    std::fs::write(&binary, "#!/nowhere\n").expect("a file");
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    build_fails(Some(&binary), "target/release/landfall does not run on landfall-base.");
}
