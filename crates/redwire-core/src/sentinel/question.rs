//! What each sentinel is asked, and in which other words where it refuses a part: some know or allow only a
//! part of `SENTINEL`, as the discovery services of providers do, and users with few rights.
//!
//! Promises that one question that is refused costs its own answer only: where the master is suffices. This
//! file must not know which of them is believed.

use super::Instance;
use crate::cmd::Cmd;
use crate::config::HostPort;
use crate::error::{AuthenticationFault, Error, ErrorKind, Outcome, Result};
use crate::pipeline::{Pipeline, Slots, TrySlot};
use crate::{Run, facts};

/// What one sentinel answers.
#[derive(Clone, Debug, Default)]
pub struct SentinelAnswer {
    /// The master, if it knows the service.
    pub master: Option<Instance>,
    /// The other sentinels it knows; none where it does not tell.
    pub sentinels: Vec<Instance>,
    /// The replicas it knows; none where it does not tell.
    pub replicas: Vec<Instance>,
}

/// The places of what a sentinel says to a [`question`].
pub type SentinelQuestion = (TrySlot<Option<Instance>>, TrySlot<Vec<Instance>>, TrySlot<Vec<Instance>>);

/// What each sentinel is asked, in one write.
pub fn question(p: &Pipeline, service: &str) -> SentinelQuestion {
    (
        p.run(Cmd::of(&facts::SENTINEL_MASTER).arg(service)).attempt(),
        p.run(Cmd::of(&facts::SENTINEL_SENTINELS).arg(service)).attempt(),
        p.run(Cmd::of(&facts::SENTINEL_REPLICAS).arg(service)).attempt(),
    )
}

/// The places of what a sentinel says to [`other_words`].
pub type OtherWords = (TrySlot<Option<(String, u16)>>, TrySlot<Vec<Instance>>);

/// What one is asked that [refused](SentinelReply::wants_other_words) a part of the question, in one write.
pub fn other_words(p: &Pipeline, service: &str) -> OtherWords {
    (
        p.run(Cmd::of(&facts::SENTINEL_GET_MASTER_ADDR_BY_NAME).arg(service)).attempt(),
        p.run(Cmd::of(&facts::SENTINEL_SLAVES).arg(service)).attempt(),
    )
}

/// What a sentinel said to a [`question`], each part an answer or a refusal.
#[derive(Debug)]
pub struct SentinelReply {
    master: Result<Option<Instance>>,
    sentinels: Result<Vec<Instance>>,
    replicas: Result<Vec<Instance>>,
}

impl From<<SentinelQuestion as Slots>::Out> for SentinelReply {
    fn from((master, sentinels, replicas): <SentinelQuestion as Slots>::Out) -> Self {
        Self { master, sentinels, replicas }
    }
}

impl SentinelReply {
    /// Whether it is to be asked in [`other_words`]: it knows the service, as far as it told, but not all of
    /// the question.
    #[must_use]
    pub fn wants_other_words(&self) -> bool {
        match &self.master {
            Ok(Some(_)) => self.replicas.is_err(),
            Ok(None) => false,
            Err(error) => !is_final(error),
        }
    }

    /// The answer, of this and of what came of [`other_words`] if it was asked that.
    ///
    /// # Errors
    /// Where the master is was refused in all words: the first refusal.
    pub fn into_answer(self, others: Option<<OtherWords as Slots>::Out>) -> Result<SentinelAnswer> {
        let (address, slaves) =
            others.map_or((None, None), |(address, slaves)| (Some(address), Some(slaves)));
        let sentinels = self.sentinels.unwrap_or_default();
        let replicas = self.replicas.or_else(|error| slaves.unwrap_or(Err(error))).unwrap_or_default();
        let master = match (self.master, address) {
            (Err(_), Some(Ok(place))) => place.map(|(host, port)| Instance::at(&HostPort::new(host, port))),
            (master, _) => master?,
        };
        let master = master.map(|master| master.with_other_sentinels(sentinels.len()));
        Ok(SentinelAnswer { master, sentinels, replicas })
    }
}

/// Whether the sentinel knows no such service. Older ones say "No such master", newer ones may say otherwise.
pub(super) fn is_unknown_service(error: &Error) -> bool {
    error.outcome() == Outcome::Rejected && error.message().contains("No such ")
}

/// Whether other words would be refused as well.
fn is_final(error: &Error) -> bool {
    let password = AuthenticationFault::PasswordRequired;
    is_unknown_service(error) || error.kind() == ErrorKind::Authentication(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(host: &str) -> Instance {
        Instance::at(&HostPort::new(host, 1))
    }

    fn refused(line: &str) -> Error {
        Error::from_server(line.as_bytes())
    }

    /// Each part answered or refused, in each combination.
    #[test]
    fn a_refusal_costs_its_own_answer_only() {
        for refusal in [
            "ERR unknown command",
            "ERR Unknown sentinel subcommand 'replicas'",
            "NOPERM this user has no permissions to run the 'sentinel|master' command",
            "ERR command not found",
        ] {
            for mask in 0..32 {
                let knows = |bit: u32| mask & 1 << bit != 0;
                let part =
                    |bit, host| if knows(bit) { Ok(vec![instance(host)]) } else { Err(refused(refusal)) };
                let master = if knows(0) { Ok(Some(instance("m"))) } else { Err(refused(refusal)) };
                let told = SentinelReply::from((master, part(1, "s"), part(2, "r")));
                assert_eq!(told.wants_other_words(), !knows(0) || !knows(2), "{mask}");
                let address = if knows(3) { Ok(Some(("m".to_owned(), 1))) } else { Err(refused(refusal)) };
                let others = told.wants_other_words().then(|| (address, part(4, "r")));
                let answer = told.into_answer(others);
                if !knows(0) && !knows(3) {
                    assert_eq!(answer.unwrap_err().message(), refusal);
                    continue;
                }
                let answer = answer.unwrap();
                let master = answer.master.unwrap();
                assert_eq!(master.address().unwrap(), HostPort::new("m", 1));
                assert_eq!(master.other_sentinels(), u32::from(knows(1)));
                assert_eq!(answer.sentinels.len(), usize::from(knows(1)));
                assert_eq!(answer.replicas.len(), usize::from(knows(2) || knows(4)), "{mask}");
            }
        }
    }

    #[test]
    fn a_sentinel_that_knows_no_such_service_or_lets_no_client_in_is_not_asked_again() {
        let error = || refused("ERR unknown command");
        let nothing = || Err(error());
        for (line, again) in [
            ("ERR No such master with that name", false),
            ("NOAUTH Authentication required.", false),
            ("NOPERM no permissions", true),
            ("ERR unknown command", true),
        ] {
            let told = SentinelReply::from((Err(refused(line)), nothing(), nothing()));
            assert_eq!(told.wants_other_words(), again, "{line}");
            assert_eq!(told.into_answer(None).unwrap_err().message(), line);
        }
        // No answer at all is one: there is no such service.
        let told = SentinelReply::from((Ok(None), nothing(), nothing()));
        assert!(!told.wants_other_words());
        assert!(told.into_answer(None).unwrap().master.is_none());
        let told = SentinelReply::from((Err(error()), nothing(), nothing()));
        assert!(told.into_answer(Some((Ok(None), nothing()))).unwrap().master.is_none());
    }

    #[test]
    fn what_a_sentinel_tells_of_others_counts_before_how_many_it_lists() {
        let master: Instance = [("ip", "m"), ("port", "1"), ("num-other-sentinels", "4")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into_iter()
            .collect();
        let told = SentinelReply::from((Ok(Some(master)), Ok(vec![instance("s")]), Ok(Vec::new())));
        assert_eq!(told.into_answer(None).unwrap().master.unwrap().other_sentinels(), 4);
    }
}
