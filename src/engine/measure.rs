//! How far servers are from a host: connect times, measured by the host itself.
//!
//! Through its session (direct-tcpip), so that nothing is needed there; where sshd does not forward, in one exec. All servers
//! are asked beside each other, a bounded number at a time, each a few times, and the shortest time counts: what disturbs a
//! measurement makes it longer. A time through the session has the way between here and the host in it; how long that is
//! tells a port of the host's own that nobody listens on, and it is taken off. Never here: what the figures mean
//! (`plan::nearest`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ask::ONE_ANSWER;
use super::become_root::Become;
use super::talk::Talk;
use crate::assets;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Privilege;
use crate::domain::site::AccessPoint;
use crate::plan::nearest::{self, Judged, Reached};
use crate::transport::{Connector, ForwardError, Session};

/// Connections to one server.
const TRIES: u32 = 3;

/// The same to one that does not answer: a lost packet must not decide.
const VAIN_TRIES: u32 = 2;

/// Servers that are asked at once (`scripts/unix/measure.sh` has the same number).
const AT_ONCE: usize = 8;

/// Longest wait for one connection: a server across the world answers in a third of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// A port of the host's own that nobody listens on (tcpmux).
const OWN: (&str, u16) = ("127.0.0.1", 1);

/// Access points, as far as they are from the host.
pub(super) async fn judged<'a>(
    session: &mut dyn Session,
    points: &'a [AccessPoint],
    root: Become<'_>,
) -> Result<Vec<Judged<'a>>, Failure> {
    let servers = nearest::servers(points);
    if servers.is_empty() {
        return Ok(nearest::judge(points, &Reached::new()));
    }
    let reached = match through_session(session, &servers).await? {
        Some(reached) => reached,
        None => on_host(session, &servers, root).await?,
    };
    Ok(nearest::judge(points, &reached))
}

/// Measures through the session; `None` when sshd does not forward everything, for times of both ways do not compare.
async fn through_session(session: &mut dyn Session, servers: &[String]) -> Result<Option<Reached>, Failure> {
    let Some(own) = own(session).await? else { return Ok(None) };
    let connector = session.connector();
    let mut waiting: VecDeque<&String> = servers.iter().collect();
    let (mut asked, mut reached) = (JoinSet::new(), Reached::new());
    loop {
        while asked.len() < AT_ONCE
            && let Some(server) = waiting.pop_front()
        {
            asked.spawn(one(connector.clone(), server.clone()));
        }
        let Some(done) = asked.join_next().await else { return Ok(Some(reached)) };
        let (server, took) = done.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        match took {
            Ok(took) => reached.insert(server, took.map(|took| took.saturating_sub(own))),
            Err(ForwardError::NotAllowed(why)) => {
                tracing::debug!(server, why, "sshd does not forward there");
                return Ok(None);
            }
            Err(ForwardError::Transport(error)) => return Err(error.into()),
            Err(ForwardError::NotYet) => reached.insert(server, Err("refused or unreachable".into())),
        };
    }
}

/// The way to the host and back; `None` when its sshd does not forward.
async fn own(session: &mut dyn Session) -> Result<Option<Duration>, Failure> {
    let mut shortest = Duration::MAX;
    for _ in 0..TRIES {
        let begun = Instant::now();
        match tokio::time::timeout(ONE_ANSWER, session.forward(OWN.0, OWN.1)).await {
            Ok(Ok(_) | Err(ForwardError::NotYet)) => shortest = shortest.min(begun.elapsed()),
            Ok(Err(ForwardError::NotAllowed(_))) => return Ok(None),
            Ok(Err(ForwardError::Transport(error))) => return Err(error.into()),
            Err(_) => return Err(Failure::new(Code::ConnectionLost, "the host did not say whether it forwards")),
        }
    }
    Ok(Some(shortest))
}

/// The shortest of a few connections to a server, else why there is none; an error when it cannot be asked that way.
async fn one(connector: Arc<dyn Connector>, server: String) -> (String, Result<Result<Duration, String>, ForwardError>) {
    let Some((host, port)) = nearest::endpoint(&server) else { return (server, Ok(Err("has no port".into()))) };
    let (mut shortest, mut vain, mut why) = (None::<Duration>, 0, String::new());
    for _ in 0..TRIES {
        let begun = Instant::now();
        match tokio::time::timeout(PATIENCE, connector.connect(host, port)).await {
            Ok(Ok(_)) => {
                let took = begun.elapsed();
                shortest = Some(shortest.map_or(took, |shortest| shortest.min(took)));
                continue;
            }
            Ok(Err(ForwardError::NotYet)) => why = "refused or unreachable".into(),
            Ok(Err(error)) => return (server, Err(error)),
            Err(_) => why = format!("no answer within {} s", PATIENCE.as_secs()),
        }
        vain += 1;
        if vain == VAIN_TRIES {
            break;
        }
    }
    (server, Ok(shortest.ok_or(why)))
}

/// Lets the host measure by its own tools, in one exec. The step's deadline is its end.
async fn on_host(session: &mut dyn Session, servers: &[String], root: Become<'_>) -> Result<Reached, Failure> {
    if root.privilege == Privilege::Elevated {
        let why = "there is no way to ask: sshd does not forward, and nothing on Windows measures";
        return Ok(servers.iter().map(|server| (server.clone(), Err(why.to_owned()))).collect());
    }
    let tries = TRIES.to_string();
    let args: Vec<&str> = std::iter::once(tries.as_str()).chain(servers.iter().map(String::as_str)).collect();
    let mut talk = Talk::open_as_root(session, &assets::MEASURE, &args, root).await?;
    let mut reached = Reached::new();
    while let Some(answer) = talk.answer().await? {
        let (word, value) = answer.split_once('=').unwrap_or((answer.as_str(), ""));
        let (first, rest) = value.split_once(' ').unwrap_or((value, ""));
        match word {
            "took" => {
                let micros = rest.parse().map_err(|_| Failure::new(Code::Internal, format!("unexpected answer `{answer}`")))?;
                reached.insert(first.to_owned(), Ok(Duration::from_micros(micros)));
            }
            "silent" => {
                reached.insert(first.to_owned(), Err(rest.to_owned()));
            }
            "cannot" => {
                let why = format!("there is no way to ask: sshd does not forward, and {value}");
                reached = servers.iter().map(|server| (server.clone(), Err(why.clone()))).collect();
            }
            _ => {
                talk.end().await;
                for server in servers {
                    reached.entry(server.clone()).or_insert_with(|| Err("the host said nothing of it".into()));
                }
                return Ok(reached);
            }
        }
    }
    let how = talk.exit().map_or_else(String::new, ToString::to_string);
    Err(Failure::new(Code::ConnectionLost, format!("the host ended measuring without its last word ({how})"))
        .with_tail(&talk.complaint()))
}
