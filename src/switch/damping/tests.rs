//! Guessers at each bound, and the phones that go on working beside them.

use super::*;

fn at(ms: u64) -> Now {
    Now { mono: Mono::ZERO, wall: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_millis(ms))
}

fn source(address: &str) -> Source {
    Source::of(address.parse().unwrap())
}

fn who(address: &str, user: &str) -> Who {
    Who::new(source(address), user, None)
}

/// Fails as often as the attempts are checked within the time, one attempt per millisecond.
fn guess(damping: &mut Damping, from_ms: u64, to_ms: u64, who: impl Fn(u64) -> Who) -> usize {
    guess_every(damping, (from_ms..to_ms).step_by(1), who)
}

fn guess_every(damping: &mut Damping, moments: impl Iterator<Item = u64>, who: impl Fn(u64) -> Who) -> usize {
    moments
        .filter(|ms| {
            let checked = damping.checks(at(*ms), &who(*ms));
            if checked {
                damping.failed(at(*ms), &who(*ms));
            }
            checked
        })
        .count()
}

#[test]
fn a_pair_is_paused_from_its_fifth_failure_and_each_pause_doubles_to_its_longest() {
    let mut damping = Damping::new();
    let who = who("10.0.0.1", "1001");
    for nth in 0..4 {
        assert_eq!(damping.failed(at(nth), &who), []);
        assert!(damping.checks(at(nth), &who));
    }
    let mut ms = 4;
    for pause_s in [1_u64, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(damping.failed(at(ms), &who), [(Paused::Pair, Duration::from_secs(pause_s))]);
        assert!(!damping.checks(at(ms + pause_s * 1000 - 1), &who));
        ms += pause_s * 1000;
        assert!(damping.checks(at(ms), &who), "one attempt after {pause_s} s");
    }
}

#[test]
fn a_guesser_at_full_speed_gets_a_handful_of_guesses_in_an_hour() {
    let mut damping = Damping::new();
    let hour = (0..3_600_000).step_by(50);
    assert_eq!(guess_every(&mut damping, hour, |_| who("10.0.0.1", "1001")), 24);
}

#[test]
fn a_sprayer_over_many_users_is_paused_by_his_address() {
    let mut damping = Damping::new();
    let sprayed = guess(&mut damping, 0, 60_000, |ms| who("10.0.0.1", &format!("u{ms}")));
    assert_eq!(sprayed, 25, "20 free, then after 1, 2, 4, 8 and 16 s");
    assert!(damping.checks(at(60_000), &who("10.0.0.2", "u7")), "another address goes on");
}

#[test]
fn a_phone_known_at_an_address_is_checked_while_its_neighbour_guesses() {
    let mut damping = Damping::new();
    damping.proved(at(0), &who("10.0.0.1", "1002"));
    guess(&mut damping, 1, 10_000, |_| who("10.0.0.1", "1001"));
    guess(&mut damping, 10_001, 60_000, |ms| who("10.0.0.1", &format!("u{ms}")));
    assert!(!damping.checks(at(60_001), &who("10.0.0.1", "1003")));
    assert!(damping.checks(at(60_001), &who("10.0.0.1", "1002")));
    assert!(damping.checks(at(60_001), &who("192.0.2.1", "1001")), "and the user guessed at from elsewhere");
}

#[test]
fn a_phone_at_its_own_port_is_checked_while_somebody_guesses_at_it_behind_the_same_nat() {
    let mut damping = Damping::new();
    let phone = Who::new(source("10.0.0.1"), "1001", Some(5071));
    damping.proved(at(0), &phone);
    guess(&mut damping, 1, 60_000, |_| who("10.0.0.1", "1001"));
    assert!(!damping.checks(at(60_000), &who("10.0.0.1", "1001")));
    assert!(damping.checks(at(60_000), &phone));
}

#[test]
fn guesses_from_everywhere_pause_the_user_for_strangers_only() {
    let mut damping = Damping::new();
    damping.proved(at(0), &who("192.0.2.1", "1001"));
    let everywhere = |ms: u64| who(&format!("10.{}.{}.1", ms / 256 % 256, ms % 256), "1001");
    let guessed = guess(&mut damping, 1, 60_001, everywhere);
    assert_eq!(guessed, 105, "100 free, then after 1, 2, 4, 8 and 16 s");
    assert!(damping.checks(at(60_001), &who("192.0.2.1", "1001")), "where he is known");
    assert!(damping.checks(at(60_001), &who("192.0.2.1", "1002")));
}

#[test]
fn an_address_with_phones_that_work_has_a_larger_allowance() {
    let mut damping = Damping::new();
    for nth in 0..40 {
        damping.proved(at(0), &who("10.0.0.1", &format!("good{nth}")));
    }
    let spray = |ms: u64| who("10.0.0.1", &format!("u{ms}"));
    assert_eq!(guess(&mut damping, 1, 1_000, spray), 100, "20, and 5 for each of 16");
}

#[test]
fn a_right_password_clears_the_pair_and_time_clears_everything() {
    let mut damping = Damping::new();
    let pair = who("10.0.0.1", "1001");
    for _ in 0..4 {
        damping.failed(at(0), &pair);
    }
    damping.proved(at(0), &pair);
    assert_eq!(damping.failed(at(1), &pair), []);
    assert!(damping.remembered() > 0);
    damping.on_deadline(at(600_000));
    assert!(damping.remembered() > 0, "forgotten ten minutes after the last failure");
    damping.on_deadline(at(600_001));
    assert_eq!(damping.remembered(), 0);
    assert_eq!(damping.deadline(), Some(at(7_200_000).mono));
    damping.on_deadline(at(7_200_000));
    assert_eq!((damping.deadline(), damping.known.entries.len()), (None, 0));
}

#[test]
fn every_table_is_bounded_and_the_least_recently_touched_goes() {
    let mut damping = Damping::new();
    for nth in 0..20_000_u64 {
        let address = format!("10.{}.{}.{}", nth / 65_536, nth / 256 % 256, nth % 256);
        damping.proved(at(nth), &who(&address, "known"));
        damping.failed(at(nth), &who(&address, &format!("u{nth}")));
    }
    let sizes = [damping.pairs.entries.len(), damping.known.entries.len()];
    assert_eq!((sizes, damping.sources.entries.len(), damping.users.entries.len()), ([PAIRS; 2], SOURCES, SOURCES));
    assert_eq!([damping.pairs.due.len(), damping.known.due.len()], [PAIRS; 2]);
    assert!(damping.known.find(at(20_000), &(source("10.0.0.0"), who("10.0.0.0", "known").user)).is_none());
    assert!(damping.sources.find(at(20_000), &source("10.0.78.31")).is_some());
}

#[test]
fn an_ipv6_network_is_one_source_and_a_mapped_address_the_ipv4_one() {
    assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
    assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
    assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    assert_ne!(source("10.0.0.1"), source("a00:1::"));
}
