//! The inventory: the numbers of hosts, and its pages.

use futures_util::future::join_all;
use landfall::domain::host::Os;
use landfall::domain::id::JobId;
use landfall::store::page::{HostFilter, Known, Page};
use landfall::store::{HostRow, Store, Write};

use crate::fixture::{DAY_S, address, at, claimed, commit, end, job_of, kept, known};

const ALL: Page = Page { offset: 0, limit: None };
const JOB: JobId = JobId(1);

async fn register(store: &dyn Store, rows: &[HostRow]) {
    store.commit(rows.iter().cloned().map(|row| Write::Register(Box::new(row))).collect()).await.unwrap();
}

/// The number that the inventory has of a host.
async fn number(store: &dyn Store, index: u32) -> Option<i64> {
    store.host(address(index)).await.unwrap().and_then(|row| row.spec.bk_host_id)
}

pub(crate) async fn a_host_without_a_number_gets_one_that_nobody_has(store: &dyn Store) {
    register(store, &[known(0, None, JOB), known(1, Some(7), JOB), known(2, None, JOB)]).await;
    assert_eq!(number(store, 1).await, Some(7));
    let given = [number(store, 0).await.unwrap(), number(store, 2).await.unwrap()];
    assert!(given.iter().all(|id| *id > 7) && given[0] != given[1], "{given:?}");
    // A number that a request brings is passed over later, too, however large.
    register(store, &[known(3, Some(100), JOB)]).await;
    register(store, &[known(4, None, JOB)]).await;
    assert_eq!(number(store, 4).await, Some(101));
}

pub(crate) async fn a_host_keeps_its_number_until_it_is_removed(store: &dyn Store) {
    register(store, &[known(0, None, JOB), known(1, None, JOB)]).await;
    let (first, second) = (number(store, 0).await.unwrap(), number(store, 1).await.unwrap());
    register(store, &[known(0, None, JOB)]).await;
    assert_eq!(number(store, 0).await, Some(first), "it is installed once more");
    commit(store, Write::Forget(address(0))).await;
    assert_eq!(number(store, 0).await, None);
    assert_eq!(store.host_ids(Known::At(&[address(0)])).await.unwrap(), [(address(0), first)]);
    register(store, &[known(0, None, JOB)]).await;
    assert_eq!(number(store, 0).await, Some(first), "it was uninstalled and is back");
    commit(store, Write::Remove(address(1))).await;
    assert_eq!(store.host_ids(Known::Numbered(&[second, first])).await.unwrap(), [(address(0), first)]);
    register(store, &[known(1, None, JOB)]).await;
    assert!(number(store, 1).await.unwrap() > second, "a number is never given twice");
}

pub(crate) async fn the_number_of_a_request_goes_before_unless_it_is_another_hosts(store: &dyn Store) {
    register(store, &[known(0, Some(5), JOB), known(1, None, JOB)]).await;
    let own = number(store, 1).await.unwrap();
    register(store, &[known(1, Some(5), JOB)]).await;
    assert_eq!((number(store, 0).await, number(store, 1).await), (Some(5), Some(own)));
    register(store, &[known(0, Some(50), JOB)]).await;
    assert_eq!(number(store, 0).await, Some(50));
    // Of two that ask for one number in one batch the first gets it.
    register(store, &[known(2, Some(60), JOB), known(3, Some(60), JOB)]).await;
    assert_eq!(number(store, 2).await, Some(60));
    assert!(number(store, 3).await.unwrap() > 60);
    // Nor is a number taken that not every reader could tell from another one.
    for odd in [0, -3, i64::MAX] {
        register(store, &[known(4, Some(odd), JOB)]).await;
        assert!((1..1000).contains(&number(store, 4).await.unwrap()), "{odd}");
    }
}

pub(crate) async fn numbers_that_others_give_are_left_to_them(store: &dyn Store) {
    store.reserve_host_ids(40).await.unwrap();
    store.reserve_host_ids(3).await.unwrap();
    register(store, &[known(0, None, JOB)]).await;
    assert_eq!(number(store, 0).await, Some(41));
}

pub(crate) async fn many_that_register_at_once_get_numbers_of_their_own(store: &dyn Store) {
    let register_ten = async |from: u32| {
        let rows: Vec<HostRow> = (from..from + 10).map(|index| known(index, (index % 5 == 0).then_some(7), JOB)).collect();
        register(store, &rows).await;
    };
    join_all((0..8).map(|turn| register_ten(turn * 10))).await;
    let places: Vec<_> = (0..80).map(address).collect();
    let ids: std::collections::BTreeSet<i64> =
        store.host_ids(Known::At(&places)).await.unwrap().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 80);
}

pub(crate) async fn hosts_are_known_by_place_and_by_number(store: &dyn Store) {
    let rows = [known(0, Some(7), JOB), known(1, Some(8), JOB), known(2, Some(9), JOB)];
    register(store, &rows).await;
    let at = [address(2), address(5), address(1)];
    assert_eq!(store.known_hosts(Known::At(&at)).await.unwrap(), [rows[2].clone(), rows[1].clone()]);
    assert_eq!(store.known_hosts(Known::Numbered(&[9, 1, 7])).await.unwrap(), [rows[2].clone(), rows[0].clone()]);
    assert_eq!(store.known_hosts(Known::Numbered(&[])).await.unwrap(), []);
    assert_eq!(store.host_ids(Known::At(&at)).await.unwrap(), [(address(2), 9), (address(1), 8)]);
}

pub(crate) async fn the_inventory_is_filtered_and_cut_into_pages(store: &dyn Store) {
    let mut rows: Vec<HostRow> = (0..6).map(|index| known(index, Some(i64::from(10 - index)), JOB)).collect();
    (rows[1].spec.bk_biz_id, rows[2].spec.ap_id, rows[3].version) = (3, 7, "2".into());
    rows[4].spec.inner_ipv6 = Some("fd00::4".parse().unwrap());
    rows[4].spec.os_type = Some(Os::Linux);
    rows[5].address.cloud = 2;
    rows[5].spec.bk_cloud_id = 2;
    rows[5].package = "other".into();
    register(store, &rows).await;
    let ids = async |filter: HostFilter, page: Page| {
        let (total, rows) = store.host_page(&filter, page).await.unwrap();
        (total, rows.iter().map(|row| row.spec.bk_host_id.unwrap()).collect::<Vec<_>>())
    };
    let all = || HostFilter::default();
    assert_eq!(ids(all(), ALL).await, (6, vec![5, 6, 7, 8, 9, 10]));
    assert_eq!(ids(all(), Page { offset: 4, limit: Some(1) }).await, (6, vec![9]));
    assert_eq!(ids(all(), Page { offset: 9, limit: Some(3) }).await, (6, vec![]));
    for (filter, found) in [
        (HostFilter { ids: Some(vec![7, 10, 99]), ..all() }, vec![7, 10]),
        (HostFilter { ids: Some(vec![]), ..all() }, vec![]),
        (HostFilter { excluded: vec![7, 10, 99], ..all() }, vec![5, 6, 8, 9]),
        (HostFilter { businesses: Some(vec![3]), ..all() }, vec![9]),
        (HostFilter { clouds: Some(vec![2, 3]), ..all() }, vec![5]),
        (HostFilter { access_points: Some(vec![7]), ..all() }, vec![8]),
        (HostFilter { ips: Some(vec![address(0).ip, "fd00::4".parse().unwrap()]), ..all() }, vec![6, 10]),
        (HostFilter { systems: Some(vec![Os::Linux]), ..all() }, vec![6]),
        (HostFilter { packages: Some(vec!["other".into()]), ..all() }, vec![5]),
        (HostFilter { versions: Some(vec!["2".into(), "3".into()]), ..all() }, vec![7]),
        (HostFilter { businesses: Some(vec![2]), clouds: Some(vec![0]), excluded: vec![6], ..all() }, vec![7, 8, 10]),
    ] {
        assert_eq!(ids(filter.clone(), ALL).await, (found.len() as u64, found), "{filter:?}");
    }
    // A host that is gone is on no page, though it keeps its number.
    commit(store, Write::Forget(address(0))).await;
    assert_eq!(ids(all(), ALL).await, (5, vec![5, 6, 7, 8, 9]));
}

pub(crate) async fn until_when_a_login_is_kept_is_known_without_opening_it(store: &dyn Store) {
    let (_, claims) = claimed(store, job_of(vec![kept(0, 1), kept(1, -1), kept(2, 0)])).await;
    for claim in claims {
        end(store, claim, 100).await;
    }
    let places = [address(2), address(1), address(0), address(9)];
    let until = store.logins_kept_until(&places).await.unwrap();
    assert_eq!(until, [(address(1), None), (address(0), Some(at(100 + DAY_S)))]);
    // The login of a later job goes before.
    let (_, claims) = claimed(store, job_of(vec![kept(0, 3)])).await;
    end(store, claims[0], 200).await;
    assert_eq!(store.logins_kept_until(&[address(0)]).await.unwrap(), [(address(0), Some(at(200 + 3 * DAY_S)))]);
}
