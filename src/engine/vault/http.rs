//! A vault that is an HTTP service: one GET, over TLS unless it is on this machine.
//!
//! The answer is JSON (the password at `pointer`, else at `/password`), or text whose first line it is.

use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::{ANSWER_CAP, buffer, first_line};
use crate::domain::credential::Secret;
use crate::domain::site::Vault;
use crate::transport::Stream;

/// Where the password stands when nothing else is said.
const POINTER: &str = "/password";

/// Fetches the password. The address is not told in errors: what is asked may be nobody's business.
pub(super) async fn ask(vault: &Vault, url: &str) -> Result<Secret, String> {
    let uri: Uri = url.parse().map_err(|_| "`url` gives no address".to_owned())?;
    let authority = uri.authority().ok_or("`url` names no host")?.clone();
    let told = |error: &dyn std::fmt::Display| format!("{authority}: {error}");
    let stream = connect(vault, &uri).await.map_err(|error| told(&error))?;
    let mut request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json, text/plain");
    if let Some(file) = &vault.token_file {
        request = request.header(AUTHORIZATION, bearer(file).await?);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|_| "the request cannot be made".to_owned())?;

    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let answer = async {
        let mut response = sender.send_request(request).await.map_err(|error| told(&error))?;
        if !response.status().is_success() {
            return Err(told(&format!("answers {}", response.status())));
        }
        let is_json =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.contains("json"));
        let mut body = buffer();
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|error| told(&error))?;
            let piece = frame.data_ref().map(|piece| piece.as_ref()).unwrap_or_default();
            if body.len() + piece.len() > ANSWER_CAP {
                return Err(told(&format!("answers with more than {} KiB", ANSWER_CAP / 1024)));
            }
            body.extend_from_slice(piece);
        }
        read(&body, is_json, vault.pointer.as_deref())
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The end of the connection is not the end of what it brought.
        _ = connection => answer.await,
    }
}

/// The password in an answer.
fn read(body: &[u8], is_json: bool, pointer: Option<&str>) -> Result<Secret, String> {
    if !is_json && pointer.is_none() {
        return first_line(body);
    }
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| "its answer is no JSON".to_owned())?;
    let pointer = pointer.unwrap_or(POINTER);
    match answer.pointer_mut(pointer).map(Value::take) {
        Some(Value::String(text)) if !text.is_empty() && !text.contains('\0') => Ok(Secret::from(text)),
        Some(Value::String(_)) => Err(format!("its answer has an empty text at `{pointer}`")),
        _ => Err(format!("its answer has no text at `{pointer}`")),
    }
}

async fn bearer(file: &Path) -> Result<hyper::header::HeaderValue, String> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
    let token = Secret::from(text);
    let line = Zeroizing::new(format!("Bearer {}", token.expose_secret().trim()));
    let mut value = hyper::header::HeaderValue::from_str(&line).map_err(|_| format!("{}: not a token", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn connect(vault: &Vault, uri: &Uri) -> Result<Box<dyn Stream>, String> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    if !secure {
        return Ok(Box::new(tcp));
    }
    let file = vault.ca_file.as_ref().ok_or("no `ca_file`")?;
    let pem = tokio::fs::read(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if roots.is_empty() {
        return Err(format!("{}: there is no certificate in it (PEM: BEGIN CERTIFICATE)", file.display()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| error.to_string())?;
    Ok(Box::new(tls))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn text(answer: Result<Secret, String>) -> Result<String, String> {
        answer.map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn an_answer_is_json_or_a_line() {
        assert_eq!(text(read(b"hunter2\n", false, None)), Ok("hunter2".into()));
        assert_eq!(text(read(br#"{"password": "hunter2"}"#, true, None)), Ok("hunter2".into()));
        let nested = br#"{"data": {"data": {"root": "hunter2"}}}"#;
        assert_eq!(text(read(nested, true, Some("/data/data/root"))), Ok("hunter2".into()));
        for (body, is_json, pointer) in [
            (&nested[..], true, None),
            (b"hunter2", true, None),
            (b"hunter2", false, Some("/password")),
            (br#"{"password": 2, "hunter2": 0}"#, true, None),
            (br#"{"password": ""}"#, true, None),
            (b"", false, None),
        ] {
            assert!(read(body, is_json, pointer).is_err_and(|why| !why.contains("hunter2")));
        }
    }

    /// A service that gives one answer; and what it was asked.
    async fn service(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/10.0.0.1?a=b", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let count = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn the_service_is_asked_once_with_the_token_of_its_file() {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "s.token\n").unwrap();
        let vault: Vault = toml::from_str(&format!("url = \"x\"\ntoken_file = \"{}\"", token.path().display())).unwrap();
        let (url, asked) =
            service("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n{\"password\": \"hunter2\"}")
                .await;
        assert_eq!(text(ask(&vault, &url).await), Ok("hunter2".into()));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /v1/10.0.0.1?a=b HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer s.token\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_service_that_refuses_is_told_by_its_status_alone() {
        let vault: Vault = toml::from_str("url = \"x\"").unwrap();
        let (url, _asked) = service("HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nhunter2").await;
        let why = ask(&vault, &url).await.map(|_| ()).unwrap_err();
        assert!(why.contains("403") && !why.contains("hunter2") && !why.contains("/v1"), "{why}");
    }
}
