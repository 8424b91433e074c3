//! Why a server that knows the account does not let it in, read from its words: banners, prompts, its goodbye, what a login
//! shell prints.
//!
//! sshd has one answer to everything, "permission denied"; the words beside it are the only sign that a correct password
//! will not do either. A phrase stands here when a server says it to an account that it bars, and not in a warning to
//! everybody ("accounts are locked after three failures").
//!
//! To add a phrase: its row in [`PHRASES`], in lower case. To add a cause: a variant, its row in
//! [`super::failure::Code`], and its phrases.

use super::failure::Code;

/// What bars an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The server wants a proof that nobody gave.
    SecondFactor,
    /// The password is right and too old.
    PasswordExpired,
    /// Locked, most often after too many wrong passwords.
    AccountLocked,
    /// Expired, switched off, or without a login shell.
    AccountUnavailable,
    /// Nobody but root may log in for now (`/etc/nologin`).
    LoginsClosed,
    /// The server ended the login after too many tries.
    TooManyFailures,
}

impl Bar {
    /// Its failure.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::SecondFactor => Code::SecondFactor,
            Self::PasswordExpired => Code::PasswordExpired,
            Self::AccountLocked => Code::AccountLocked,
            Self::AccountUnavailable => Code::AccountUnavailable,
            Self::LoginsClosed => Code::LoginsClosed,
            Self::TooManyFailures => Code::TooManyLoginFailures,
        }
    }

    /// What it means, after "account NAME: ".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::SecondFactor => "another proof is wanted beside what was given",
            Self::PasswordExpired => "the password has expired",
            Self::AccountLocked => "the account is locked",
            Self::AccountUnavailable => "the account is not available",
            Self::LoginsClosed => "the host is closed to logins for now",
            Self::TooManyFailures => "the server allows no further try",
        }
    }

    /// The bar that a server's words name, if they name one.
    #[must_use]
    pub fn read(words: &str) -> Option<Self> {
        let words = normal(words);
        PHRASES.iter().find(|(phrase, _)| words.contains(phrase)).map(|(_, bar)| *bar)
    }
}

/// What servers say, in lower case with single blanks, and what it means. The first one that fits counts.
const PHRASES: &[(&str, Bar)] = &[
    // pam_faillock, pam_tally2, pam_tally; AIX 3004-303; Solaris.
    ("account is locked due to", Bar::AccountLocked),
    ("account locked due to", Bar::AccountLocked),
    ("account has been locked", Bar::AccountLocked),
    ("account temporarily locked", Bar::AccountLocked),
    ("account is currently locked", Bar::AccountLocked),
    ("too many unsuccessful login attempts", Bar::AccountLocked),
    // pam_unix, sssd; AIX 3004-301; nologin(8); sssd and pam_access.
    ("your account has expired", Bar::AccountUnavailable),
    ("account has been disabled", Bar::AccountUnavailable),
    ("account is disabled", Bar::AccountUnavailable),
    ("account is currently not available", Bar::AccountUnavailable),
    // pam_nologin in systemd's words; what sshd and login say by themselves.
    ("not permitted to log in", Bar::LoginsClosed),
    ("pam_nologin", Bar::LoginsClosed),
    // pam_unix, shadow, sssd, sshd without a terminal; AIX 3004-610 and 3004-332; AD by winbind.
    ("required to change your password", Bar::PasswordExpired),
    ("password change required", Bar::PasswordExpired),
    ("you must change your password now", Bar::PasswordExpired),
    ("your password has expired", Bar::PasswordExpired),
    ("password has expired", Bar::PasswordExpired),
    ("password expired. change your password now", Bar::PasswordExpired),
    ("choose a new password", Bar::PasswordExpired),
    // OpenSSH, dropbear, and libraries.
    ("too many authentication", Bar::TooManyFailures),
    ("too many auth", Bar::TooManyFailures),
];

/// What a question of keyboard-interactive asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The password, or something that does not say what it is.
    Password,
    /// What changes from login to login: a code, a token.
    Code,
    /// The password that is to replace an expired one, or that one beside it. Never answered.
    Change,
}

impl Question {
    /// What this prompt asks for.
    #[must_use]
    pub fn read(prompt: &str) -> Self {
        let prompt = normal(prompt);
        let says = |words: &[&str]| words.iter().any(|word| prompt.contains(word));
        if says(&["new password", "new unix password", "current password", "current unix", "(current)", "old password"]) {
            Self::Change
        } else if says(&["code", "token", "one-time", "one time", "otp", "passcode", "second factor", "authenticator", "duo"]) {
            Self::Code
        } else {
            Self::Password
        }
    }
}

/// Lower case, any run of white space a blank: banners are broken into lines.
fn normal(words: &str) -> String {
    words.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_of_an_account_is_recognised() {
        for (words, bar) in [
            ("You are required to change your password immediately (administrator enforced).\n", Bar::PasswordExpired),
            ("WARNING: Your password has expired.\nPassword change required but no TTY available.\n", Bar::PasswordExpired),
            ("3004-610 You are required to change your password.\n\tPlease choose a new one.", Bar::PasswordExpired),
            ("3004-332 Your password has expired.", Bar::PasswordExpired),
            ("The account is locked due to 3 failed logins.\n(10 minutes left to unlock)", Bar::AccountLocked),
            ("Account locked due to 5 failed logins", Bar::AccountLocked),
            ("Your account has been locked. Please contact your System administrator", Bar::AccountLocked),
            (
                "3004-303 There have been too many unsuccessful login attempts; please see\n\tthe system administrator.",
                Bar::AccountLocked,
            ),
            ("Your account has expired; please contact your system administrator.", Bar::AccountUnavailable),
            ("This account is currently not available.", Bar::AccountUnavailable),
            (
                "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For \
                 technical details, see pam_nologin(8).",
                Bar::LoginsClosed,
            ),
            ("Too many authentication failures", Bar::TooManyFailures),
        ] {
            assert_eq!(Bar::read(words), Some(bar), "{words}");
        }
    }

    #[test]
    fn a_warning_to_everybody_bars_nobody() {
        for words in [
            "",
            "Authorised users only. Accounts are locked after three failed logins.",
            "Your password will expire in 5 days.",
            "Passwords are to be changed every 90 days. Contact the administrator when your account does not work.",
            "Permission denied, please try again.",
            "Last failed login: Tue Nov 24 from 10.0.0.1 on ssh:notty\nThere were 3 failed login attempts since the last successful login.",
        ] {
            assert_eq!(Bar::read(words), None, "{words}");
        }
    }

    #[test]
    fn a_prompt_says_what_it_wants() {
        for (prompt, question) in [
            ("Password: ", Question::Password),
            ("(root@web) Password: ", Question::Password),
            ("LDAP password:", Question::Password),
            ("密码：", Question::Password),
            ("", Question::Password),
            ("Verification code: ", Question::Code),
            ("One-time password (OATH) for `ops': ", Question::Code),
            ("Passcode or option (1-3): ", Question::Code),
            ("Current password: ", Question::Change),
            ("(current) UNIX password: ", Question::Change),
            ("New password: ", Question::Change),
            ("Retype new password: ", Question::Change),
        ] {
            assert_eq!(Question::read(prompt), question, "{prompt}");
        }
    }
}
