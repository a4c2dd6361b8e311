//! The catalogue of hostile and unlucky cases, T01 to T120, and what proves each: a test of
//! `cargo test`, a script of `tests/soak`, or the reason why it does not apply here. A case may have
//! several rows. That what is named exists is tested. Of the faults that attacks on the program found, N01
//! to N48, each has tests that begin with its number.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use Proof::{Absent, Script, Test};

use super::layers::sources_in;

/// What stands behind a case.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// A function of this name in this file.
    Test(&'static str, &'static str),
    /// A file that is run by hand or by CI.
    Script(&'static str),
    /// It does not apply, for this reason.
    Absent(&'static str),
}

const NO_HTTP_2: &str = "HTTP/2 is off: a connection that begins with it is answered 400 and closed";

/// HTTP/1 framing (T01-T22), slow clients (T23-T31, T33), HTTP/2 (T34-T43), store, crash, time and
/// operations (T92-T112).
const WIRE_AND_STORE: &[(u32, Proof)] = &[
    (1, Test("tests/suite/framing.rs", "t01_t02_t03_lengths_that_two_servers_read_differently")),
    (1, Test("tests/suite/http_raw.rs", "refused_and_closed")),
    (2, Test("tests/suite/framing.rs", "t01_t02_t03_lengths_that_two_servers_read_differently")),
    (3, Test("tests/suite/framing.rs", "t01_t02_t03_lengths_that_two_servers_read_differently")),
    (4, Test("tests/suite/framing.rs", "t04_t05_t06_t07_hosts")),
    (5, Test("tests/suite/framing.rs", "t04_t05_t06_t07_hosts")),
    (6, Test("tests/suite/framing.rs", "t04_t05_t06_t07_hosts")),
    (7, Test("tests/suite/framing.rs", "t04_t05_t06_t07_hosts")),
    (8, Test("tests/suite/framing.rs", "t08_no_answer_repeats_a_host")),
    (8, Test("tests/suite/redirect.rs", "the_host_decides_the_domain")),
    (9, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (10, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (11, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (12, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (13, Test("tests/suite/framing.rs", "t13_t14_targets_that_name_nothing")),
    (14, Test("tests/suite/framing.rs", "t13_t14_targets_that_name_nothing")),
    (14, Test("tests/soak/faults.rs", "t14_no_file_is_opened_for_a_visitor")),
    (15, Test("tests/suite/framing.rs", "t15_long_bodies_are_refused_before_they_are_read")),
    (16, Test("tests/suite/framing.rs", "t16_no_decoder_is_linked")),
    (17, Test("tests/suite/framing.rs", "t17_t18_bodies_that_break_readers")),
    (18, Test("tests/suite/framing.rs", "t17_t18_bodies_that_break_readers")),
    (18, Test("src/http/api/json.rs", "refuses_what_readers_disagree_about")),
    (19, Test("tests/suite/framing.rs", "t19_a_thousand_requests_that_nobody_reads")),
    (19, Test("tests/suite/http_raw.rs", "a_thousand_pipelined_requests_are_answered_in_order")),
    (20, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (21, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (22, Test("tests/suite/framing.rs", "t22_resets_in_the_middle_of_an_answer")),
    (22, Test("tests/suite/http_raw.rs", "a_half_closed_client_still_gets_its_answer")),
    (22, Test("tests/suite/ops.rs", "clients_that_go_away_leave_nothing_behind")),
    (23, Test("tests/suite/framing.rs", "t23_t24_t25_t33_drips_end_at_the_deadline")),
    (24, Test("tests/suite/framing.rs", "t23_t24_t25_t33_drips_end_at_the_deadline")),
    (24, Test("src/http/conn/socket.rs", "a_byte_now_and_then_puts_nothing_off_and_much_does")),
    (25, Test("tests/suite/framing.rs", "t23_t24_t25_t33_drips_end_at_the_deadline")),
    (26, Test("tests/soak/slow.rs", "t26_t27_slow_connections")),
    (27, Test("tests/soak/slow.rs", "t26_t27_slow_connections")),
    (28, Test("tests/suite/framing.rs", "t28_unfinished_heads_take_little_memory")),
    (29, Test("tests/suite/framing.rs", "t29_no_descriptors_left")),
    (30, Test("tests/suite/http_raw.rs", "surplus_connections_are_closed_at_once")),
    (31, Test("tests/suite/http_raw.rs", "one_address_does_not_take_the_places_of_all")),
    (32, Absent("there is no built-in HTTPS: a reverse proxy ends TLS")),
    (33, Test("tests/suite/framing.rs", "t23_t24_t25_t33_drips_end_at_the_deadline")),
    (34, Absent(NO_HTTP_2)),
    (35, Absent(NO_HTTP_2)),
    (36, Absent(NO_HTTP_2)),
    (37, Absent(NO_HTTP_2)),
    (38, Absent(NO_HTTP_2)),
    (39, Absent(NO_HTTP_2)),
    (40, Absent(NO_HTTP_2)),
    (41, Absent(NO_HTTP_2)),
    (42, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (43, Test("tests/suite/framing.rs", "t09_t10_t11_t12_t21_t43_heads_that_are_none")),
    (92, Test("tests/suite/crash.rs", "nothing_acknowledged_is_lost_by_a_kill")),
    (92, Test("tests/suite/crash.rs", "a_first_start_that_is_killed_begins_again")),
    (92, Test("tests/suite/crash.rs", "a_bulk_cut_by_a_kill_is_finished_by_its_repetition")),
    (93, Test("tests/soak/faults.rs", "t93_synced_before_the_answer")),
    (94, Test("tests/suite/log.rs", "a_power_cut_at_any_sync_loses_nothing_acknowledged")),
    (94, Test("tests/suite/log.rs", "a_power_cut_during_a_repair_leaves_a_repair")),
    (95, Test("tests/suite/log.rs", "any_failing_sync_is_answered_and_healed")),
    (95, Test("tests/suite/log.rs", "any_failing_write_is_answered_and_healed")),
    (95, Test("tests/soak/faults.rs", "t95_the_nth_write_and_sync_fail")),
    (96, Test("tests/suite/disk_full.rs", "redirects_go_on_and_writes_heal")),
    (96, Test("tests/suite/disk_full.rs", "a_disk_of_six_megabytes")),
    (96, Test("tests/suite/disk_full.rs", "killed_on_a_full_disk")),
    (97, Test("tests/suite/disk_full.rs", "a_disk_that_takes_nothing_is_named_at_the_start")),
    (97, Test("tests/suite/lifecycle.rs", "a_data_folder_that_cannot_be_used_is_named")),
    (97, Test("tests/soak/faults.rs", "t97_a_disk_that_becomes_read_only")),
    (98, Test("tests/suite/damage.rs", "both_copies_damaged_are_never_fewer_links_in_silence")),
    (98, Test("tests/suite/damage.rs", "one_damaged_copy_after_a_clean_stop")),
    (98, Test("tests/suite/log.rs", "files_that_hold_no_log_are_never_taken_for_an_empty_one")),
    (98, Test("src/log/frame/header_footer.rs", "a_newer_header_is_told_from_a_damaged_one")),
    (99, Test("tests/suite/lifecycle.rs", "one_process_per_data_folder")),
    (99, Test("tests/suite/lifecycle.rs", "the_second_of_many_at_once")),
    (100, Test("tests/suite/lifecycle.rs", "a_stop_finishes_what_was_started")),
    (100, Test("tests/suite/lifecycle.rs", "fifty_requests_on_their_way_finish")),
    (101, Test("tests/suite/lifecycle.rs", "a_second_signal_ends_at_once")),
    (101, Test("tests/suite/lifecycle.rs", "signals_that_mean_nothing_do_not_end_it")),
    (101, Test("tests/suite/lifecycle.rs", "a_pipe_that_closes_after_the_first_line_does_not_end_it")),
    (101, Test("tests/suite/lifecycle.rs", "a_signal_during_the_start_is_not_lost")),
    (101, Test("tests/suite/lifecycle.rs", "closed_output_does_not_end_it")),
    (102, Test("tests/suite/lifecycle.rs", "every_counted_click_outlives_a_stop")),
    (102, Test("tests/soak/load.rs", "t102_a_hundred_thousand_clicks")),
    (103, Test("tests/suite/time.rs", "t103_a_clock_that_jumps_while_it_runs")),
    (103, Test("tests/suite/time.rs", "t103_a_clock_that_jumps_across_a_restart")),
    (103, Test("tests/suite/time.rs", "t103_the_date_of_answers_goes_back_with_the_clock")),
    (103, Test("tests/suite/time.rs", "t103_keys_and_limits_under_a_clock_that_jumps")),
    (103, Test("tests/soak/time.rs", "t103_the_systems_clock_jumps")),
    (104, Test("tests/suite/lifecycle.rs", "a_bad_configuration_is_refused_before_a_port_opens")),
    (104, Test("tests/suite/lifecycle.rs", "configurations_that_cannot_be_read")),
    (104, Test("tests/suite/lifecycle.rs", "an_address_in_use_is_named")),
    (105, Test("tests/suite/secrets.rs", "t105_no_secret_is_logged_or_told")),
    (105, Test("tests/suite/password.rs", "neither_password_nor_cookie_is_kept_or_logged")),
    (106, Test("tests/suite/backups.rs", "t106_a_backup_during_writes_is_whole_and_private")),
    (106, Test("tests/suite/log.rs", "an_archive_reads_verifies_and_copies_beside_a_running_log")),
    (107, Test("tests/suite/model.rs", "t107_the_api_is_a_map_whatever_happens")),
    (107, Test("tests/suite/table.rs", "the_table_is_the_log")),
    (107, Test("tests/suite/log.rs", "agrees_with_a_map_whatever_happens")),
    (108, Test("src/clicks/counter.rs", "nothing_is_lost_or_doubled_while_draining")),
    (108, Test("tests/suite/race.rs", "clicks_are_exact_while_they_are_flushed_edited_and_evicted")),
    (109, Test("tests/suite/ops.rs", "unknown_codes_cost_no_memory")),
    (109, Test("tests/soak/load.rs", "t109_a_million_unknown_codes")),
    (110, Test("tests/soak/load.rs", "t110_sixty_four_megabytes")),
    (111, Test("tests/soak/overload.rs", "t111_twice_the_capacity")),
    (111, Test("src/core/pools/cpu_pool.rs", "a_full_room_says_so_and_only_for_itself")),
    (112, Test("src/http/service/panics.rs", "t112_a_thousand_panics_are_a_thousand_answers")),
    (112, Test("src/http/service.rs", "a_panic_on_the_way_is_500_and_counted")),
];

/// Redirects, URLs and codes (T44-T57), pages (T58-T68), the APIs and who may use them (T69-T83),
/// what leaves this machine (T84-T91), supply chain and privacy (T113-T120).
const LINKS_AND_PEOPLE: &[(u32, Proof)] = &[
    (44, Test("src/model/destination.rs", "web_addresses_refused")),
    (44, Test("tests/suite/hostile.rs", "no_field_takes_what_is_no_web_address")),
    (45, Test("src/model/destination.rs", "web_addresses_refused")),
    (45, Test("tests/suite/hostile.rs", "a_destination_is_one_header")),
    (46, Test("tests/suite/redirect.rs", "destinations_leave_as_ascii")),
    (46, Test("src/model/destination.rs", "web_addresses_are_normalised")),
    (47, Test("src/model/destination.rs", "web_addresses_refused")),
    (47, Test("tests/suite/hostile.rs", "no_field_takes_what_is_no_web_address")),
    (48, Test("tests/suite/admin.rs", "loops_among_our_own_links_are_refused")),
    (48, Test("tests/suite/hostile.rs", "own_hosts_are_known_in_every_spelling")),
    (48, Test("tests/suite/redirect.rs", "no_chain_of_roots_and_links_leads_back")),
    (49, Test("tests/suite/hostile.rs", "no_path_is_an_open_redirect")),
    (49, Test("tests/suite/http_raw.rs", "answered_and_open")),
    (50, Test("src/visit/destination.rs", "the_stored_host_is_never_changed")),
    (50, Test("tests/suite/hostile.rs", "forwarded_parameters_stay_parameters")),
    (50, Script("tests/soak/links")),
    (51, Test("tests/suite/redirect.rs", "a_change_is_seen_by_the_next_click")),
    (51, Test("tests/suite/redirect.rs", "how_long_browsers_may_keep_each_status")),
    (52, Test("tests/suite/redirect.rs", "what_does_not_stand_does_not_tell_where_it_leads")),
    (52, Test("tests/suite/hostile.rs", "closed_links_keep_their_destination_to_themselves")),
    (53, Test("tests/suite/redirect.rs", "only_people_who_follow_the_link_are_counted")),
    (53, Test("tests/suite/limits.rs", "what_is_not_counted_does_not_learn_where_it_leads")),
    (53, Test("src/visit/intent.rs", "what_counts")),
    (54, Test("src/model/short_code.rs", "refuses")),
    (54, Test("tests/suite/redirect.rs", "all_spellings_of_a_code_meet_one_link")),
    (54, Test("tests/suite/redirect.rs", "our_own_paths_are_never_links")),
    (55, Test("src/core/links/codes.rs", "a_hundred_thousand_codes_differ_and_are_flat")),
    (55, Test("src/core/links/codes.rs", "no_code_holds_a_word_that_nobody_wants")),
    (55, Test("tests/suite/race.rs", "generated_codes_never_meet_even_where_few_are_left")),
    (55, Script("tests/soak/links")),
    (56, Test("src/model/destination.rs", "web_addresses_are_normalised")),
    (56, Test("tests/suite/hostile.rs", "a_destination_is_one_header")),
    (57, Test("tests/suite/race.rs", "one_code_is_created_once")),
    (58, Test("tests/suite/browser.rs", "hostile_words_run_nowhere")),
    (58, Test("tests/suite/browser.rs", "the_program_serves_these_pages")),
    (58, Test("src/visit/pages/hostile.rs", "hostile_words_add_nothing_and_are_shown")),
    (59, Test("src/visit/pages/hostile.rs", "hostile_words_add_nothing_and_are_shown")),
    (59, Test("tests/suite/browser.rs", "hostile_words_run_nowhere")),
    (60, Test("tests/suite/admin.rs", "refusals_of_links_name_field_and_rule")),
    (60, Test("src/model/link.rs", "pixels_are_digits_and_capitals")),
    (61, Test("src/visit/pages/hostile.rs", "every_page_carries_what_keeps_it_harmless")),
    (61, Test("tests/suite/hostile.rs", "every_page_of_every_state_carries_what_keeps_it_harmless")),
    (62, Test("src/visit/pages/hostile.rs", "policies_word_for_word")),
    (62, Test("tests/suite/hostile.rs", "every_page_of_every_state_carries_what_keeps_it_harmless")),
    (62, Test("tests/suite/hostile.rs", "closed_links_keep_their_destination_to_themselves")),
    (62, Test("tests/suite/browser.rs", "a_cloaked_link_shows_its_destination_or_the_way_there")),
    (63, Test("tests/suite/password.rs", "forms_that_are_refused")),
    (63, Test("src/visit/unlock.rs", "whose_forms_are_read")),
    (64, Test("tests/suite/password.rs", "the_right_password_leads_on_and_is_remembered")),
    (64, Test("tests/suite/password.rs", "behind_https_the_cookie_is_secure")),
    (
        64,
        Test(
            "tests/suite/password.rs",
            "a_new_password_ends_the_old_ones_cookies_also_the_same_text_and_across_a_restart",
        ),
    ),
    (64, Test("src/visit/password.rs", "the_cookie_opens_its_link_for_an_hour")),
    (65, Test("tests/suite/password.rs", "guessing_is_limited_before_it_is_hashed")),
    (66, Test("tests/suite/hostile.rs", "closed_links_keep_their_destination_to_themselves")),
    (66, Test("tests/suite/password.rs", "forms_that_are_refused")),
    (67, Test("src/webhooks/event.rs", "of_a_referrer_only_a_name_is_kept")),
    (67, Absent("CSV cells: nothing is exported as CSV, only as JSON")),
    (68, Test("tests/suite/redirect.rs", "pages_carry_what_keeps_them_harmless")),
    (68, Test("tests/suite/hostile.rs", "every_page_of_every_state_carries_what_keeps_it_harmless")),
    (68, Test("tests/suite/browser.rs", "the_program_serves_these_pages")),
    (69, Test("tests/suite/admin.rs", "who_is_let_in")),
    (69, Test("tests/suite/hostile.rs", "keys_with_bytes_that_no_key_has")),
    (69, Test("src/http/api/credentials.rs", "one_key_or_none")),
    (70, Test("tests/suite/privacy.rs", "keys_rest_as_hashes")),
    (70, Test("tests/suite/lifecycle.rs", "the_key_of_the_environment_is_valid_while_it_is_set")),
    (71, Test("src/core/tenants/keys.rs", "the_environment_key_is_compared_whole")),
    (71, Test("tests/suite/supply.rs", "t71_secrets_are_not_compared_by_derived_code")),
    (72, Test("tests/suite/admin.rs", "nobody_writes_what_is_ours_to_write")),
    (72, Test("tests/suite/hostile.rs", "mass_assignment_sets_nothing_in_any_dialect")),
    (73, Test("src/http/api/json.rs", "whole_numbers")),
    (73, Test("tests/suite/hostile.rs", "numbers_and_dates_are_exact_or_refused")),
    (74, Test("src/clock.rs", "refuses_what_is_no_instant")),
    (74, Test("src/clock.rs", "what_is_read_prints_as_itself")),
    (74, Test("tests/suite/hostile.rs", "numbers_and_dates_are_exact_or_refused")),
    (75, Test("tests/suite/admin.rs", "lists_filter_sort_and_page")),
    (75, Test("tests/suite/hostile.rs", "pages_of_lists_have_bounds_in_every_dialect")),
    (76, Test("tests/suite/admin.rs", "bulk_row_by_row_or_all_or_nothing")),
    (77, Script("tests/soak/schemathesis")),
    (78, Test("tests/suite/http_raw.rs", "answered_and_open")),
    (78, Test("tests/suite/hostile.rs", "answers_say_nothing_of_the_machine_behind_them")),
    (79, Test("src/visit/peer.rs", "only_trusted_proxies_are_believed")),
    (79, Test("tests/suite/password.rs", "behind_a_trusted_proxy_each_visitor_has_its_own_limit")),
    (80, Test("src/http/miss_limit.rs", "forged_addresses_take_no_memory_and_lift_no_limit")),
    (81, Test("tests/suite/http_raw.rs", "codes_that_lead_nowhere_are_limited_by_address")),
    (82, Test("tests/suite/privacy.rs", "nobody_writes_a_line_of_the_log")),
    (83, Test("tests/suite/ops.rs", "metrics_are_for_administrators")),
    (83, Test("tests/suite/ops.rs", "health_and_readiness_are_for_anyone_and_tell_no_secrets")),
    (84, Test("tests/suite/webhook_urls.rs", "private_networks_in_every_spelling")),
    (84, Test("src/model/network.rs", "no_special_address_is_global")),
    (84, Test("tests/suite/webhook_limits.rs", "private_receivers_are_not_connected_to")),
    (85, Test("src/webhooks/connect.rs", "one_private_address_refuses_the_whole_answer")),
    (85, Test("src/webhooks/connect.rs", "the_addresses_checked_are_the_ones_connected_to")),
    (86, Test("tests/suite/webhook_limits.rs", "redirects_are_not_followed")),
    (86, Test("tests/suite/netns.rs", "nothing_leads_to_the_metadata_service")),
    (87, Test("tests/suite/webhook_limits.rs", "slow_and_ill_receivers_are_cut_off")),
    (87, Test("src/webhooks/tls.rs", "certificates_are_checked_against_the_name_in_the_url")),
    (88, Test("tests/suite/webhook_limits.rs", "a_full_queue_drops_and_counts_and_nobody_waits")),
    (88, Test("tests/suite/webhooks.rs", "failures_are_tried_again_and_shown")),
    (88, Test("src/webhooks/scheduler/tests.rs", "a_receiver_that_is_gone_is_tried_now_and_then")),
    (89, Test("tests/suite/webhook_urls.rs", "what_else_is_refused_and_what_is_not")),
    (90, Test("tests/suite/webhooks.rs", "told_in_full")),
    (90, Test("tests/suite/webhooks.rs", "counted_clicks_are_told_and_nothing_else")),
    (91, Test("tests/suite/webhooks.rs", "nothing_secret_is_logged_and_no_proxy_is_asked")),
    (113, Test("tests/suite/supply.rs", "t113_every_dependency_and_every_exception_has_its_reason")),
    (114, Test("tests/suite/supply.rs", "t114_what_the_build_forbids_and_checks")),
    (115, Test("tests/suite/supply.rs", "t115_the_fuzzers_try_what_is_shipped")),
    (115, Script("tests/soak/fuzz")),
    (116, Script("tests/soak/mutants")),
    (117, Test("tests/suite/privacy.rs", "no_address_of_a_visitor_is_kept_or_told")),
    (117, Test("tests/suite/privacy.rs", "no_third_party_hears_of_a_visit_unless_a_pixel_is_set")),
    (118, Test("tests/suite/options.rs", "privacy_signals_keep_third_parties_out")),
    (118, Test("tests/suite/privacy.rs", "no_third_party_hears_of_a_visit_unless_a_pixel_is_set")),
    (119, Test("tests/suite/privacy.rs", "what_was_deleted_is_gone_after_a_month")),
    (119, Absent("workspaces: none is ever deleted, in any dialect")),
    (120, Test("tests/suite/hostile.rs", "answers_say_nothing_of_the_machine_behind_them")),
    (120, Test("tests/suite/http_raw.rs", "refused_and_closed")),
];

/// The faults that attacks found. The numbers between are of cases that held.
const FOUND_BY_ATTACKS: &[&str] = &[
    "n01", "n02", "n03", "n04", "n06", "n07", "n08", "n09", "n10", "n11", "n12", "n13", "n14", "n15", "n16",
    "n18", "n20", "n22", "n25", "n29b", "n30", "n32b", "n33", "n34", "n39b", "n45", "n47", "n48",
];

#[test]
fn each_fault_that_an_attack_found_has_a_test() {
    let tests: String =
        ["src", "tests/suite"].into_iter().flat_map(sources_in).map(|(_, text)| text).collect();
    let missing = |fault: &&&str| !tests.contains(&format!("fn {fault}_"));
    let missing: Vec<_> = FOUND_BY_ATTACKS.iter().filter(missing).collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
}

#[test]
fn what_proves_a_case_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |file: &str| fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    for (case, proof) in WIRE_AND_STORE.iter().chain(LINKS_AND_PEOPLE) {
        match proof {
            Test(file, name) => {
                assert!(read(file).contains(&format!("fn {name}(")), "T{case:02}: no {name} in {file}");
            }
            Script(file) => assert!(read(file).starts_with("#!"), "T{case:02}: {file} is no script"),
            Absent(why) => assert!(why.len() > 20, "T{case:02}: say why"),
        }
    }
}

/// Whoever reads a test of the first table sees which cases it proves.
#[test]
fn tests_name_their_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (case, proof) in WIRE_AND_STORE {
        let Test(file, name) = proof else { continue };
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (before, _) = text.split_once(&format!("fn {name}(")).unwrap_or_else(|| panic!("{name}"));
        let mut docs = before.lines().rev().skip(1).take_while(|line| line.trim().starts_with(['/', '#']));
        let (upper, lower) = (format!("T{case:02}"), format!("t{case:02}_"));
        assert!(name.contains(&lower) || docs.any(|line| line.contains(&upper)), "{name} of {file}: {upper}");
    }
}

#[test]
fn each_case_of_the_wire_and_the_store_is_listed() {
    let listed: BTreeSet<u32> = WIRE_AND_STORE.iter().map(|(case, _)| *case).collect();
    let wanted: BTreeSet<u32> = (1..=43).chain(92..=112).collect();
    assert_eq!(listed, wanted);
}

#[test]
fn each_case_of_links_and_people_is_listed() {
    let listed: BTreeSet<u32> = LINKS_AND_PEOPLE.iter().map(|(case, _)| *case).collect();
    let wanted: BTreeSet<u32> = (44..=91).chain(113..=120).collect();
    assert_eq!(listed, wanted);
}
