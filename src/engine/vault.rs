//! TJJ_PASSWORD: the password of a host, asked for just before its login, of a command or an HTTP service (`[vault]` of the
//! site file). It is never stored, and one login asks once.
//!
//! Never here: what is asked ([`crate::domain::site::Vault`]), logging in. No error tells what was answered.
//!
//! To add another kind of vault: its key in the site file, and an arm in [`look`].

mod http;
mod program;

use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::domain::credential::{Auth, Credential, Secret};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::site::Vault;

/// Questions at once in this process: a vault is one service, and every question may be a program of its own.
static QUESTIONS: Semaphore = Semaphore::const_new(8);

/// Longest answer.
const ANSWER_CAP: usize = 64 * 1024;

/// The credential with the password in it, if it is in the vault's hands. Waiting for a place is no part of the deadline.
pub(super) async fn open(vault: Option<&Vault>, host: &HostSpec, credential: Credential) -> Result<Credential, Failure> {
    let (Auth::Vault, second) = credential.auth.parts() else { return Ok(credential) };
    let vault = vault.ok_or_else(|| failed("the site file has no [vault] to ask"))?;
    let _place = QUESTIONS.acquire().await;
    let after = Duration::from_secs(vault.timeout_s);
    let password = match tokio::time::timeout(after, look(vault, host)).await {
        Ok(answer) => answer.map_err(|why| failed(&why))?,
        Err(_) => return Err(failed(&format!("it did not answer within {} s", after.as_secs()))),
    };
    let auth = Auth::Password(password.clone()).and(second.cloned());
    Ok(Credential { auth, sudo_password: credential.sudo_password.or(Some(password)) })
}

fn failed(why: &str) -> Failure {
    Failure::new(Code::VaultFailed, format!("no password from the vault: {why}"))
}

async fn look(vault: &Vault, host: &HostSpec) -> Result<Secret, String> {
    let odd = || "the account's name cannot be asked for".to_owned();
    if vault.url.is_some() {
        return http::ask(vault, &vault.url_for(host).ok_or_else(odd)?).await;
    }
    program::ask(&vault.command_for(host).ok_or_else(odd)?).await
}

/// The first line of an answer.
fn first_line(answer: &[u8]) -> Result<Secret, String> {
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| "its answer is no text".to_owned())?;
    match text {
        "" => Err("its answer has an empty first line".to_owned()),
        text if text.contains('\0') => Err("its answer is no text".to_owned()),
        text => Ok(Secret::from(text)),
    }
}

/// A buffer that is wiped and never moves, so that no copy of an answer stays behind.
fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(ANSWER_CAP + 1))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_answer_is_its_first_line() {
        for (answer, password) in [
            (&b"Pa ss$w\"0rd'!\n"[..], Some("Pa ss$w\"0rd'!")),
            (b" blanks count \r\nuser: root\n", Some(" blanks count ")),
            (b"no line end", Some("no line end")),
            (b"", None),
            (b"\nsecond", None),
            (b"\xff\xfe\n", None),
            (b"a\0b\n", None),
        ] {
            assert_eq!(first_line(answer).ok().as_ref().map(ExposeSecret::expose_secret), password);
        }
    }
}
