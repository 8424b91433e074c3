//! One OpenSSH server on all loopback addresses, for root with a key; nothing about it slows a client down.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where sshd is; it wants to be called by its whole name.
const SSHD: &str = "/usr/sbin/sshd";

/// A running sshd, and everything a client needs to log in. Its files lie in memory where there is a place for that.
pub struct Sshd {
    child: Child,
    pub dir: tempfile::TempDir,
    pub port: u16,
}

impl Sshd {
    pub fn start() -> Self {
        assert!(Path::new(SSHD).exists(), "no {SSHD}: apt-get install openssh-server");
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("landfall-bench-").tempdir_in(place).unwrap();
        for name in ["host_key", "key"] {
            let file = dir.path().join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status().unwrap();
            assert!(made.success());
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = [
            format!("Port {port}"),
            "ListenAddress 0.0.0.0".to_owned(),
            format!("HostKey {}", at("host_key")),
            format!("AuthorizedKeysFile {}", at("key.pub")),
            format!("PidFile {}", at("pid")),
            "StrictModes no\nPermitRootLogin yes\nUsePAM no\nUseDNS no\nMaxStartups 2000\nPrintMotd no".to_owned(),
            "Subsystem sftp internal-sftp\nLogLevel QUIET".to_owned(),
            // What the login shell of this machine's root reads first is none of the clients' cost.
            format!("SetEnv HOME={}", dir.path().display()),
        ];
        std::fs::File::create(dir.path().join("config")).unwrap().write_all(config.join("\n").as_bytes()).unwrap();
        // For OpenSSH's clients, also for the one that goes to a jump host: it takes the file, and no options.
        let client = [
            format!("Port {port}\nUser root\nIdentityFile {}\nIdentitiesOnly yes", at("key")),
            "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR".to_owned(),
            "KexAlgorithms curve25519-sha256\nCiphers aes128-gcm@openssh.com\n".to_owned(),
        ];
        std::fs::write(dir.path().join("ssh_config"), client.join("\n")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new(SSHD).args(["-D", "-e", "-f", &at("config")]).stdin(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, dir, port }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Host `index`: a loopback address of its own.
pub fn address(index: usize, port: u16) -> SocketAddr {
    let [high, low] = u16::try_from(index + 1).unwrap().to_be_bytes();
    (Ipv4Addr::new(127, 20, high, low), port).into()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
