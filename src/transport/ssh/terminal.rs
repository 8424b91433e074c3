//! The terminal that a command is given when whoever it must pass asks its questions nowhere else.
//!
//! Never here: when one is needed (the engine's), and making it take every byte: the program does that itself, once nothing
//! is asked any more.

use russh::client::Msg;
use russh::{ChannelWriteHalf, Pty};

/// No character of this kind: `_POSIX_VDISABLE` as RFC 4254 has it.
const NONE: u32 = 255;

/// What the terminal does not do. Lines stay (ICANON): PAM reads its answer by one read, which must not end inside of it.
const MODES: [(Pty, u32); 27] = [
    // A password may hold any character.
    (Pty::VINTR, NONE),
    (Pty::VQUIT, NONE),
    (Pty::VERASE, NONE),
    (Pty::VKILL, NONE),
    (Pty::VEOF, NONE),
    (Pty::VEOL, NONE),
    (Pty::VEOL2, NONE),
    (Pty::VSTART, NONE),
    (Pty::VSTOP, NONE),
    (Pty::VSUSP, NONE),
    (Pty::VREPRINT, NONE),
    (Pty::VWERASE, NONE),
    (Pty::VLNEXT, NONE),
    (Pty::ISTRIP, 0),
    (Pty::INLCR, 0),
    (Pty::IGNCR, 0),
    (Pty::ICRNL, 0),
    (Pty::IXON, 0),
    (Pty::IXOFF, 0),
    (Pty::ISIG, 0),
    (Pty::ICANON, 1),
    (Pty::IEXTEN, 0),
    // Nothing that is sent comes back.
    (Pty::ECHO, 0),
    (Pty::ECHONL, 0),
    (Pty::OPOST, 0),
    (Pty::CS8, 1),
    (Pty::PARENB, 0),
];

/// Asks for the terminal; the answer comes on the channel.
pub(super) async fn request(write: &ChannelWriteHalf<Msg>) -> Result<(), russh::Error> {
    // `dumb`: nobody is to colour anything. The size is the usual one; a program that asks gets a number.
    write.request_pty(true, "dumb", 80, 24, 0, 0, &MODES).await
}
