//! One call's way from node to node. It must not know what is sent, or how it is waited for.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::cluster::{Route, Scatter, Spread, Then};
use redwire_core::config::HostPort;
use redwire_core::retry::Decision;
use redwire_core::{Error, Result};

use super::{Member, Members, View};
use crate::shared::clock;

/// One call that goes to one node: where it is, and where it goes next. Before its first failure it is but a member.
pub(crate) struct Passage<C> {
    slot: Option<u16>,
    /// Where it was sent last.
    member: Option<Arc<Member<C>>>,
    /// Whether `ASKING` went before it.
    asking: bool,
    /// Whether it has a connection for itself and sends several commands over it.
    stays: bool,
    /// When it was sent, if that matters.
    since: Option<Instant>,
    course: Option<Box<Course>>,
}

/// A passage that met with difficulties.
struct Course {
    route: Route,
    /// Where it goes next, if that is known.
    way: Option<Way>,
}

/// How a try begins.
pub(crate) enum Departure {
    /// The [member](Passage::member) is chosen that the call is sent to.
    Aboard,
    /// Nothing is known of the cluster yet: the call waits for that, and begins again.
    Waits,
    /// The call goes to several nodes.
    Several(Scatter),
}

struct Way {
    to: HostPort,
    asking: bool,
    fresh: bool,
}

impl<C> Passage<C> {
    pub(crate) fn new() -> Self {
        Self { slot: None, member: None, asking: false, stays: false, since: None, course: None }
    }

    /// One that has a connection for itself and sends several commands over it.
    pub(crate) fn staying() -> Self {
        Self { stays: true, ..Self::new() }
    }

    /// Where it was sent last.
    #[inline]
    pub(crate) fn member(&self) -> Option<&Arc<Member<C>>> {
        self.member.as_ref()
    }

    /// The slot that was asked for.
    pub(crate) fn slot(&self) -> Option<u16> {
        self.slot
    }

    /// Whether `ASKING` goes before it.
    #[inline]
    pub(crate) fn asking(&self) -> bool {
        self.asking
    }

    /// Begins a try of `call`, which must end by `deadline`, by what this `view` tells.
    ///
    /// # Errors
    /// As [`board`](Self::board); the keys have several slots, and it cannot be taken apart.
    #[inline]
    pub(crate) fn depart(
        &mut self,
        members: &Members<C>,
        view: &View<C>,
        call: &impl Call,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Departure> {
        if !view.is_known() {
            return Ok(Departure::Waits);
        }
        let Spread::One(slot) = call.spread()? else {
            return call.scatter(&view.map, deadline).map(Departure::Several);
        };
        self.board(members, view, slot, call.is_read_only(), now).map(|()| Departure::Aboard)
    }

    /// Chooses the [`member`](Self::member) that a call of `slot` is sent to now. `reads` is whether a replica may answer it.
    ///
    /// # Errors
    /// Nobody is known for the slot; for [`handle_failure`](Self::handle_failure).
    #[inline]
    pub(crate) fn board(
        &mut self,
        members: &Members<C>,
        view: &View<C>,
        slot: Option<u16>,
        reads: bool,
        now: Instant,
    ) -> Result<()> {
        self.member = None;
        if self.course.is_some() {
            return self.board_again(members);
        }
        self.slot = slot;
        self.since = (reads && members.measures()).then_some(now);
        members.handle_call();
        let reader = match slot {
            Some(slot) if reads => members.reader(&view.map, slot, now),
            _ => None,
        };
        let Some(member) = reader.or_else(|| view.primary(slot).cloned()) else {
            // Without a node there is a reason.
            Route::new(slot, None).target(&view.map, 0)?;
            return Err(Error::usage("no node of the cluster is known"));
        };
        self.member = Some(member);
        Ok(())
    }

    #[cold]
    fn board_again(&mut self, members: &Members<C>) -> Result<()> {
        let Some(course) = &mut self.course else { return Err(Error::usage("it has not begun yet")) };
        let (member, asking) = match &mut course.way {
            Some(way) => (members.reach(&way.to, std::mem::take(&mut way.fresh)), way.asking),
            None => {
                let to = course.route.target(&members.view().map, fastrand::u64(..))?;
                (members.member(&to), false)
            }
        };
        (self.member, self.asking) = (Some(member), asking);
        Ok(())
    }

    /// The error that ends `call`, with the worst outcome of all its tries.
    #[cold]
    pub(crate) fn outcome_of_all(&self, error: Error, call: &impl Call) -> Error {
        match &self.course {
            Some(course) => course.route.outcome_of_all(error, call),
            None => error,
        }
    }

    /// Whether it matters how long the answer took.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.since.is_some()
    }

    /// The call was answered.
    #[cold]
    pub(crate) fn handle_success(&mut self, members: &Members<C>) {
        if let (Some(since), Some(member)) = (self.since.take(), &self.member) {
            members.handle_latency(&member.address, clock::since(since));
        }
    }

    /// A try of `call`, which must end by `deadline`, failed with `error`. `budget` is asked for the right to one retry.
    #[cold]
    pub(crate) fn handle_failure(
        &mut self,
        members: &Members<C>,
        error: Error,
        call: &mut impl Call,
        deadline: Option<Instant>,
        budget: impl FnOnce() -> bool,
    ) -> Decision {
        let now = clock::now();
        let slot = self.slot;
        self.since = None;
        let stays = self.stays;
        let course = self.course.get_or_insert_with(|| {
            let route = Route::new(slot, deadline);
            let route = if stays { route.waiting_for_migrations() } else { route };
            Box::new(Course { route, way: None })
        });
        let from = self.member.as_ref().map(|member| &member.address);
        if let Some(from) = from {
            members.handle_failure(from, &error);
        }
        let rules = members.rules(now);
        let step = course.route.handle_failure(error, from, call, rules, fastrand::u64(..), budget);
        members.handle_news(step.news.as_slice());
        let (way, after) = match step.then {
            Then::Send { to, asking, fresh, after } => (Some(Way { to, asking, fresh }), after),
            Then::Again => {
                if let (None, Some(from)) = (&course.way, from) {
                    course.way = Some(Way { to: from.clone(), asking: false, fresh: false });
                }
                return Decision::Again;
            }
            Then::Retry(after) => (None, after),
            Then::Fail(error) => return Decision::Fail(error),
        };
        course.way = way;
        if after.is_zero() { Decision::Again } else { Decision::Retry(after) }
    }
}
