//! A TCP way to a server that breaks when a test says so, and is whole again for the next connection.
//!
//! ```text
//! client ──► reader ──queue──► writer ──► server      one pump per direction; what its writer does with the bytes
//!        ◄── writer ◄──queue── reader ◄──             is the direction's Flow, which a Fault changes
//! ```
//! A fault strikes one connection, once: at the byte it was armed for ([`Proxy::arm`]), or at once ([`Proxy::strike`]).
//! [`Proxy::hold`] keeps back what the server says, so that a test may wait until a deed is done and lose the answer to it.
//! Nothing here sleeps or guesses; the only time that passes is that of a delay.
//!
//! To add a fault: a variant of [`Fault`], and what it makes of the two flows in [`Line::suffer`].

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Chunks on their way in one direction: more than a link of 300 ms needs here, far less than a payload.
const QUEUE: usize = 16;

/// Bytes that a packet of SSH begins with and that say how long it is.
const LENGTH: usize = 4;

/// One end of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Client,
    Server,
}

/// What goes wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Both ends get a reset.
    Cut,
    /// Nothing moves any more, and both connections stay open.
    Stall,
    /// The same, until [`Proxy::relent`]: what was on its way to the server comes late.
    Late,
    /// One end gets a FIN in place of further bytes; the other direction goes on.
    HalfClose(End),
    /// One bit of what is on its way to one end arrives changed, once.
    Corrupt(End),
    /// Everything takes so much longer, in both directions, until the connection ends.
    Delay(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Stall => "stall",
            Self::Late => "late",
            Self::HalfClose(End::Client) => "fin_to_client",
            Self::HalfClose(End::Server) => "fin_to_server",
            Self::Corrupt(End::Client) => "bit_to_client",
            Self::Corrupt(End::Server) => "bit_to_server",
            Self::Delay(_) => "delay",
        })
    }
}

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// They arrive.
    Moves,
    /// They wait.
    Waits,
    /// They arrive, the next ones with a changed bit.
    Flips,
    /// They are lost; the end of the stream is told when it comes.
    Loses,
    /// They are lost, and the end of the stream is told now.
    Ends,
}

/// The way to one server. Dropped, it resets nothing and closes everything.
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    way: Arc<Way>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Way {
    armed: Mutex<VecDeque<Armed>>,
    /// Bytes that clients sent.
    sent: AtomicU64,
    /// The newest connection.
    line: Mutex<Option<Arc<Line>>>,
    /// Those that a [`Fault::Late`] has struck.
    late: Mutex<Vec<Arc<Line>>>,
    struck: AtomicUsize,
    connections: AtomicUsize,
}

/// A fault that waits for its byte.
#[derive(Clone, Copy)]
struct Armed {
    fault: Fault,
    /// Bytes from the client until then.
    after: u64,
}

/// One connection.
struct Line {
    flows: watch::Sender<Flows>,
    cut: CancellationToken,
}

#[derive(Clone, Copy)]
struct Flows {
    to_client: Flow,
    to_server: Flow,
    delay: Duration,
}

impl Flows {
    fn of(&self, end: End) -> Flow {
        match end {
            End::Client => self.to_client,
            End::Server => self.to_server,
        }
    }

    fn set(&mut self, end: End, flow: Flow) {
        match end {
            End::Client => self.to_client = flow,
            End::Server => self.to_server = flow,
        }
    }
}

impl Proxy {
    /// A way to `server`, whole at first.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let way = Arc::<Way>::default();
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&way)));
        Self { address, way, accepting }
    }

    /// The fault strikes when `after` more bytes have come from the client: the next one is the first that suffers.
    pub fn arm(&self, fault: Fault, after: u64) {
        self.arm_each([(fault, after)]);
    }

    /// Several, one after the other: each counts from the byte that the one before struck at.
    pub fn arm_each(&self, faults: impl IntoIterator<Item = (Fault, u64)>) {
        *self.way.armed.lock().unwrap() = faults.into_iter().map(|(fault, after)| Armed { fault, after }).collect();
    }

    /// From now on nothing that the server says on the newest connection arrives.
    pub fn hold(&self) {
        self.line().flows.send_modify(|flows| flows.to_client = Flow::Waits);
    }

    /// The fault strikes the newest connection now. What was held back is lost with it, or changed by it.
    pub fn strike(&self, fault: Fault) {
        self.way.strike(&self.line(), fault);
    }

    /// Whatever stalled moves again, as far as the server is concerned; nobody hears its answers any more.
    pub fn relent(&self) {
        for line in self.way.late.lock().unwrap().drain(..) {
            line.flows.send_modify(|flows| (flows.to_client, flows.to_server) = (Flow::Loses, Flow::Moves));
        }
    }

    /// How many faults have struck.
    pub fn struck(&self) -> usize {
        self.way.struck.load(Ordering::SeqCst)
    }

    /// Bytes that came from clients, on all connections, whatever became of them.
    pub fn sent(&self) -> u64 {
        self.way.sent.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.way.connections.load(Ordering::SeqCst)
    }

    fn line(&self) -> Arc<Line> {
        self.way.line.lock().unwrap().clone().expect("a connection")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Way {
    fn strike(&self, line: &Arc<Line>, fault: Fault) {
        self.struck.fetch_add(1, Ordering::SeqCst);
        if fault == Fault::Late {
            self.late.lock().unwrap().push(Arc::clone(line));
        }
        line.suffer(fault);
    }

    /// Counts what comes from the client: where in `count` more bytes an armed fault strikes, and which.
    fn due(&self, count: usize) -> Option<(usize, Fault)> {
        let mut armed = self.armed.lock().unwrap();
        let Armed { fault, after } = armed.front_mut()?;
        match usize::try_from(*after) {
            Ok(at) if at < count => {
                let due = (at, *fault);
                armed.pop_front();
                Some(due)
            }
            _ => {
                *after -= count as u64;
                None
            }
        }
    }
}

impl Line {
    fn suffer(&self, fault: Fault) {
        self.flows.send_modify(|flows| {
            if flows.to_client == Flow::Waits {
                flows.to_client = Flow::Loses;
            }
            match fault {
                Fault::Cut | Fault::Stall | Fault::Late => (flows.to_client, flows.to_server) = (Flow::Waits, Flow::Waits),
                Fault::HalfClose(end) => flows.set(end, Flow::Ends),
                Fault::Corrupt(end) => flows.set(end, Flow::Flips),
                Fault::Delay(delay) => flows.delay = delay,
            }
        });
        if fault == Fault::Cut {
            self.cut.cancel();
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, way: Arc<Way>) {
    // Dropped with this task, and with it every connection.
    let mut lines = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        way.connections.fetch_add(1, Ordering::SeqCst);
        let flows = Flows { to_client: Flow::Moves, to_server: Flow::Moves, delay: Duration::ZERO };
        let line = Arc::new(Line { flows: watch::Sender::new(flows), cut: CancellationToken::new() });
        *way.line.lock().unwrap() = Some(Arc::clone(&line));
        lines.spawn(carry(client, server, line, Arc::clone(&way)));
        while lines.try_join_next().is_some() {}
    }
}

/// One connection, from its first byte to its end.
async fn carry(mut client: TcpStream, server: SocketAddr, line: Arc<Line>, way: Arc<Way>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let moving = async {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Pump { line: &line, way: Some(&way), end: End::Server };
        let down = Pump { line: &line, way: None, end: End::Client };
        tokio::try_join!(up.run(from_client, to_server), down.run(from_server, to_client))
    };
    tokio::select! {
        _ = moving => {}
        () = line.cut.cancelled() => {
            for socket in [&client, &server] {
                // A close without lingering is a reset.
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

/// One direction of a connection.
struct Pump<'a> {
    line: &'a Arc<Line>,
    /// Where armed faults are looked for; only what comes from the client is counted.
    way: Option<&'a Way>,
    end: End,
}

impl Pump<'_> {
    async fn run(self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let (queue, due) = mpsc::channel(QUEUE);
        tokio::try_join!(self.read(from, queue), self.write(due, to)).map(drop)
    }

    /// Takes what comes; a reset is the end of the stream too, which a stalled way does not tell.
    async fn read(&self, mut from: impl AsyncRead + Unpin, queue: mpsc::Sender<(Instant, Vec<u8>)>) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = from.read(&mut chunk).await
            && count > 0
        {
            if let Some(way) = self.way {
                way.sent.fetch_add(count as u64, Ordering::SeqCst);
            }
            let at = Instant::now() + self.line.flows.borrow().delay;
            if queue.send((at, chunk[..count].to_vec())).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Gives on what came, as the flow says.
    async fn write(&self, mut due: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut flows = self.line.flows.subscribe();
        // What was taken from the queue and not given on yet.
        let mut rest = Vec::new();
        loop {
            let flow = flows.borrow_and_update().of(self.end);
            match flow {
                Flow::Waits => {
                    let _ = flows.changed().await;
                    continue;
                }
                Flow::Ends => {
                    to.shutdown().await?;
                    while due.recv().await.is_some() {}
                    return Ok(());
                }
                Flow::Loses => rest.clear(),
                Flow::Flips if !rest.is_empty() => self.flip(&mut rest),
                Flow::Moves | Flow::Flips => {}
            }
            if !rest.is_empty() {
                to.write_all(&rest).await?;
                rest.clear();
            }
            tokio::select! {
                biased;
                _ = flows.changed() => {}
                next = due.recv() => match next {
                    Some((at, chunk)) => {
                        tokio::time::sleep_until(at).await;
                        rest = self.up_to_the_fault(chunk, &mut to).await?;
                    }
                    None => return to.shutdown().await,
                },
            }
        }
    }

    /// When an armed fault is due within `chunk`, gives on what comes before it and lets it strike.
    async fn up_to_the_fault(&self, mut chunk: Vec<u8>, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
        if let Some(way) = self.way
            && let Some((at, fault)) = way.due(chunk.len())
        {
            let rest = chunk.split_off(at);
            to.write_all(&chunk).await?;
            way.strike(self.line, fault);
            return Ok(rest);
        }
        Ok(chunk)
    }

    /// One bit of the first packet, behind its length: nothing that comes from here on is believed.
    fn flip(&self, bytes: &mut [u8]) {
        let at = LENGTH.min(bytes.len() - 1);
        bytes[at] ^= 1;
        self.line.flows.send_modify(|flows| flows.set(self.end, Flow::Moves));
    }
}
