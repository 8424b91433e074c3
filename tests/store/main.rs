//! The conformance suite of the job record: one set of rules over `&dyn Store`, run on every backend, and beside it what
//! only one backend promises (`files`: SQLite; `server`: PostgreSQL; `processes`: being killed).
//!
//! To add a rule: a function in `rules_*.rs` and its name below. To add a backend: its world in `fixture`, a module below.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that fails must say where"
)]

mod figures;
mod files;
mod fixture;
mod keys;
mod migrations;
mod processes;
mod rules_asked;
mod rules_credentials;
mod rules_hosts;
mod rules_jobs;
mod rules_journal;
mod rules_manual;
mod rules_once;
mod rules_pages;
mod rules_proxies;

#[path = "../support/postgres.rs"]
mod postgres;
mod server;

macro_rules! rules {
    ($($room:ident: $($rule:ident),+;)+) => {
        mod postgres_keeps {
            $(mod $room {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let world = crate::fixture::Postgres::new().await;
                    crate::$room::$rule(&world.store).await;
                })+
            })+
        }
        mod sqlite_keeps {
            $(mod $room {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let world = crate::fixture::Sqlite::new().await;
                    crate::$room::$rule(&world.store).await;
                })+
            })+
        }
    };
}

rules! {
    rules_jobs:
        a_job_is_read_back_as_it_was_recorded,
        a_new_job_begins_its_journal_with_who_was_taken_and_who_was_not,
        what_does_not_exist_is_nothing_and_no_error,
        no_host_is_in_two_unfinished_jobs,
        the_same_address_in_another_cloud_is_another_host,
        a_host_with_an_ipv6_address_only_is_held_like_any_other,
        the_same_host_twice_in_one_job_is_a_conflict_unless_one_is_left_out,
        a_host_that_is_left_out_is_held_by_nobody,
        an_interrupted_host_is_running_and_keeps_its_host_busy,
        a_claim_raises_the_epochs_of_unfinished_hosts_only,
        jobs_are_listed_newest_first_with_their_own_statistics,
        the_status_of_a_job_is_the_fold_of_its_hosts_until_its_journal_says_it,
        a_job_is_held_by_one_at_a_time,
        who_holds_a_job_can_be_asked_without_disturbing_those_who_take_it,
        a_host_that_has_ended_takes_output_but_no_more_events,
        a_host_may_end_before_it_began,
        a_job_whose_recording_was_broken_off_is_there_whole_or_not_at_all,
        an_executor_of_some_clouds_takes_the_hosts_of_those_and_is_called_for_no_others;
    rules_manual:
        no_executor_gets_a_host_that_a_person_installs,
        a_token_is_spent_once_however_many_bring_it_together,
        a_token_is_of_its_host_and_of_its_time,
        who_fetched_the_script_last_has_the_host,
        of_two_requests_of_one_run_the_later_appends,
        a_host_that_ended_has_no_run_and_a_retry_waits_anew,
        hosts_that_nobody_came_for_are_found_when_their_time_is_over;
    rules_journal:
        what_was_committed_folds_to_what_the_lists_show,
        any_legal_course_keeps_lists_and_fold_alike,
        a_commit_that_was_broken_off_leaves_the_next_one_alone,
        events_come_back_as_they_were_written_page_by_page,
        a_stale_epoch_is_refused_alone_in_its_batch,
        writes_for_what_is_not_there_are_refused_alone,
        seq_has_no_gaps_over_concurrent_commits_to_several_jobs,
        output_is_listed_in_the_order_its_steps_began,
        where_an_output_ends_is_known_though_its_middle_is_gone,
        output_that_is_sent_again_is_kept_once_and_the_longer_one,
        of_a_long_output_the_head_and_the_tail_are_kept,
        one_giant_piece_of_output_is_cut_like_many_small_ones,
        the_inventory_keeps_the_last_word_of_a_batch,
        the_key_that_was_seen_first_stays_pinned;
    rules_asked:
        a_cancel_is_seen_by_whoever_looks_and_is_an_event,
        some_hosts_of_a_job_are_cancelled_and_only_they_are_claimed_for_that,
        hosts_are_claimed_piece_by_piece,
        a_job_of_serve_is_left_over_until_its_end_is_written,
        whoever_waits_is_told_what_is_written_and_what_is_asked,
        there_is_nothing_to_cancel_in_a_job_that_ended,
        a_retry_opens_hosts_that_failed_and_no_others,
        a_host_that_is_opened_again_is_lost_to_who_had_it,
        a_retry_ends_a_cancel_and_keeps_the_credential,
        a_login_that_comes_with_a_retry_takes_the_place_of_the_old_one,
        a_login_for_a_host_that_is_not_tried_again_changes_nothing,
        a_retry_from_the_first_step_says_so_in_the_journal,
        unfinished_hosts_without_a_login_are_given_one_and_no_others,
        a_host_that_another_job_has_cannot_be_opened_again,
        a_job_with_an_unfinished_host_cannot_be_finished,
        a_claim_spares_what_is_mine_already,
        a_removed_host_takes_its_kept_logins_with_it,
        who_removes_a_host_can_log_in_to_it_until_that_is_done,
        output_is_read_once_from_a_cursor_on,
        pinned_keys_are_listed_in_order,
        who_asked_for_what_is_kept_with_the_job;
    rules_pages:
        a_filter_by_status_means_what_the_list_shows,
        every_filter_of_jobs_narrows_the_list,
        jobs_are_ordered_and_cut_into_pages,
        the_hosts_of_a_job_are_filtered_and_cut_into_pages,
        the_journal_of_some_hosts_is_that_part_of_the_journal,
        what_is_unfinished_is_counted_by_kind_and_status_and_who_waits_longest_is_known;
    rules_hosts:
        a_host_without_a_number_gets_one_that_nobody_has,
        a_host_keeps_its_number_until_it_is_removed,
        the_number_of_a_request_goes_before_unless_it_is_another_hosts,
        numbers_that_others_give_are_left_to_them,
        many_that_register_at_once_get_numbers_of_their_own,
        hosts_are_known_by_place_and_by_number,
        the_inventory_is_filtered_and_cut_into_pages,
        until_when_a_login_is_kept_is_known_without_opening_it;
    rules_proxies:
        a_retired_proxy_carries_nobody_until_a_job_installs_it_again,
        who_is_behind_a_proxy_has_its_whole_address_as_upstream,
        a_job_is_found_by_the_job_that_began_it,
        who_is_worked_on_in_a_cloud_is_told_until_it_has_ended,
        the_login_of_a_proxy_is_the_newest_that_let_us_in;
    rules_once:
        what_comes_again_with_its_key_finds_the_first_job,
        a_key_counts_for_a_day,
        a_key_of_a_job_that_was_not_recorded_is_free,
        of_twins_that_come_together_one_is_recorded,
        a_fingerprint_says_nothing_of_the_body;
    rules_credentials:
        a_credential_is_read_back_as_it_was_given,
        retention_runs_from_the_terminal_state,
        an_unfinished_host_keeps_its_credential_for_seven_days_at_most,
        the_newest_kept_login_of_each_host_is_found,
        a_job_that_was_refused_leaves_no_credential;
}
