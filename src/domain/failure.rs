//! Why a host task or a step failed: class, stable code, one safe sentence, remedy, causes.
//!
//! [`Code`] is made from the one table of codes; the exit codes of scripts add theirs (`scripts/exit_codes.toml`) through
//! [`Failure::of_script`]. A failure never carries a secret: its texts are written here or come from a target's output,
//! which never saw one.
//!
//! To add a code: a line of the table. A test keeps the words unique.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::{Effect, StepKind};
use super::step_fields;

/// What kind of trouble it is; decides retries and who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The job may not touch this host.
    NotAdmitted,
    /// No connection to sshd.
    Unreachable,
    /// Connected, but we have no common language.
    Incompatible,
    /// The host key is not the one expected: a security decision.
    HostKey,
    /// The login was refused. Never tried again: accounts get locked.
    Unauthenticated,
    /// Logged in, but not root and no way to become it.
    Unprivileged,
    /// Bytes could not be brought or stored.
    Transfer,
    /// The script ended with a code of its table.
    ScriptFailed,
    /// A deadline passed.
    TimedOut,
    /// The connection or the run went away in the middle.
    Lost,
    /// The script said yes, the agent did not answer.
    Unconfirmed,
    /// Our fault, or our store's.
    Internal,
}

impl FailureClass {
    /// The word in JSON and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAdmitted => "not_admitted",
            Self::Unreachable => "unreachable",
            Self::Incompatible => "incompatible",
            Self::HostKey => "host_key",
            Self::Unauthenticated => "unauthenticated",
            Self::Unprivileged => "unprivileged",
            Self::Transfer => "transfer",
            Self::ScriptFailed => "script_failed",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Unconfirmed => "unconfirmed",
            Self::Internal => "internal",
        }
    }

    /// Reads [`Self::word`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
    }
}

/// One row of the code table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Stable word in JSON.
    pub word: &'static str,
    /// Its class.
    pub class: FailureClass,
    /// What to do about it; lower case, no full stop.
    pub remedy: &'static str,
}

/// Makes [`Code`], its list and its rows from one table.
macro_rules! codes {
    ($($code:ident $word:literal $class:ident $remedy:literal)*) => {
        /// Every failure Landfall itself can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the word of each code, in its row, says it")]
        pub enum Code { $($code),* }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// Word, class and remedy of this code.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$code => Row { word: $word, class: FailureClass::$class, remedy: $remedy }),*
                }
            }
        }
    };
}

codes! {
    ConnectionRefused   "connection_refused"    Unreachable     "start sshd on the host, or correct `port`"
    ConnectTimeout      "connect_timeout"       Unreachable     "check address, routing and firewalls between here and the host"
    NoRoute             "no_route"              Unreachable     "check the address and the route to it"
    ConnectionClosed    "connection_closed"     Unreachable     "look at sshd's log on the host: MaxStartups, PerSourcePenalties or a firewall closes the connection"
    ServerBusy          "server_busy"           Unreachable     "wait, or raise MaxStartups or relax PerSourcePenalties in the sshd_config of that server"
    GatewaysRefused     "gateways_refused"      Unreachable     "make one of the named gateways reachable, and let its sshd forward (AllowTcpForwarding, PermitOpen)"
    GatewayLoginRefused "gateway_login_refused" Unauthenticated "correct the login of the named gateways: in the site file, or of a proxy that a job installed by RESTART_PROXY with the right one; after a changed host key: `landfall hostkey forget`"
    NoGateway           "no_gateway"            NotAdmitted     "give the cloud a proxy (INSTALL_PROXY, or [[proxy]] in the site file), or the install channel a `jump`, with a login that is kept or can be read"
    HandshakeGarbled    "handshake_garbled"     Unreachable     "look at sshd's log, and at what stands between here and the host: bytes arrive changed"
    NoCommonAlgorithm   "no_common_algorithm"   Incompatible    "for an old sshd add the host to `legacy_algorithms` under [ssh] in the site file"
    NotSsh              "not_ssh"               Incompatible    "correct `port`: what answers there does not speak SSH 2"
    NoShell             "no_shell"              Incompatible    "let the account run `sh -c`: its login shell, rc files that ask, exit or exec, ForceCommand in sshd_config, `command=` in authorized_keys"
    NoStdin             "no_stdin"              Incompatible    "let sshd give commands their stdin (ForceCommand, `command=`); or allow the account SFTP in the same directories, and root or sudo without a password"
    NoSftp              "no_sftp"               Incompatible    "give sshd its subsystem sftp: on Windows everything is brought over it"
    UnsupportedOs       "unsupported_os"        Incompatible    "take the host out of the job"
    OsMismatch          "os_mismatch"           Incompatible    "correct `os_type`, or leave it out"
    MissingTool         "missing_tool"          Incompatible    "install the named tool on the host"
    NoPackage           "no_package"            Incompatible    "add a package for this OS and CPU with `landfall package add`"
    BadPackage          "bad_package"           Incompatible    "see `landfall package verify`, and add the package again"
    SeveralInstalled    "several_installed"     Incompatible    "name one with the job field `package`"
    NoAccessPoint       "no_access_point"       Incompatible    "open the way from the host to one access point (routes, firewalls), or name one with `ap_id`"
    NotInstalled        "not_installed"         Incompatible    "install the agent first"
    NotReplaced         "not_replaced"          NotAdmitted     "see why the new proxy failed, then retry the job; until then the zone has its old proxy"
    StillUpstream       "still_upstream"        NotAdmitted     "reload those agents (`landfall job retry` of the job that did, with a login where none is kept), or uninstall or remove them; then retry this job"
    NotForwarding       "not_forwarding"        Unconfirmed     "let the proxy's sshd forward connections: AllowTcpForwarding, PermitOpen, DisableForwarding in sshd_config"
    ZoneUnreached       "zone_unreached"        Unconfirmed     "check routing and firewalls between the proxy and the hosts of its zone; take hosts that are gone out with REMOVE_AGENT"
    ReloadNotEnough     "reload_not_enough"     Incompatible    "use REINSTALL_AGENT, which starts the agent anew with the new values"
    BadHostPath         "bad_host_path"         Incompatible    "give paths of the host's own system with `paths`, or say its `os_type`"
    NotInCodepage       "not_in_codepage"       Incompatible    "use characters of the host's own code page, or ASCII"
    Template            "template_error"        Incompatible    "correct the package's template or give the missing value in `vars`"
    HostKeyChanged      "host_key_changed"      HostKey         "if the host was reinstalled, `landfall hostkey forget ADDRESS`, or REINSTALL_AGENT with `accept_new_host_key`; otherwise somebody may be in between"
    HostKeyRevoked      "host_key_revoked"      HostKey         "give the host another key: the known_hosts file says that this one is in wrong hands"
    HostCertificate     "host_certificate"      HostKey         "sign the host's key anew: its certificate must name the address that is dialled, and be valid now"
    HostKeyUnknown      "host_key_unknown"      HostKey         "make the host's key known first, or set host_keys = \"accept-new\" under [ssh] in the site file"
    PasswordRefused     "password_refused"      Unauthenticated "correct `account` and `password`; it was tried once and will not be tried again by itself"
    KeyRefused          "key_refused"           Unauthenticated "add the public key to the account's authorized_keys, or correct `account` and `key`"
    KeyUnusable         "key_unusable"          Unauthenticated "give the private key's whole text as `key`, and its passphrase as `passphrase`"
    MethodNotOffered    "method_not_offered"    Unauthenticated "choose an `auth_type` that sshd offers, or allow it in sshd_config"
    LoginUndecided      "login_undecided"       Unauthenticated "look at sshd's log on the host before another try: each may count against the account"
    SecondFactor        "second_factor"         Unauthenticated "give the second proof as `second_password`: a password beside the key, or what sshd asks for after the first password"
    PasswordExpired     "password_expired"      Unauthenticated "log in by hand and choose a new password, then give that one"
    AccountLocked       "account_locked"        Unauthenticated "unlock the account on the host (`faillock --user ACCOUNT --reset`, `passwd -u ACCOUNT`), or wait until it unlocks by itself"
    AccountUnavailable  "account_unavailable"   Unauthenticated "give the account a login shell and a date of expiry to come (`usermod -s /bin/sh -e '' ACCOUNT`), or name another `account`"
    LoginsClosed        "logins_closed"         Unauthenticated "remove /etc/nologin on the host, or retry it when it has started up"
    TooManyLoginFailures "too_many_login_failures" Unauthenticated "correct `account` and login; where sshd counts the first question already, raise its MaxAuthTries above 1"
    VaultFailed         "vault_failed"          Unauthenticated "ask the vault by hand as [vault] of the site file does, with this host and account; nothing was sent to the host"
    CredentialExpired   "credential_expired"    Unauthenticated "give the login anew: `landfall job retry ID --credentials FILE`, over HTTP `hosts` of retry/, or another job"
    NotElevated         "not_elevated"          Unprivileged    "log in as an administrator of the domain, or as the built-in Administrator; for a local one set LocalAccountTokenFilterPolicy, so that its token is not filtered"
    NotRoot             "not_root"              Unprivileged    "log in as root, or allow the account to use sudo; for su and doas there is `privilege` in the site file"
    SudoRefused         "sudo_refused"          Unprivileged    "add a sudoers rule that lets the account run /bin/sh as root"
    SudoPasswordRefused "sudo_password_refused" Unprivileged    "correct `sudo_password` (without one, `password` is used)"
    SudoPasswordMissing "sudo_password_missing" Unprivileged    "give `sudo_password`, or a NOPASSWD rule for the account"
    SudoWantsTty        "sudo_wants_tty"        Unprivileged    "put `Defaults:ACCOUNT !requiretty` into sudoers"
    SuRefused           "su_refused"            Unprivileged    "let the account use su: where /etc/pam.d/su has pam_wheel it must be in that group; or take another `privilege` rule in the site file"
    SuPasswordRefused   "su_password_refused"   Unprivileged    "give root's own password as `sudo_password`; a root that is locked has none"
    SuPasswordMissing   "su_password_missing"   Unprivileged    "give root's own password as `sudo_password`"
    SuTimeout           "su_timeout"            Unprivileged    "su did not answer: check its PAM stack, DNS and LDAP on the host"
    DoasRefused         "doas_refused"          Unprivileged    "put `permit ACCOUNT as root` into /etc/doas.conf, or take another `privilege` rule in the site file"
    DoasPasswordRefused "doas_password_refused" Unprivileged    "correct `sudo_password` (without one, `password` is used)"
    DoasPasswordMissing "doas_password_missing" Unprivileged    "give `sudo_password`, or put `permit nopass ACCOUNT as root` into /etc/doas.conf"
    DoasTimeout         "doas_timeout"          Unprivileged    "doas did not answer: check its PAM stack, DNS and LDAP on the host"
    NoTerminal          "no_terminal"           Unprivileged    "let sshd give the account a terminal (PermitTTY, `no-pty` in authorized_keys), or let sudo do without: `Defaults:ACCOUNT !requiretty` in sudoers"
    SudoTimeout         "sudo_timeout"          Unprivileged    "sudo did not answer: check its PAM stack, DNS and LDAP on the host"
    NoSpace             "no_space"              Transfer        "free space in the named directory"
    WriteFailed         "write_failed"          Transfer        "check the named directory on the host: mounted read-only, quota, disk errors"
    ChecksumMismatch    "checksum_mismatch"     Transfer        "check disk and network of the host: it stored other bytes than were sent"
    StateRefused        "state_refused"         Transfer        "the named directory must be a real directory that root made, on Windows one that Landfall made: remove or correct it"
    TransferStalled     "transfer_stalled"      Lost            "check the link: no byte moved for 30 s"
    StepTimeout         "step_timeout"          TimedOut        "see the step's log; a longer deadline is `script_timeout_s` under [limits] in the site file"
    ConnectionLost      "connection_lost"       Lost            "retry the host; check its link if it happens again"
    NoChannel           "no_channel"            Lost            "look at sshd's log on the host: MaxSessions, or no room for another process"
    NoExitStatus        "no_exit_status"        Lost            "retry the host; something there ended the command before it was done"
    Rebooted            "rebooted"              Lost            "the host went down in the middle: retry it when it is up"
    RunLost             "run_lost"              Lost            "the script was killed on the host: look there for the out-of-memory killer, then retry"
    Cancelled           "cancelled"             Lost            "`landfall job retry ID` when the job shall go on after all"
    ManualExpired       "manual_expired"        TimedOut        "`landfall job retry ID`, ask for the command again, and run it on the host within its time"
    AgentSilent         "agent_silent"          Unconfirmed     "look at the agent's log on the host; the health check of its package got no answer"
    AgentDied           "agent_died"            Unconfirmed     "look at the agent's log on the host: it started and ended again"
    AgentStillThere     "agent_still_there"     Unconfirmed     "look at the step's log: the agent runs or its files are there after the uninstall"
    CannotAsk           "cannot_ask"            Unconfirmed     "allow TCP forwarding in sshd, or install curl, wget or bash on the host (not on Windows)"
    ScriptUnknownExit   "script_unknown_exit"   ScriptFailed    "see the step's log"
    Store               "store_unavailable"     Internal        "check disk space and permissions of the data directory"
    Internal            "internal"              Internal        "this is a fault of Landfall: please report it with the job's record"
}

/// Why a host task or a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// Kind of trouble.
    pub class: FailureClass,
    /// Stable word of the code table or of `scripts/exit_codes.toml`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// Where it happened.
    #[serde(flatten, with = "step_fields::maybe_step")]
    #[schema(value_type = FailedStep)]
    pub step: Option<StepKind>,
    /// One safe sentence: lower case, no full stop, no secret.
    pub message: String,
    /// What to do about it.
    #[schema(value_type = String)]
    pub remedy: Cow<'static, str>,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// End of what the target printed, capped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// Does the code's row allow another try where its class would not?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry_once: bool,
}

/// Where a failure happened, as its fields say it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it is only the shape of what `step_fields` writes")]
pub struct FailedStep {
    /// Which step.
    step: Option<StepKind>,
    /// Its plugin, where it is one's.
    #[schema(required = false)]
    subject: Option<String>,
}

/// Longest tail of output kept in a failure.
pub const TAIL_CAP: usize = 2_000;

impl Failure {
    /// A failure of the table.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let row = code.row();
        Self {
            class: row.class,
            code: Cow::Borrowed(row.word),
            step: None,
            message: message.into(),
            remedy: Cow::Borrowed(row.remedy),
            causes: Vec::new(),
            tail: String::new(),
            retry_once: matches!(code, Code::ChecksumMismatch | Code::VaultFailed),
        }
    }

    /// A failure that a script named by its exit code.
    #[must_use]
    pub fn of_script(row: &ScriptExit, message: impl Into<String>) -> Self {
        Self {
            class: row.class,
            code: Cow::Owned(row.name.clone()),
            step: None,
            message: message.into(),
            remedy: Cow::Owned(row.remedy.clone()),
            causes: Vec::new(),
            tail: String::new(),
            retry_once: row.retry,
        }
    }

    /// The same failure, located in `step`.
    #[must_use]
    pub fn at(mut self, step: StepKind) -> Self {
        self.step.get_or_insert(step);
        self
    }

    /// The same failure with the end of the target's output.
    #[must_use]
    pub fn with_tail(mut self, output: &str) -> Self {
        let mut from = output.len().saturating_sub(TAIL_CAP);
        while !output.is_char_boundary(from) {
            from += 1;
        }
        self.tail = output.get(from..).unwrap_or_default().trim().to_owned();
        self
    }

    /// The same failure with a cause below it.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Did the server only ask us to wait? Then it was no attempt.
    #[must_use]
    pub fn asks_to_wait(&self) -> bool {
        self.code == Code::ServerBusy.row().word
    }

    /// May the step be tried again, given what it does?
    #[must_use]
    pub fn retry(&self, effect: Effect) -> RetryAdvice {
        let repeatable = effect != Effect::OneShot;
        match self.class {
            FailureClass::Unreachable => match self.code.as_ref() {
                // It will take connections again: waiting is what it asks for. sshd's longest penalty is ten minutes.
                "server_busy" => RetryAdvice::After { tries: 24, first: Duration::from_secs(2) },
                // Older servers say nothing when they are full or when they punish: a minute or two, seldom asked.
                "connection_closed" => RetryAdvice::After { tries: 8, first: Duration::from_secs(2) },
                // As long as a gateway needs to be restarted.
                "gateways_refused" => RetryAdvice::After { tries: 9, first: Duration::from_secs(2) },
                _ => RetryAdvice::After { tries: 4, first: Duration::from_secs(1) },
            },
            FailureClass::Lost if repeatable => match self.code.as_ref() {
                // The run itself is gone: one new attempt (DESIGN 11).
                "rebooted" | "run_lost" | "terminated" => RetryAdvice::After { tries: 2, first: Duration::from_secs(2) },
                _ => RetryAdvice::After { tries: 5, first: Duration::from_secs(1) },
            },
            _ if self.retry_once && repeatable => RetryAdvice::After { tries: 2, first: Duration::from_secs(1) },
            FailureClass::NotAdmitted
            | FailureClass::Incompatible
            | FailureClass::HostKey
            | FailureClass::Unauthenticated
            | FailureClass::Unprivileged
            | FailureClass::Transfer
            | FailureClass::ScriptFailed
            | FailureClass::TimedOut
            | FailureClass::Lost
            | FailureClass::Unconfirmed
            | FailureClass::Internal => RetryAdvice::Never,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What may be done after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// The result stands.
    Never,
    /// Up to `tries` tries in all, the first pause of a doubling back-off given.
    After {
        /// Tries in all, the failed ones included.
        tries: u32,
        /// First pause; doubles, with jitter, to 30 s at most.
        first: Duration,
    },
}

/// One row of `scripts/exit_codes.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptExit {
    /// Exit code, 1 to 125.
    pub exit: i32,
    /// Stable word.
    pub name: String,
    /// Class of the failure.
    pub class: FailureClass,
    /// May one more attempt be made?
    pub retry: bool,
    /// Did the script touch nothing that runs?
    #[serde(default)]
    pub untouched: bool,
    /// What it means.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_of_its_own_and_a_remedy() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.row().word).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let row = code.row();
            assert!(!row.remedy.is_empty() && !row.remedy.ends_with('.'), "{}", row.word);
            assert_eq!(FailureClass::from_word(row.class.word()), Some(row.class));
        }
    }

    #[test]
    fn refusals_and_decisions_are_final_and_only_trouble_on_the_way_is_tried_again() {
        for (code, effect, again) in [
            (Code::PasswordRefused, Effect::ReadOnly, false),
            (Code::KeyRefused, Effect::ReadOnly, false),
            (Code::HostKeyChanged, Effect::ReadOnly, false),
            (Code::SudoRefused, Effect::ReadOnly, false),
            (Code::NoSpace, Effect::Idempotent, false),
            (Code::AgentSilent, Effect::ReadOnly, false),
            (Code::ConnectionRefused, Effect::ReadOnly, true),
            (Code::ConnectTimeout, Effect::ReadOnly, true),
            (Code::ConnectionLost, Effect::Idempotent, true),
            (Code::TransferStalled, Effect::Idempotent, true),
            (Code::ConnectionLost, Effect::OneShot, false),
            (Code::RunLost, Effect::Idempotent, true),
            (Code::ChecksumMismatch, Effect::Idempotent, true),
            (Code::VaultFailed, Effect::ReadOnly, true),
        ] {
            let advice = Failure::new(code, "x").retry(effect);
            assert_eq!(advice != RetryAdvice::Never, again, "{code:?} {effect:?}");
        }
    }

    #[test]
    fn a_tail_is_cut_at_a_character() {
        let failure = Failure::new(Code::Internal, "x").with_tail(&"中".repeat(TAIL_CAP));
        assert!(failure.tail.len() <= TAIL_CAP && failure.tail.chars().all(|c| c == '中'));
    }
}
