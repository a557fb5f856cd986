//! What a life of a signing key is held to.

use super::*;
use crate::domain::signing_key::{Algorithm, KeySpec, PublicJwk};

const DAY: u64 = 86_400;
const SKEW: Duration = Duration::from_mins(1);
const STALE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(i64::try_from(seconds).unwrap()).unwrap()
}

fn schedule() -> Schedule {
    let lead = Duration::from_mins(130);
    Schedule::new(
        Some(Duration::from_hours(90 * 24)),
        lead,
        Duration::from_mins(5),
        SKEW,
        STALE,
    )
    .unwrap()
}

fn key(kid: &str, life: Life) -> SigningKey {
    SigningKey {
        kid: Kid::new(kid),
        organization: "acme".parse().unwrap(),
        algorithm: Algorithm::ES256,
        public: PublicJwk::Okp {
            crv: String::new(),
            x: String::new(),
        },
        created_at: life.published_at,
        life,
        imported: false,
        replaced_by: None,
    }
}

#[test]
fn a_first_key_signs_at_once_and_is_followed_by_one_that_was_published_for_the_whole_lead() {
    let schedule = schedule();
    let mut one = key("one", Life::at_once(at(0), 0));
    assert_eq!(one.life.state(), State::Active);
    let rotates_at = one.life.rotates_at(&schedule).unwrap();
    assert_eq!(rotates_at, at(90 * DAY));
    let publishes_at = rotates_at.minus(schedule.lead());
    let due = |keys: &[&SigningKey], now| {
        let keys: Vec<_> = keys.iter().copied().cloned().collect();
        Step::due(&keys, &schedule, now).into_iter().next()
    };
    let a_second = Duration::from_secs(1);
    assert_eq!(due(&[&one], publishes_at.minus(a_second)), None);
    assert_eq!(due(&[&one], publishes_at), Some(Step::Publish));

    let mut two = key("two", Life::next(publishes_at, rotates_at, 0));
    assert_eq!(two.life.state(), State::Next);
    assert_eq!(due(&[&one, &two], rotates_at.minus(a_second)), None);
    assert_eq!(
        due(&[&one, &two], rotates_at),
        Some(Step::Activate(two.kid.clone()))
    );
    two.life.activate(rotates_at);
    one.life.stop_signing(rotates_at, &schedule);
    assert_eq!(
        (one.life.state(), two.life.state()),
        (State::Retiring, State::Active)
    );

    // An hour of the last token, which a node that was cut off signed, what clocks of validators
    // and of nodes are apart, and a cached JWKS.
    assert_eq!(
        schedule.retention(),
        STALE + Duration::from_mins(60 + 5 + 1 + 5)
    );
    let gone_at = rotates_at.plus(schedule.retention());
    assert_eq!(one.life.retires_at, Some(gone_at));
    assert_eq!(due(&[&one, &two], gone_at.minus(a_second)), None);
    assert_eq!(
        due(&[&one, &two], gone_at),
        Some(Step::Retire(one.kid.clone()))
    );
    one.life.retire(gone_at);
    assert_eq!(one.life.state(), State::Retired);
    assert!(!one.life.is_published());
    assert_eq!(due(&[&one, &two], gone_at), None);
}

#[test]
fn a_key_that_was_published_late_signs_late() {
    let schedule = schedule();
    let one = key("one", Life::at_once(at(0), 0));
    // Nobody was there for a year.
    let now = at(365 * DAY);
    let two = key("two", Life::next(now, now, 0));
    let keys = [one, two];
    let due = |now| Step::due(&keys, &schedule, now).pop();
    assert_eq!(due(now), None);
    assert_eq!(
        due(now.plus(schedule.lead()).minus(Duration::from_secs(1))),
        None
    );
    assert!(due(now.plus(schedule.lead())).is_some());
}

#[test]
fn jitter_brings_a_rotation_forward_by_a_tenth_at_most() {
    let schedule = schedule();
    let rotates = |jitter| Life::at_once(at(0), jitter).rotates_at(&schedule).unwrap();
    assert_eq!(rotates(0), at(90 * DAY));
    assert_eq!(rotates(100), at(81 * DAY));
    assert!(rotates(50) > rotates(100) && rotates(50) < rotates(0));
}

#[test]
fn a_revoked_key_is_published_no_more_whatever_it_was() {
    let schedule = schedule();
    let mut retiring = Life::at_once(at(0), 0);
    retiring.stop_signing(at(10), &schedule);
    for mut life in [
        Life::next(at(0), at(10_000), 0),
        Life::at_once(at(0), 0),
        retiring,
    ] {
        life.revoke(at(20));
        assert_eq!(life.state(), State::Revoked);
        assert!(!life.is_published());
        assert_eq!(life.due_at(), None);
        assert_eq!(life.rotates_at(&schedule), None);
    }
}

#[test]
fn times_that_contradict_each_other_are_no_schedule() {
    let minutes = Duration::from_mins;
    let ten = Duration::from_secs(10);
    assert!(Schedule::new(None, minutes(6) + ten, minutes(5), SKEW, STALE).is_ok());
    for lead in [Duration::from_secs(369), minutes(6), minutes(4)] {
        assert_eq!(
            Schedule::new(None, lead, minutes(5), SKEW, STALE),
            Err(ScheduleError::LeadTooShort(minutes(6) + ten))
        );
    }
    assert!(Schedule::new(None, minutes(5) + ten, minutes(5), Duration::ZERO, STALE).is_err());
    // Published for 10 min before and 71 min 10 s after: with a tenth of jitter, 90 min 12 s.
    let least = Duration::from_secs(5_412);
    assert_eq!(
        Schedule::new(Some(minutes(60)), minutes(10), minutes(5), SKEW, STALE),
        Err(ScheduleError::IntervalTooShort(least))
    );
    assert!(Schedule::new(Some(least), minutes(10), minutes(5), SKEW, STALE).is_ok());
}

#[test]
fn a_key_that_stands_in_is_relieved_as_soon_as_may_be() {
    let schedule = schedule();
    let mut one = key("one", Life::at_once(at(10), 0));
    one.life.stands_in_for = Some(RsaBits::B3072);
    // Whoever put it there sees to that; should they be gone, others do.
    assert_eq!(one.life.due_at(), Some(at(10).plus(OWN_RELIEF)));
    assert_eq!(one.kind(), KeySpec::RS256(RsaBits::B3072));
    let relief = [Step::Relieve(RsaBits::B3072)];
    let due = |keys: &[SigningKey], now| Step::due(keys, &schedule, now);
    assert_eq!(due(std::slice::from_ref(&one), at(10)), relief);
    // Nothing is published that would be given up again.
    assert_eq!(due(std::slice::from_ref(&one), at(100 * DAY)), relief);
    // Once another signs, it only waits for what it signed to expire.
    one.life.stop_signing(at(20), &schedule);
    let end = one.life.retires_at;
    assert_eq!(one.life.due_at(), end);
    assert_eq!(due(&[one], at(20)), []);
}

#[test]
fn a_key_that_goes_keeps_no_relief_waiting() {
    let schedule = schedule();
    let mut gone = key("gone", Life::at_once(at(0), 0));
    gone.life.stop_signing(at(10), &schedule);
    let mut one = key("one", Life::at_once(at(10), 0));
    one.life.stands_in_for = Some(RsaBits::B2048);
    let due = Step::due(&[gone.clone(), one], &schedule, at(2 * DAY));
    assert_eq!(due, [Step::Retire(gone.kid), Step::Relieve(RsaBits::B2048)]);
}

#[test]
fn a_key_stays_for_as_long_as_clocks_may_be_apart() {
    let (day, hour) = (Duration::from_hours(24), Duration::from_hours(1));
    let schedule = Schedule::new(None, day, Duration::from_mins(5), hour, STALE).unwrap();
    // The last token may be made by a clock an hour ahead of its validator's, and the key be
    // destroyed by one an hour ahead of whose told it to stop.
    assert_eq!(
        schedule.retention(),
        STALE + hour + hour + hour + Duration::from_mins(5)
    );
}

#[test]
fn a_jwks_of_before_is_in_use_for_longer_where_a_node_is_cut_off() {
    let schedule = schedule();
    assert_eq!(schedule.outdated_for(), Duration::from_mins(5) + STALE);
    assert_eq!(
        schedule.outdated_at_most_for(),
        Duration::from_hours(2) + STALE
    );
    assert!(schedule.lead() >= schedule.outdated_at_most_for() + SKEW);
}

#[test]
fn a_longer_max_age_makes_every_time_longer_that_hangs_on_it_and_a_shorter_one_none() {
    let set = schedule();
    for shorter in [Duration::ZERO, Duration::from_mins(5)] {
        assert_eq!(set.reckoning_with(shorter), set);
    }
    let two_hours = Duration::from_hours(2);
    let longer = set.reckoning_with(two_hours);
    assert_eq!(longer.lead(), set.lead(), "the lead of before is enough");
    assert_eq!(longer.outdated_for(), two_hours + STALE);
    assert_eq!(longer.outdated_at_most_for(), set.outdated_at_most_for());
    let more = Duration::from_mins(115);
    assert_eq!(longer.retention(), set.retention() + more);
    let day = Duration::from_hours(24);
    let longest = longer.reckoning_with(day);
    assert_eq!(longest.lead(), day + STALE + SKEW);
    assert_eq!(longest.outdated_at_most_for(), day + STALE);
    assert_eq!(longest.reckoning_with(two_hours), longest);
    let next = Life::next(at(0), at(0), 0);
    assert_eq!(longest.signs_from(&next), at(0).plus(day + STALE + SKEW));
}
