//! One question to an agent over a stream that the host opened for us.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;

use crate::domain::failure::{Code, Failure};
use crate::domain::package::Question;
use crate::transport::Stream;

/// One question may take this long; the next one asks again.
pub(super) const ONE_ANSWER: Duration = Duration::from_secs(5);

/// What the agent said.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is well.
    Yes,
    /// Not yet; what was seen.
    NotYet(String),
}

/// Host and port of a question.
pub(super) fn endpoint(question: Question<'_>) -> Result<(String, u16), Failure> {
    let bad = |text: &str| Failure::new(Code::BadPackage, format!("`{text}` of the health check names no host and port"));
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match question {
        Question::Http(url) => {
            let uri: Uri = url.parse().map_err(|_| bad(url))?;
            Ok((bare(uri.host().ok_or_else(|| bad(url))?), uri.port_u16().unwrap_or(80)))
        }
        Question::Tcp(text) => {
            let (host, port) = text.rsplit_once(':').ok_or_else(|| bad(text))?;
            Ok((bare(host), port.parse().map_err(|_| bad(text))?))
        }
        Question::Command(text) => Err(bad(text)),
    }
}

/// Asks once.
pub(super) async fn once(stream: Box<dyn Stream>, question: Question<'_>) -> Answer {
    match question {
        // The host connected: that is the answer.
        Question::Tcp(_) | Question::Command(_) => Answer::Yes,
        Question::Http(url) => match tokio::time::timeout(ONE_ANSWER, get(stream, url)).await {
            Ok(Ok(status)) if status.is_success() => Answer::Yes,
            Ok(Ok(status)) => Answer::NotYet(format!("{url} says {status}")),
            Ok(Err(error)) => Answer::NotYet(format!("{url}: {error}")),
            Err(_) => Answer::NotYet(format!("{url} said nothing for {} s", ONE_ANSWER.as_secs())),
        },
    }
}

async fn get(stream: Box<dyn Stream>, url: &str) -> Result<hyper::StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let uri: Uri = url.parse()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("localhost", |authority| authority.as_str());
    let request = Request::get(path).header("host", authority).header("connection", "close").body(Empty::<bytes::Bytes>::new())?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        // Read to the end: an agent that dies while it answers has not answered.
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<_, hyper::Error>(status)
    };
    tokio::pin!(asking);
    tokio::select! {
        status = &mut asking => Ok(status?),
        ended = connection => {
            ended?;
            Ok(asking.await?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_endpoint() {
        for (question, host, port) in [
            (Question::Http("http://127.0.0.1:9100/metrics"), "127.0.0.1", 9100),
            (Question::Http("http://[::1]/"), "::1", 80),
            (Question::Tcp("[::1]:5"), "::1", 5),
            (Question::Tcp("localhost:5"), "localhost", 5),
        ] {
            assert_eq!(endpoint(question).unwrap(), (host.to_owned(), port));
        }
        assert_eq!(endpoint(Question::Tcp("nowhere")).unwrap_err().code, "bad_package");
    }
}
