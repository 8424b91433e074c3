//! A client in a process of its own: it says when it is ready, begins when it is told, and says what it spent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::gauge::{Cost, Watch, own_cpu};

/// A client that is ready.
pub struct Client {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Client {
    /// This program again, as the client that `arguments` name.
    pub fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("client").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, stdout };
        assert_eq!(client.line(), ["ready"]);
        client
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Lets it work, and gives the numbers it tells after wall clock and CPU.
    pub fn go(mut self) -> (Cost, Vec<u64>) {
        let watch = Watch::start();
        watch.add(self.child.id());
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let told: Vec<u64> = self.line().iter().map(|word| word.parse().unwrap()).collect();
        let memory = watch.end();
        assert!(self.child.wait().unwrap().success());
        let [wall, cpu, rest @ ..] = told.as_slice() else { panic!("a client said {told:?}") };
        (Cost { wall: Duration::from_micros(*wall), cpu: Duration::from_micros(*cpu), memory }, rest.to_vec())
    }
}

/// The other end of it: waits for the word, does `work`, and tells what that cost and what it gave.
pub fn work(work: impl FnOnce() -> Vec<u64>) {
    println!("ready");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
    assert_eq!(word, "go\n");
    let (began, before) = (Instant::now(), own_cpu());
    let gave = work();
    let (wall, cpu) = (began.elapsed(), own_cpu() - before);
    let words: Vec<String> =
        [wall.as_micros(), cpu.as_micros()].into_iter().chain(gave.into_iter().map(u128::from)).map(|n| n.to_string()).collect();
    println!("{}", words.join(" "));
}
