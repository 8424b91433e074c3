//! Rules of a record: how long a credential is kept, and for whom.

use landfall::domain::credential::{Auth, Credential};
use landfall::domain::event::EventKind;
use landfall::domain::outcome::Outcome;
use landfall::store::{NewHost, Store};
use secrecy::ExposeSecret;

use crate::fixture::{
    DAY_S, PASSWORD, address, at, claimed, commit, end, ended, good_course, host, host_write, interrupted, job, job_of, kept,
    left_out,
};

fn password(credential: &Credential) -> String {
    match &credential.auth {
        Auth::Password(password) => password.expose_secret().to_owned(),
        _ => panic!("a key"),
    }
}

fn with_password(text: &str, host: NewHost) -> NewHost {
    NewHost { credential: Some(Credential { auth: Auth::Password(text.into()), sudo_password: None }), ..host }
}

pub(crate) async fn a_credential_is_read_back_as_it_was_given(store: &dyn Store) {
    let mut keyed = host(1);
    let pem: String = (0..60).map(|i| format!("line {i} \"\\ 中\n")).collect();
    keyed.credential = Some(Credential {
        auth: Auth::Key { pem: pem.clone().into(), passphrase: Some("opens".into()) },
        sudo_password: Some("sudo".into()),
    });
    let (_, claims) = claimed(store, job_of(vec![host(0), keyed, left_out(2)])).await;
    assert_eq!(password(&store.credential(claims[0].task).await.unwrap().unwrap()), PASSWORD);
    let read = store.credential(claims[1].task).await.unwrap().unwrap();
    let Auth::Key { pem: read_pem, passphrase } = read.auth else { panic!("a password") };
    assert_eq!((read_pem.expose_secret(), passphrase.unwrap().expose_secret()), (pem.as_str(), "opens"));
    assert_eq!(read.sudo_password.unwrap().expose_secret(), "sudo");
}

pub(crate) async fn retention_runs_from_the_terminal_state(store: &dyn Store) {
    let (_, claims) = claimed(store, job_of(vec![kept(0, 0), kept(1, 1), kept(2, -1), kept(3, 400_000_000_000)])).await;
    for claim in &claims {
        end(store, *claim, 1000).await;
    }
    // None of days: gone with the transaction that ended the host.
    assert!(store.credential(claims[0].task).await.unwrap().is_none());
    assert_eq!(store.purge_credentials(at(1000 + DAY_S - 1)).await.unwrap(), 0);
    assert!(store.credential(claims[1].task).await.unwrap().is_some());
    assert_eq!(store.purge_credentials(at(1000 + DAY_S)).await.unwrap(), 1);
    assert!(store.credential(claims[1].task).await.unwrap().is_none());
    // Long term, and a number of days that is as good as that.
    assert_eq!(store.purge_credentials(at(1000 + 50 * 365 * DAY_S)).await.unwrap(), 0);
    assert!(store.credential(claims[2].task).await.unwrap().is_some());
    assert!(store.credential(claims[3].task).await.unwrap().is_some());
}

pub(crate) async fn an_unfinished_host_keeps_its_credential_for_seven_days_at_most(store: &dyn Store) {
    let (_, claims) = claimed(store, job_of(vec![kept(0, 0), kept(1, 30), kept(2, -1), kept(3, 30)])).await;
    commit(store, host_write(claims[1], 10, vec![EventKind::HostStarted, interrupted()])).await;
    end(store, claims[3], 20).await;
    assert_eq!(store.purge_credentials(at(7 * DAY_S - 1)).await.unwrap(), 0);
    for claim in &claims {
        assert!(store.credential(claim.task).await.unwrap().is_some());
    }
    assert_eq!(store.purge_credentials(at(7 * DAY_S)).await.unwrap(), 3);
    for claim in &claims[..3] {
        assert!(store.credential(claim.task).await.unwrap().is_none());
    }
    assert!(store.credential(claims[3].task).await.unwrap().is_some());
    // One that ends after that has nothing to keep.
    end(store, claims[2], 8 * DAY_S).await;
    assert!(store.credential(claims[2].task).await.unwrap().is_none());
}

pub(crate) async fn the_newest_kept_login_of_each_host_is_found(store: &dyn Store) {
    let (_, first) =
        claimed(store, job_of(vec![with_password("old", kept(0, -1)), with_password("only", kept(1, 2)), kept(2, 0)])).await;
    for claim in &first {
        end(store, *claim, 1).await;
    }
    let mut newer = with_password("new", kept(0, 1));
    newer.spec.host.account = "ops".into();
    let (_, second) = claimed(store, job_of(vec![newer])).await;
    let of_first = store.kept_logins(&[address(0)]).await.unwrap();
    assert_eq!(password(&of_first[0].2), "old", "the new one has let nobody in yet");
    let mut course = good_course();
    course.pop();
    commit(store, host_write(second[0], 1, course)).await;
    let asked = [address(2), address(1), address(0), address(7)];
    let found = store.kept_logins(&asked).await.unwrap();
    let seen: Vec<_> =
        found.iter().map(|(address, spec, credential)| (*address, spec.account.as_str(), password(credential))).collect();
    assert_eq!(seen, [(address(1), "root", "only".into()), (address(0), "ops", "new".into())]);
    // The newest one is purged: the one before it is the newest now.
    commit(store, host_write(second[0], 2, vec![ended(Outcome::Succeeded)])).await;
    store.purge_credentials(at(2 + DAY_S)).await.unwrap();
    let found = store.kept_logins(&[address(0)]).await.unwrap();
    assert_eq!(found.iter().map(|(_, _, credential)| password(credential)).collect::<Vec<_>>(), ["old"]);
}

pub(crate) async fn a_job_that_was_refused_leaves_no_credential(store: &dyn Store) {
    store.create_job(job(0..1), at(0)).await.unwrap();
    let refused = job_of(vec![with_password("refused", kept(1, -1)), host(0)]);
    let task = refused.hosts[0].id;
    store.create_job(refused, at(0)).await.unwrap_err();
    assert!(store.credential(task).await.unwrap().is_none());
    assert!(store.kept_logins(&[address(1)]).await.unwrap().is_empty());
}
