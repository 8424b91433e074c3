//! put.sh and bundle.sh: bytes arrive whole, once, and only where they belong.

use crate::sandbox::under_every_shell;
use crate::target::{STATE, bundle, file, noise, put, put_as, sha256};

#[test]
fn an_upload_resumes_where_it_broke_and_is_skipped_when_it_is_there() {
    under_every_shell(|host| {
        let blob = noise(1_500_000);
        let digest = sha256(&blob);
        let broken = put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[..600_000]);
        assert_eq!(broken.words(), ["ready", "want=0", "fail=short 600000 of 1500000"]);
        assert_eq!(broken.code, 1);
        let resumed = put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[600_000..]);
        assert_eq!(resumed.words(), ["ready", "want=600000", "stored"]);
        assert_eq!(
            host.sh(&format!("sha256sum {STATE}/blobs/* | cut -c 1-64; ls -A {STATE}/blobs")),
            format!("{digest}\n{digest}")
        );
        for tool in ["sha256sum", "shasum", "openssl", "none"] {
            assert_eq!(put_as(host, STATE, (&digest, blob.len(), tool), b"").words(), ["ready", "have"], "{tool}");
        }
    });
}

#[test]
fn what_comes_late_for_a_broken_upload_does_not_reach_the_one_that_took_its_place() {
    under_every_shell(|host| {
        let blob = noise(1_500_000);
        let digest = sha256(&blob);
        for begun in [0, 600_000] {
            put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[..begun]);
            let part = format!("{STATE}/blobs/.{digest}.part");
            let waits = ": >/tmp/waits; until [ -e /tmp/late ]; do sleep 0.1; done; echo late; : >/tmp/told";
            host.sh(&format!("({waits}) >>{part} 2>/dev/null &"));
            host.sh("until [ -e /tmp/waits ]; do sleep 0.1; done");
            let whole = put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[begun..]);
            assert_eq!(whole.words(), ["ready", &format!("want={begun}"), "stored"]);
            host.sh(": >/tmp/late; until [ -e /tmp/told ]; do sleep 0.1; done; rm /tmp/late /tmp/told /tmp/waits");
            assert_eq!(
                host.sh(&format!("sha256sum {STATE}/blobs/* | cut -c 1-64; ls -A {STATE}/blobs")),
                format!("{digest}\n{digest}")
            );
            host.sh(&format!("rm {STATE}/blobs/*"));
        }
    });
}

#[test]
fn a_wrong_checksum_is_refused_and_leaves_nothing() {
    under_every_shell(|host| {
        let digest = sha256(b"expected");
        for tool in ["sha256sum", "shasum", "openssl"] {
            let words = put_as(host, STATE, (&digest, 8, tool), b"tampered").words();
            assert_eq!(words[..2], ["ready", "want=0"]);
            assert!(words[2].starts_with("fail=checksum "), "{words:?}");
        }
        let words = put_as(host, STATE, (&digest, 8, "sha256sum"), b"expected and more").words();
        assert!(words[2].starts_with("fail=checksum "), "{words:?}");
        assert_eq!(host.sh(&format!("ls -A {STATE}/blobs")), "");
        // A file that went bad on the disk is sent again.
        assert_eq!(put(host, STATE, b"expected").words(), ["ready", "want=0", "stored"]);
        host.sh(&format!("printf tampered >{STATE}/blobs/{digest}"));
        assert_eq!(put(host, STATE, b"expected").words(), ["ready", "want=0", "stored"]);
    });
}

#[test]
fn without_a_digest_tool_only_the_size_is_vouched_for() {
    under_every_shell(|host| {
        let digest = sha256(b"unknown");
        assert_eq!(put_as(host, STATE, (&digest, 5, "none"), b"bytes").words(), ["ready", "want=0", "stored=unverified"]);
        assert_eq!(put_as(host, STATE, (&digest, 5, "none"), b"").words(), ["ready", "have"]);
        assert_eq!(put_as(host, STATE, (&digest, 6, "none"), b"").words(), ["ready", "want=0", "fail=short 0 of 6"]);
    });
}

#[test]
fn a_full_disk_is_told_before_and_during_an_upload() {
    under_every_shell(|host| {
        host.sh("mkdir /opt/small && mount -t tmpfs -o size=2m small /opt/small");
        let blob = noise(3_000_000);
        let before = put(host, "/opt/small/state", &blob).words();
        assert_eq!(before, ["ready", "fail=no_space /opt/small/state/blobs has 2048 kB free, 3954 kB are needed"]);
        // The size was a lie, or somebody else filled the disk meanwhile.
        let during = put_as(host, "/opt/small/state", (&sha256(&blob), 100, "sha256sum"), &blob).words();
        assert_eq!(during, ["ready", "want=0", "fail=no_space /opt/small/state/blobs has 0 kB free"]);
        host.sh("rm -f /opt/small/state/blobs/.*.part");
        let files = [("x".to_owned(), 0o600, blob)];
        let bundled = bundle(host, "/opt/small/state/stage/task", &files).words();
        assert!(bundled[1].starts_with("fail=no_space "), "{bundled:?}");
        assert_eq!(host.sh("ls -A /opt/small/state/stage"), "");
    });
}

#[test]
fn a_state_directory_that_others_could_swap_is_refused() {
    under_every_shell(|host| {
        host.sh("mkdir /opt/real /opt/theirs && ln -s /opt/real /opt/link && chown 12 /opt/theirs");
        for (state, reason) in [("/opt/link", "is a symbolic link"), ("/opt/theirs", "belongs to user 12")] {
            assert_eq!(put(host, state, b"x").words(), ["ready", &format!("fail=state_refused {state} {reason}")]);
            let stage = format!("{state}/stage/task");
            assert_eq!(bundle(host, &stage, &[]).words(), ["ready", &format!("fail=state_refused {state} {reason}")]);
        }
        host.sh(&format!("mkdir -m 777 {STATE} && ln -s /opt/real {STATE}/blobs"));
        assert!(put(host, STATE, b"x").words()[1].starts_with("fail=state_refused "));
        host.sh(&format!("rm {STATE}/blobs"));
        assert_eq!(put(host, STATE, b"x").words(), ["ready", "want=0", "stored"]);
        assert_eq!(host.sh(&format!("ls -ld {STATE} | cut -c 1-10")), "drwx------");
        assert_eq!(host.sh("ls -A /opt/real"), "");
    });
}

#[test]
fn a_bundle_arrives_whole_and_replaces_the_one_before() {
    under_every_shell(|host| {
        let dir = format!("{STATE}/stage/task");
        let long = noise(2_500_000);
        let files = [
            file("empty", 0o600, ""),
            file("a/b/c d.conf", 0o640, "one\ntwo"),
            ("long".to_owned(), 0o755, long.clone()),
            file("last", 0o644, ""),
        ];
        assert_eq!(bundle(host, &dir, &files).words(), ["ready", "stored"]);
        let listed =
            host.sh(&format!("cd {dir} && for f in empty 'a/b/c d.conf' long last; do ls -l \"$f\" | cut -c 1-10; done"));
        assert_eq!(listed, "-rw-------\n-rw-r-----\n-rwxr-xr-x\n-rw-r--r--");
        assert_eq!(host.sh(&format!("cat '{dir}/a/b/c d.conf' {dir}/empty {dir}/last")), "one\ntwo");
        assert_eq!(host.sh(&format!("sha256sum <{dir}/long | cut -c 1-64")), sha256(&long));
        assert_eq!(bundle(host, &dir, &[file("only", 0o600, "1")]).words(), ["ready", "stored"]);
        assert_eq!(host.sh(&format!("ls -A {dir} {STATE}/stage")), format!("{STATE}/stage:\ntask\n\n{dir}:\nonly"));
    });
}

#[test]
fn a_bundle_that_is_too_short_or_too_long_changes_nothing() {
    under_every_shell(|host| {
        let dir = format!("{STATE}/stage/task");
        assert_eq!(bundle(host, &dir, &[file("old", 0o600, "kept")]).words(), ["ready", "stored"]);
        let text = &landfall::assets::BUNDLE;
        for (sent, got) in [("1234", 4), ("123456", 6)] {
            let answer = host.script(text, &[dir.as_str(), "new", "600", "3", "other", "600", "2"], sent.as_bytes());
            assert_eq!(answer.words(), ["ready", &format!("fail=short {got} of 5")]);
        }
        assert_eq!(host.sh(&format!("ls -A {STATE}/stage; cat {dir}/old")), "task\nkept");
    });
}

#[test]
fn a_bundle_writes_nowhere_else() {
    under_every_shell(|host| {
        let dir = format!("{STATE}/stage/task");
        for name in ["../out", "a/../../out", "/etc/out", "", ".", "..", "a//b", "a/"] {
            assert_eq!(bundle(host, &dir, &[file(name, 0o644, "")]).words(), ["ready", &format!("fail=bad_name {name}")]);
        }
        for dir in ["relative", "/", "/one", "/var/lib/landfall/stage/../../x", "/var/lib//x", ""] {
            assert_eq!(bundle(host, dir, &[]).words(), ["ready", &format!("fail=bad_argument directory {dir}")]);
        }
        for (digest, size) in [("../../etc/passwd", "1"), ("abc", "1"), (sha256(b"x").as_str(), "1x")] {
            let answer = host.script(&landfall::assets::PUT, &[STATE, digest, size, "none"], b"x");
            assert!(answer.words()[1].starts_with("fail=bad_argument "), "{answer:?}");
        }
        assert_eq!(host.sh("find / -xdev -name out -o -name etc -path '*stage*'"), "");
    });
}

#[test]
fn a_connection_that_dies_in_the_middle_leaves_a_partial_to_go_on_from() {
    under_every_shell(|host| {
        let blob = noise(400_000);
        let digest = sha256(&blob);
        // The reader is killed, not told: no trap, no exit path runs.
        host.write("/tmp/put.sh", landfall::assets::PUT.as_bytes(), 0o755);
        host.write("/tmp/half", &blob[..200_000], 0o600);
        let command = format!(
            "mkfifo /tmp/pipe; sh /tmp/put.sh {STATE} {digest} 400000 sha256sum </tmp/pipe >/tmp/said & exec 9>/tmp/pipe; \
             cat /tmp/half >&9; for i in 1 2 3 4 5 6 7 8 9 10; do [ \"$(wc -c <{STATE}/blobs/.{digest}.part)\" -eq 200000 ] && break; \
             sleep 0.2; done; kill -KILL $!; exec 9>&-"
        );
        host.sh(&command);
        let resumed = put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[200_000..]);
        assert_eq!(resumed.words(), ["ready", "want=200000", "stored"], "{}", host.sh("cat /tmp/said"));
    });
}

#[test]
fn what_sftp_brought_is_taken_from_the_inbox_whole_or_not_at_all() {
    under_every_shell(|host| {
        let blob = noise(300_000);
        let digest = sha256(&blob);
        let inbox = "/tmp/inbox/a.part";
        let argument = format!("inbox={inbox}");
        let put =
            || host.script(&landfall::assets::PUT, &[argument.as_str(), STATE, &digest, "300000", "sha256sum"], b"not this");
        assert_eq!(put().words(), ["ready", "part=0 none"]);
        host.sh("mkdir -p /tmp/inbox");
        host.write(inbox, &blob[..200_000], 0o600);
        assert_eq!(put().words(), ["ready", &format!("part=200000 {}", sha256(&blob[..200_000]))]);
        host.write(inbox, &noise(300_001)[1..], 0o600);
        let wrong = put().words();
        assert!(wrong[1] == "want=0" && wrong[2].starts_with("fail=checksum "), "{wrong:?}");
        assert_eq!(host.sh("ls -d /tmp/in* 2>/dev/null || :"), "");
        host.sh("mkdir -p /tmp/inbox");
        // A partial upload by stdin does not count.
        put_as(host, STATE, (&digest, blob.len(), "sha256sum"), &blob[..100_000]);
        host.write(inbox, &blob, 0o600);
        assert_eq!(put().words(), ["ready", "want=0", "stored"]);
        assert_eq!(put().words(), ["ready", "have"]);
        assert_eq!(host.sh(&format!("ls -d /tmp/in* 2>/dev/null; ls -A {STATE}/blobs")), digest);
    });
}

#[test]
fn a_bundle_comes_out_of_the_inbox_and_leaves_what_else_is_there() {
    under_every_shell(|host| {
        let dir = format!("{STATE}/stage/task");
        let bundle = || host.script(&landfall::assets::BUNDLE, &["inbox=/tmp/in/a", &dir, "x", "600", "4"], b"");
        assert_eq!(bundle().words(), ["ready", "fail=no_inbox /tmp/in/a"]);
        host.sh("mkdir /tmp/in && echo kept >/tmp/in/b && printf text >/tmp/in/a");
        assert_eq!(bundle().words(), ["ready", "stored"]);
        assert_eq!(host.sh(&format!("cat {dir}/x; ls /tmp/in")), "textb");
        host.sh("ln -s /etc/passwd /tmp/in/a");
        assert_eq!(bundle().words(), ["ready", "fail=no_inbox /tmp/in/a"], "a link is no inbox");
    });
}
