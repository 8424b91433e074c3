//! Proxies in the record: who carries, who does not any more, who is behind whom, and the jobs that a replacement begins.

use landfall::domain::event::EventKind;
use landfall::domain::failure::{Code, Failure};
use landfall::domain::host::Address;
use landfall::domain::id::JobId;
use landfall::domain::job::JobKind;
use landfall::domain::outcome::Outcome;
use landfall::domain::package::Role;
use landfall::domain::spec::JobSpec;
use landfall::store::page::{HostFilter, Page};
use landfall::store::{HostRow, NewJob, Store, Write};

use crate::fixture::{address, at, claimed, commit, end, ended, good_course, host_write, job, job_of, kept, known};

const JOB: JobId = JobId(1);

async fn register(store: &dyn Store, row: HostRow) {
    commit(store, Write::Register(Box::new(row))).await;
}

fn proxy(index: u32) -> HostRow {
    HostRow { role: Role::Proxy, ..known(index, None, JOB) }
}

fn agent(index: u32, upstream: &[Address]) -> HostRow {
    HostRow { upstream: upstream.iter().map(|proxy| proxy.ip).collect(), ..known(index, None, JOB) }
}

async fn proxies(store: &dyn Store) -> (Vec<Address>, Vec<Address>) {
    let proxies = store.proxies().await.unwrap();
    (proxies.known.iter().map(|row| row.address).collect(), proxies.retired)
}

pub(crate) async fn a_retired_proxy_carries_nobody_until_a_job_installs_it_again(store: &dyn Store) {
    register(store, proxy(0)).await;
    register(store, agent(1, &[])).await;
    assert_eq!(proxies(store).await, (vec![address(0)], vec![]));
    let retire = |index| Write::Retire { proxy: address(index), job: JOB, at: at(5) };
    // Done again after a crash; and of one that the record never installed.
    for write in [retire(0), retire(0), retire(7)] {
        commit(store, write).await;
    }
    assert_eq!(proxies(store).await, (vec![address(0)], vec![address(0), address(7)]));
    commit(store, Write::Forget(address(0))).await;
    assert_eq!(proxies(store).await, (vec![], vec![address(0), address(7)]), "the site may declare it still");
    register(store, proxy(0)).await;
    assert_eq!(proxies(store).await, (vec![address(0)], vec![address(7)]));
    let filter = HostFilter { roles: Some(vec![Role::Proxy]), ..HostFilter::default() };
    let listed = store.host_page(&filter, Page { offset: 0, limit: None });
    assert_eq!(listed.await.unwrap().1.iter().map(|row| row.address).collect::<Vec<_>>(), [address(0)]);
}

pub(crate) async fn who_is_behind_a_proxy_has_its_whole_address_as_upstream(store: &dyn Store) {
    let short = Address { ip: "10.0.0.1".parse().unwrap(), cloud: 0 };
    let long = Address { ip: "10.0.0.11".parse().unwrap(), cloud: 0 };
    let v6 = Address { ip: "fd00::1".parse().unwrap(), cloud: 0 };
    register(store, agent(1, &[short, v6])).await;
    register(store, agent(2, &[long])).await;
    register(store, HostRow { role: Role::Proxy, ..agent(3, &[short]) }).await;
    let behind = async |proxy| store.behind(proxy).await.unwrap().iter().map(|row| row.address).collect::<Vec<_>>();
    assert_eq!(behind(short).await, [address(1)]);
    assert_eq!(behind(long).await, [address(2)]);
    assert_eq!(behind(v6).await, [address(1)]);
    assert_eq!(behind(Address { cloud: 9, ..short }).await, [], "another cloud has its own");
    register(store, agent(1, &[long])).await;
    assert_eq!(behind(short).await, []);
}

pub(crate) async fn a_job_is_found_by_the_job_that_began_it(store: &dyn Store) {
    let parent = store.create_job(job(0..1), at(0)).await.unwrap();
    let spec = JobSpec { parent: Some(parent), ..JobSpec::of(JobKind::ReloadAgent) };
    let child = store.create_job(NewJob { spec, ..job(1..2) }, at(1)).await.unwrap();
    assert_eq!(store.children(parent).await.unwrap(), [child]);
    assert_eq!(store.children(child).await.unwrap(), []);
    let row = store.job(child).await.unwrap().unwrap();
    assert_eq!((row.spec.parent, row.served), (Some(parent), true));
}

pub(crate) async fn who_is_worked_on_in_a_cloud_is_told_until_it_has_ended(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    assert_eq!(store.running_in(0).await.unwrap(), [], "nobody began");
    let mut course = good_course();
    let end = course.pop().unwrap();
    commit(store, host_write(claims[0], 1, course)).await;
    assert_eq!(store.running_in(0).await.unwrap(), [(id, claims[0].task)]);
    assert_eq!(store.running_in(2).await.unwrap(), []);
    commit(store, host_write(claims[0], 2, vec![end])).await;
    assert_eq!(store.running_in(0).await.unwrap(), []);
}

pub(crate) async fn the_login_of_a_proxy_is_the_newest_that_let_us_in(store: &dyn Store) {
    register(store, proxy(0)).await;
    assert_eq!(store.proxies().await.unwrap().logins, []);
    let logins = async || store.proxies().await.unwrap().logins;
    let (_, first) = claimed(store, job_of(vec![kept(0, -1)])).await;
    end(store, first[0], 1).await;
    assert_eq!(logins().await, [(address(0), first[0].task)]);
    // A mistyped one must not cut the zone off.
    let (_, wrong) = claimed(store, job_of(vec![kept(0, -1)])).await;
    let failure = Failure::new(Code::PasswordRefused, "refused");
    commit(store, host_write(wrong[0], 2, vec![EventKind::HostStarted, ended(Outcome::Failed { failure })])).await;
    assert_eq!(logins().await, [(address(0), first[0].task)]);
    let (_, next) = claimed(store, job_of(vec![kept(0, -1)])).await;
    end(store, next[0], 3).await;
    assert_eq!(logins().await, [(address(0), next[0].task)]);
}
