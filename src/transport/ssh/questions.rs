//! Keyboard-interactive: a dialogue of rounds, each with any number of questions. PAM adds rounds that only tell something.
//!
//! A question gets a secret only once, and only one that fits it: a code is never answered by the password of the account,
//! and nobody chooses a new password for somebody else. Never here: which method is used ([`super::auth`]).

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Answer, Prompt};
use secrecy::ExposeSecret;

use crate::domain::barred::{Bar, Question};
use crate::transport::TransportError;

use super::auth::{Exchange, Verdict};
use super::key::{Password, SECOND};

/// Words beside the questions that are kept, at most.
const HEARD_CAP: usize = 4096;

/// Questions of one round, at most: no login asks more, and every one of them costs a look.
const QUESTIONS: usize = 8;

/// What was answered in one dialogue.
#[derive(Default)]
struct Answered {
    /// The questions.
    prompts: Vec<String>,
    /// Which secret went out last.
    last: Option<&'static str>,
}

impl Exchange<'_> {
    /// Our passwords as the answers to the server's questions.
    pub(super) async fn reply(&mut self) -> Verdict {
        let mut answered = Answered::default();
        let mut answer = self.link.authenticate_keyboard_interactive_start(self.account, None).await;
        loop {
            match answer {
                Ok(Answer::InfoRequest { name, instructions, prompts }) => {
                    self.hear(&format!("{name}\n{instructions}\n"));
                    let answers = self.answers(&prompts, &mut answered)?;
                    answer = self.link.authenticate_keyboard_interactive_respond(answers).await;
                }
                Ok(Answer::Success) => return Ok(None),
                Ok(Answer::Failure { partial_success: false, remaining_methods })
                    if answered.last.is_none() && !remaining_methods.is_empty() && Bar::read(&self.heard).is_none() =>
                {
                    return Err(self.not_offered("password", "keyboard-interactive that asks nothing".to_owned()));
                }
                Ok(Answer::Failure { remaining_methods, partial_success }) => {
                    let failure = AuthResult::Failure { remaining_methods, partial_success };
                    return self.judge(answered.last.unwrap_or("password"), Ok(failure)).await;
                }
                Err(error) => return self.judge(answered.last.unwrap_or("password"), Err(error)).await,
            }
        }
    }

    /// The answers of one round, or why there are none: then nothing goes out.
    fn answers(&mut self, prompts: &[Prompt], answered: &mut Answered) -> Result<Vec<String>, TransportError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<&str> = prompts.iter().take(QUESTIONS + 1).map(|prompt| prompt.prompt.as_str()).collect();
        // What bars the account is told before the question, or in front of it: then no answer opens it.
        let change = asked.iter().any(|prompt| Question::read(prompt) == Question::Change).then_some(Bar::PasswordExpired);
        let words = format!("{}{}", self.heard, asked.join(" "));
        if let Some(bar) = change.or_else(|| Bar::read(&words)) {
            return Err(self.barred(bar, &words));
        }
        // The same question again: the answer did not do.
        if asked.iter().any(|prompt| answered.prompts.iter().any(|before| before == prompt)) {
            return Err(self.refusal(answered.last.unwrap_or("password")));
        }
        if asked.len() > QUESTIONS {
            return Err(self.not_offered("password", "keyboard-interactive that asks without end".to_owned()));
        }
        let mut answers = Vec::with_capacity(asked.len());
        for prompt in asked {
            let Some(Password { name, secret }) = self.fitting(Question::read(prompt)) else {
                return Err(self.barred(Bar::SecondFactor, &format!("{}{prompt}", self.heard)));
            };
            answered.last = Some(name);
            answered.prompts.push(prompt.to_owned());
            answers.push(secret.expose_secret().to_owned());
        }
        self.sent = true;
        Ok(answers)
    }

    /// The secret for such a question.
    fn fitting(&mut self, question: Question) -> Option<Password> {
        let passwords = &mut self.proofs.passwords;
        match question {
            Question::Password => passwords.pop_front(),
            Question::Code => passwords.pop_back_if(|password| password.name == SECOND),
            Question::Change => None,
        }
    }

    /// Keeps the server's words, the first ones.
    pub(super) fn hear(&mut self, words: &str) {
        if !words.trim().is_empty() && self.heard.len() + words.len() <= HEARD_CAP {
            self.heard.push_str(words);
        }
    }
}
