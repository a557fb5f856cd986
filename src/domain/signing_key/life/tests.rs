//! What a life of a signing key is held to.

use super::*;
use crate::domain::signing_key::{Algorithm, KeySpec, PublicJwk};

const DAY: u64 = 86_400;
const SKEW: Duration = Duration::from_mins(1);

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
        Step::due(&keys, &schedule, now)
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

    // An hour of the last token, what clocks are apart, and a cached JWKS.
    assert_eq!(schedule.retention(), Duration::from_mins(60 + 5 + 5));
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
    let due = |now| Step::due(&keys, &schedule, now);
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
    assert!(Schedule::new(None, minutes(6), minutes(5), SKEW).is_ok());
    for lead in [Duration::from_secs(359), minutes(5), minutes(4)] {
        assert_eq!(
            Schedule::new(None, lead, minutes(5), SKEW),
            Err(ScheduleError::LeadTooShort(minutes(6)))
        );
    }
    assert!(Schedule::new(None, minutes(5), minutes(5), Duration::ZERO).is_err());
    // Published for 10 min before and 70 min after: with a tenth of jitter, 88 min 53 s.
    let least = Duration::from_secs(5_334);
    assert_eq!(
        Schedule::new(Some(minutes(60)), minutes(10), minutes(5), SKEW),
        Err(ScheduleError::IntervalTooShort(least))
    );
    assert!(Schedule::new(Some(least), minutes(10), minutes(5), SKEW).is_ok());
}

#[test]
fn a_key_that_stands_in_is_relieved_as_soon_as_may_be() {
    let schedule = schedule();
    let mut one = key("one", Life::at_once(at(10), 0));
    one.life.stands_in_for = Some(RsaBits::B3072);
    assert_eq!(one.life.due_at(), Some(at(10)));
    assert_eq!(one.kind(), KeySpec::RS256(RsaBits::B3072));
    let due = Step::due(std::slice::from_ref(&one), &schedule, at(10));
    assert_eq!(due, Some(Step::Relieve(RsaBits::B3072)));
    // Once another signs, it only waits for what it signed to expire.
    one.life.stop_signing(at(20), &schedule);
    let end = one.life.retires_at;
    assert_eq!(one.life.due_at(), end);
    assert_eq!(Step::due(&[one], &schedule, at(20)), None);
}

#[test]
fn a_key_stays_for_as_long_as_clocks_may_be_apart() {
    let (day, hour) = (Duration::from_hours(24), Duration::from_hours(1));
    let schedule = Schedule::new(None, day, Duration::from_mins(5), hour).unwrap();
    assert_eq!(schedule.retention(), hour + hour + Duration::from_mins(5));
}
