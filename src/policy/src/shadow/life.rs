//! The life of a copy, from the draw to its outcome.
//!
//! ```text
//! Drawn ──► Gathering ──► Ended ──► Due ──► InFlight ──► Over
//!   └────────────┴──────────┴────────┴──────────────────►
//! ```

use std::time::Duration;

use super::answer::Answer;
use super::event::{Event, Kind, Refusal};
use super::outcome::{Outcome, Skip};

/// The state of one copy.
///
/// It is plain data: the filter reports each [`Event`] to it, and acts on the state that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// A shadow drew the request.
    Drawn,
    /// The filter gathers the body of the request while it streams by.
    Gathering,
    /// The request has ended, and all of it was seen.
    Ended,
    /// The copy is complete and waits to be sent.
    Due,
    /// The copy was sent and waits for its answer.
    InFlight {
        /// When it was sent, as the time since 1970.
        sent: Duration,
        /// The time after which Envoy gives it up.
        timeout: Duration,
    },
    /// The copy has its outcome.
    Over(Outcome),
}

impl Life {
    /// The state after `event`. An event that doesn't belong to the state leaves it as it is.
    #[must_use]
    pub fn after(self, event: Event) -> Self {
        match (self, event) {
            // No shadow copies these, whatever its filter.
            (Self::Drawn, Event::Kind(Kind::Copy)) => Self::skipped(Skip::Marked),
            (Self::Drawn, Event::Kind(Kind::Upgrade)) => Self::skipped(Skip::Upgrade),
            (Self::Drawn, Event::Method { is_copied: false }) => Self::skipped(Skip::Method),
            (Self::Drawn, Event::Mirrored) => Self::Over(Outcome::Mirrored),
            // Checked before the body is held, since the copy would hardly be sent later.
            (Self::Drawn | Self::Due, Event::Waiting { copies, max }) if copies >= max => Self::skipped(Skip::InFlight),
            (Self::Drawn, Event::Waiting { .. }) => Self::Gathering,

            (Self::Gathering, Event::Body { bytes, max }) if bytes > max => Self::skipped(Skip::Body),
            (Self::Gathering | Self::Due, Event::Memory { is_held: false }) => Self::skipped(Skip::Memory),

            (Self::Gathering, Event::End { is_complete: false }) => Self::skipped(Skip::Incomplete),
            (Self::Gathering, Event::End { is_complete: true }) => Self::Ended,
            (Self::Ended, Event::Forwarding { was_forwarded: false }) => Self::skipped(Skip::NotForwarded),
            (Self::Ended, Event::Redirect { was_redirected: true }) => Self::skipped(Skip::Redirected),
            (Self::Ended, Event::Headers { are_copied: false }) => Self::skipped(Skip::NotUtf8),
            (Self::Ended, Event::Headers { are_copied: true }) => Self::Due,

            (Self::Due, Event::Rate { is_allowed: false }) => Self::skipped(Skip::Rate),
            (Self::Due, Event::Refused(Refusal::UnknownCluster)) => Self::Over(Outcome::UnknownCluster),
            (Self::Due, Event::Refused(Refusal::Unavailable)) => Self::Over(Outcome::Unavailable),
            (Self::Due, Event::Sent { now, timeout }) => Self::InFlight { sent: now, timeout },

            (Self::InFlight { sent, timeout }, Event::Answered { answer, now }) => Self::Over(match answer {
                Answer::OfShadow(class) => Outcome::Answered(class),
                Answer::Timeout => Outcome::TimedOut,
                // A shadow that stalls in mid-answer times out without a 504, and so does any gRPC
                // shadow.
                Answer::Broken if has_timed_out(sent, timeout, now) => Outcome::TimedOut,
                Answer::Broken => Outcome::Reset,
            }),

            (Self::InFlight { .. }, Event::CutOff) => Self::Over(Outcome::CutOff),

            (life, _) => life,
        }
    }

    /// The state after the event that `event` returns, which is called only if the copy isn't over.
    #[must_use]
    pub fn then(self, event: impl FnOnce() -> Event) -> Self {
        match self {
            Self::Over(_) => self,
            _ => self.after(event()),
        }
    }

    /// The outcome; `None` until the copy is over.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Why the request is not copied; `None` if it is, or may still be.
    pub fn skip(self) -> Option<Skip> {
        match self {
            Self::Over(Outcome::Skipped(skip)) => Some(skip),
            _ => None,
        }
    }

    fn skipped(skip: Skip) -> Self {
        Self::Over(Outcome::Skipped(skip))
    }
}

/// Whether a copy that has no answer at `now` has been given up by Envoy.
fn has_timed_out(sent: Duration, timeout: Duration, now: Duration) -> bool {
    /// Envoy's timer and its clock differ by a little.
    const TOLERANCE: Duration = Duration::from_millis(10);
    now.saturating_sub(sent) >= timeout.saturating_sub(TOLERANCE)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::status::StatusClass;

    const ORDINARY: Event = Event::Kind(Kind::Ordinary);
    const SECOND: Duration = Duration::from_secs(1);
    const IN_FLIGHT: Life = Life::InFlight { sent: SECOND, timeout: SECOND };

    fn skipped(skip: Skip) -> Life {
        Life::Over(Outcome::Skipped(skip))
    }

    fn waiting(copies: usize) -> Event {
        Event::Waiting { copies, max: 2 }
    }

    /// An answer so long after the copy was sent.
    fn answered(answer: Answer, milliseconds: u64) -> Event {
        Event::Answered { answer, now: SECOND + Duration::from_millis(milliseconds) }
    }

    /// States, events, and the states that follow: all that change something, and their limits.
    fn steps() -> Vec<(Life, Event, Life)> {
        let mut steps = vec![
            (Life::Drawn, Event::Kind(Kind::Copy), skipped(Skip::Marked)),
            (Life::Drawn, Event::Kind(Kind::Upgrade), skipped(Skip::Upgrade)),
            (Life::Drawn, ORDINARY, Life::Drawn),
            (Life::Drawn, Event::Method { is_copied: false }, skipped(Skip::Method)),
            (Life::Drawn, Event::Method { is_copied: true }, Life::Drawn),
            (Life::Drawn, Event::Mirrored, Life::Over(Outcome::Mirrored)),
            (Life::Drawn, waiting(1), Life::Gathering),
            (Life::Drawn, waiting(2), skipped(Skip::InFlight)),
            (Life::Gathering, Event::Body { bytes: 10, max: 10 }, Life::Gathering),
            (Life::Gathering, Event::Body { bytes: 11, max: 10 }, skipped(Skip::Body)),
            (Life::Gathering, Event::Memory { is_held: true }, Life::Gathering),
            (Life::Gathering, Event::Memory { is_held: false }, skipped(Skip::Memory)),
            (Life::Gathering, Event::End { is_complete: false }, skipped(Skip::Incomplete)),
            (Life::Gathering, Event::End { is_complete: true }, Life::Ended),
            (Life::Ended, Event::Forwarding { was_forwarded: false }, skipped(Skip::NotForwarded)),
            (Life::Ended, Event::Forwarding { was_forwarded: true }, Life::Ended),
            (Life::Ended, Event::Redirect { was_redirected: true }, skipped(Skip::Redirected)),
            (Life::Ended, Event::Redirect { was_redirected: false }, Life::Ended),
            (Life::Ended, Event::Headers { are_copied: false }, skipped(Skip::NotUtf8)),
            (Life::Ended, Event::Headers { are_copied: true }, Life::Due),
            (Life::Due, waiting(1), Life::Due),
            (Life::Due, waiting(2), skipped(Skip::InFlight)),
            (Life::Due, Event::Memory { is_held: true }, Life::Due),
            (Life::Due, Event::Memory { is_held: false }, skipped(Skip::Memory)),
            (Life::Due, Event::Rate { is_allowed: true }, Life::Due),
            (Life::Due, Event::Rate { is_allowed: false }, skipped(Skip::Rate)),
            (Life::Due, Event::Refused(Refusal::UnknownCluster), Life::Over(Outcome::UnknownCluster)),
            (Life::Due, Event::Refused(Refusal::Unavailable), Life::Over(Outcome::Unavailable)),
            (Life::Due, Event::Sent { now: SECOND, timeout: SECOND }, IN_FLIGHT),
            (IN_FLIGHT, Event::CutOff, Life::Over(Outcome::CutOff)),
            (IN_FLIGHT, answered(Answer::Timeout, 0), Life::Over(Outcome::TimedOut)),
            (IN_FLIGHT, answered(Answer::Broken, 0), Life::Over(Outcome::Reset)),
            (IN_FLIGHT, answered(Answer::Broken, 989), Life::Over(Outcome::Reset)),
            (IN_FLIGHT, answered(Answer::Broken, 990), Life::Over(Outcome::TimedOut)),
            (IN_FLIGHT, answered(Answer::Broken, 2_000), Life::Over(Outcome::TimedOut)),
        ];
        for class in StatusClass::ALL {
            // However late: an answer is an answer.
            let step =
                |time| (IN_FLIGHT, answered(Answer::OfShadow(class), time), Life::Over(Outcome::Answered(class)));
            steps.extend([step(0), step(2_000)]);
        }
        steps
    }

    #[test]
    fn a_copy_goes_from_state_to_state() {
        for (life, event, expected) in steps() {
            assert_eq!(life.after(event), expected, "{life:?}, {event:?}");
            assert_eq!(life.then(|| event), expected, "{life:?}, {event:?}");
        }
    }

    #[test]
    fn each_outcome_can_be_reached() {
        let reached: HashSet<_> = steps().into_iter().filter_map(|(_, _, life)| life.outcome()).collect();
        assert_eq!(reached, Outcome::all().collect());
    }

    #[test]
    fn nothing_changes_an_outcome() {
        for outcome in Outcome::all() {
            for (_, event, _) in steps() {
                assert_eq!(Life::Over(outcome).after(event), Life::Over(outcome), "{event:?}");
            }
            let life = Life::Over(outcome).then(|| panic!("a copy that is over takes no event"));
            assert_eq!(life.outcome(), Some(outcome));
        }
    }

    #[test]
    fn an_event_that_does_not_belong_to_the_state_changes_nothing() {
        let steps = steps();
        let states = [Life::Drawn, Life::Gathering, Life::Ended, Life::Due, IN_FLIGHT];
        for life in states {
            for (_, event, _) in &steps {
                if !steps.iter().any(|(from, known, _)| *from == life && known == event) {
                    assert_eq!(life.after(*event), life, "{life:?}, {event:?}");
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_time_a_copy_out() {
        let event = Event::Answered { answer: Answer::Broken, now: Duration::ZERO };
        assert_eq!(IN_FLIGHT.after(event), Life::Over(Outcome::Reset));
    }

    #[test]
    fn a_timeout_below_the_tolerance_is_a_timeout() {
        let life = Life::InFlight { sent: SECOND, timeout: Duration::from_millis(5) };
        assert_eq!(life.after(answered(Answer::Broken, 0)), Life::Over(Outcome::TimedOut));
    }

    #[test]
    fn the_next_event_is_not_asked_for_after_the_first_obstacle() {
        let life = Life::Drawn.after(Event::Kind(Kind::Copy)).then(|| panic!("the method doesn't matter"));
        assert_eq!(life.skip(), Some(Skip::Marked));
        let life = Life::Drawn.after(ORDINARY).then(|| Event::Method { is_copied: false });
        assert_eq!(life.skip(), Some(Skip::Method));
        assert_eq!(Life::Over(Outcome::Reset).skip(), None);
    }
}
