//! Files over SFTP, and a clerk in the server who takes them in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use landfall::transport::{Session, Sftp, TransportError};

use crate::client::{Client, run};
use crate::server::{Server, Ways, serve};

const INIT: u8 = 1;
const OPEN: u8 = 3;
const WRITE: u8 = 6;
const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const SLICE: usize = 32 * 1024;

/// What is written, by path.
pub(crate) type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Who serves SFTP on one channel. A file's handle is its path.
pub(crate) struct Clerk {
    files: Files,
    /// Writes are answered when so many wait.
    pile: usize,
    waiting: Vec<[u8; 4]>,
    heard: Vec<u8>,
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[kind], body].concat()
}

fn text(words: &[u8]) -> Vec<u8> {
    [&u32::try_from(words.len()).unwrap().to_be_bytes()[..], words].concat()
}

fn status(id: &[u8], code: u8) -> Vec<u8> {
    framed(STATUS, &[id, &[0, 0, 0, code], &text(b"so it is"), &text(b"")].concat())
}

/// Takes a string off the front.
fn string<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = body.split_at(4);
    let (string, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
    *body = rest;
    string
}

impl Clerk {
    pub(crate) fn new(files: Files, pile: usize) -> Self {
        Self { files, pile, waiting: Vec::new(), heard: Vec::new() }
    }

    /// What is said to these bytes.
    pub(crate) fn hear(&mut self, data: &[u8]) -> Vec<u8> {
        self.heard.extend_from_slice(data);
        let mut said = Vec::new();
        while let Some(length) = self.heard.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize)
            && self.heard.len() >= 4 + length
        {
            let packet: Vec<u8> = self.heard.drain(..4 + length).skip(4).collect();
            said.extend(self.answer(packet[0], &packet[1..]));
        }
        said
    }

    fn answer(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let (id, mut rest) = body.split_at(4);
        match kind {
            INIT => framed(VERSION, &[0, 0, 0, 3]),
            OPEN => {
                let path = string(&mut rest);
                let truncates = rest[3] & 0x10 != 0;
                let mut files = self.files.lock().unwrap();
                let file = files.entry(String::from_utf8(path.to_vec()).unwrap()).or_default();
                if truncates {
                    file.clear();
                }
                framed(HANDLE, &[id, &text(path)].concat())
            }
            WRITE => {
                let path = String::from_utf8(string(&mut rest).to_vec()).unwrap();
                let (offset, mut rest) = rest.split_at(8);
                let (offset, data) = (u64::from_be_bytes(offset.try_into().unwrap()) as usize, string(&mut rest));
                if path == "/full" {
                    return status(id, 4);
                }
                let mut files = self.files.lock().unwrap();
                let file = files.get_mut(&path).unwrap();
                file.resize(file.len().max(offset + data.len()), 0);
                file[offset..offset + data.len()].copy_from_slice(data);
                self.waiting.push(id.try_into().unwrap());
                if self.waiting.len() < self.pile {
                    return Vec::new();
                }
                self.waiting.drain(..).flat_map(|id| status(&id, 0)).collect()
            }
            _ => status(id, 0),
        }
    }
}

/// A session whose server answers writes when so many wait.
async fn session(pile: usize) -> (Server, Box<dyn Session>) {
    let server = serve(Ways { sftp: Some(pile), ..Ways::default() }).await;
    let session = Client::new().session(server.address).await;
    (server, session)
}

fn noise(size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).unwrap();
    bytes.into()
}

async fn write(sftp: &mut dyn Sftp, (path, offset): (&str, u64), bytes: Bytes) -> Result<(), TransportError> {
    sftp.open(path, offset).await?;
    sftp.write(bytes).await?;
    sftp.finish().await
}

#[tokio::test]
async fn a_file_is_written_by_64_writes_at_once_and_taken_up_where_it_ended() {
    let (server, mut session) = session(64).await;
    let whole = noise(3 * 64 * SLICE);
    let half = 64 * SLICE;
    let mut sftp = session.sftp().await.expect("a file service");
    sftp.make_dir("/inbox").await.unwrap();
    write(&mut *sftp, ("/inbox/a", 0), whole.slice(..half)).await.expect("one pile");
    write(&mut *sftp, ("/inbox/a", half as u64), whole.slice(half..)).await.expect("two more");
    assert_eq!(server.book.files.lock().unwrap()["/inbox/a"], whole);
    drop(sftp);
    run(&mut session, "say hello").await.expect("the session goes on");
}

#[tokio::test]
async fn a_write_that_is_refused_is_told_with_the_file_and_the_words_of_the_server() {
    let (_server, mut session) = session(1).await;
    let mut sftp = session.sftp().await.unwrap();
    let refused = write(&mut *sftp, ("/full", 0), noise(10)).await.unwrap_err();
    assert!(refused.to_string().starts_with("/full cannot be written by SFTP: so it is"), "{refused}");
}

#[tokio::test]
async fn writes_that_nobody_answers_stall() {
    let (_server, mut session) = session(usize::MAX).await;
    let mut sftp = session.sftp().await.unwrap();
    let stalled = write(&mut *sftp, ("/a", 0), noise(100 * SLICE)).await.unwrap_err();
    assert!(matches!(stalled, TransportError::Stalled(_)), "{stalled:?}");
}

#[tokio::test]
async fn a_server_without_files_says_so_and_still_runs_commands() {
    let server = serve(Ways::default()).await;
    let mut session = Client::new().session(server.address).await;
    let error = session.sftp().await.err().expect("no file service");
    assert!(matches!(error, TransportError::NoSftp { .. }), "{error:?}");
    run(&mut session, "say hello").await.expect("the session goes on");
}
