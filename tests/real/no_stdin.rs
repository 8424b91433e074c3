//! Servers that give commands no stdin: what these should have read comes by SFTP, and the rest is as everywhere.

use std::net::SocketAddr;

use crate::kinds::restarts_and_goes;
use crate::landfall::{Landfall, Report, install};
use crate::package::{self, Package};
use crate::proxy::{Fault, Proxy};
use crate::scene::Scene;
use crate::target::{assert_answers, listing};
use crate::world::World;

/// What the upload of the package tells of itself.
#[track_caller]
fn uploaded(scene: &Scene, report: &Report) -> (u64, String) {
    let step = scene.landfall.step(report.job(), "upload_package");
    (step["figures"]["bytes_sent"].as_u64().unwrap(), step["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_agent_comes_and_goes_and_nothing_stays_in_the_home() {
    let world = World::up(&[("root", "no-stdin"), ("ops", "no-stdin-sudo")]);
    let landfall = Landfall::with(&package::node_exporter());
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();
    let installed = landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        assert_answers(host);
        let upload = installed.events_of(&host.ip, "step_finished").find(|event| event["step"] == "upload_package");
        assert!(
            upload.is_some_and(|event| event["figures"]["detail"].as_str().unwrap_or_default().contains("by SFTP")),
            "{upload:?}"
        );
    }
    restarts_and_goes(&landfall, &world, &before);
}

#[test]
fn a_package_that_is_there_is_not_sent_again() {
    let scene = Scene::new(World::up(&[("a", "no-stdin")]), Package::tiny("tiny").with_noise(300_000));
    let first = scene.landfall.succeed(&install(scene.world.hosts()));
    assert_eq!(uploaded(&scene, &first).0, scene.archive.size);
    let again = scene.landfall.succeed(&install(scene.world.hosts()));
    assert_eq!(uploaded(&scene, &again).0, 0);
}

#[test]
fn cut_in_the_middle_it_goes_on_where_the_host_has_the_right_bytes() {
    let scene = Scene::new(World::up(&[("a", "no-stdin")]), Package::tiny("big").with_noise(20_000_000));
    let host = scene.world.host("a");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = runtime.block_on(Proxy::before(SocketAddr::new(host.ip.parse().unwrap(), host.port)));
    proxy.arm_each([(Fault::Cut, 8_000_000), (Fault::Cut, 7_000_000)]);
    let mut job = install(scene.world.hosts());
    job["hosts"][0]["login_ip"] = proxy.address.ip().to_string().into();
    job["hosts"][0]["port"] = proxy.address.port().into();

    let report = scene.landfall.succeed(&job);

    assert_eq!(proxy.struck(), 2);
    let most = scene.archive.size + 2 * 3 * 1024 * 1024;
    assert!(proxy.sent() <= most, "{} bytes were sent, {most} are allowed", proxy.sent());
    let (_, detail) = uploaded(&scene, &report);
    assert!(detail.contains("by SFTP, taken up at "), "{detail}");
    let blob = scene.world.exec("a", &format!("sha256sum </var/lib/landfall/blobs/{}", scene.archive.sha256));
    assert!(blob.starts_with(&scene.archive.sha256), "{blob}");
}

#[test]
fn a_part_of_other_bytes_is_not_built_upon() {
    let scene = Scene::new(World::up(&[("a", "no-stdin")]), Package::tiny("tiny").with_noise(300_000));
    let inbox = "/root/.landfall-inbox";
    scene.world.exec("a", &format!("mkdir {inbox} && head -c 200000 /dev/zero >{inbox}/{}.part", scene.archive.sha256));
    let report = scene.landfall.succeed(&install(scene.world.hosts()));
    assert_eq!(uploaded(&scene, &report).0, scene.archive.size);
    assert_eq!(scene.world.exec("a", &format!("ls -d {inbox} 2>/dev/null || :")), "");
}

#[test]
fn what_cannot_do_without_stdin_is_told_by_its_name() {
    let world = World::up(&[("asks", "no-stdin-sudo"), ("bare", "no-stdin"), ("apart", "no-stdin")]);
    world.exec("asks", "sed -i 's/NOPASSWD: //' /etc/sudoers.d/ops");
    world.exec("bare", "sed -i '/^Subsystem/d' /etc/ssh/sshd_config && pkill -HUP -o sshd");
    // Its SFTP sees another file system than its commands.
    world.exec(
        "apart",
        "sed -i 's|exec \"$SSH_ORIGINAL_COMMAND\"|exec unshare -m sh -c \"mount -t tmpfs none /root; exec $SSH_ORIGINAL_COMMAND\"|' \
         /usr/local/sbin/no-stdin",
    );
    let landfall = Landfall::with(&Package::tiny("tiny").build(tempfile::tempdir().unwrap().path()).file);
    let job = install(world.hosts());
    let file = landfall.job_file(&job);
    let checked = landfall.call(&["check", file.to_str().unwrap()]).stdout;
    for words in ["sudo asks for a password", "offers no SFTP"] {
        assert_eq!(checked.matches(words).count(), 1, "{words}: {checked}");
    }
    let report = landfall.run(&job);
    for (name, step, words) in [
        ("asks", "probe", "sudo asks for a password"),
        ("bare", "upload_package", "offers no SFTP"),
        ("apart", "upload_package", "is not there for commands"),
    ] {
        let ip = &world.host(name).ip;
        assert_eq!(report.failure(ip), ("incompatible", "no_stdin", step), "{name}");
        let message = report.host(ip)["failure"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{name}: {message}");
    }
}
