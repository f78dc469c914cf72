//! How the owner of connections ends those that others use: all of them, or those to a server that was left.
//! It must not know how either driver waits.
//!
//! A former master that lives sends away calls that wait at it, and then it is certain that nothing was
//! executed. So they have some time for that; a call that does not wait there is cut off at once.

use std::sync::{Arc, Weak};

use redwire_core::Error;
use redwire_core::config::Endpoint;

use crate::shared::setup;
use crate::shared::sync::atomic::{AtomicBool, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};

/// What ends a connection, also while another task or thread uses it.
pub(crate) trait Kill {
    fn kill(&self);
}

/// One connection, as the code that may end it knows it. It stays the same when the connection is made anew.
#[derive(Debug, Default)]
pub(crate) struct Interrupt<E> {
    handle: E,
    /// Where it leads, or is to.
    address: Mutex<Option<Endpoint>>,
    /// Whether what was called last waits at the server.
    waits: AtomicBool,
    /// Whether the server was left.
    left: AtomicBool,
    /// Whether the connection was ended for that.
    ended: AtomicBool,
}

impl<E: Kill> Interrupt<E> {
    /// What ends the connection.
    #[inline]
    pub(crate) fn handle(&self) -> &E {
        &self.handle
    }

    /// The connection will be made, or made anew, and it is not known yet where it leads: until then there is
    /// nothing to leave.
    pub(crate) fn handle_asking(&self) {
        *self.address() = None;
        self.left.store(false, Ordering::Relaxed);
        self.ended.store(false, Ordering::Relaxed);
    }

    /// The connection is being made, or made anew.
    pub(crate) fn handle_connecting(&self, endpoint: &Endpoint) {
        *self.address() = Some(endpoint.clone());
        self.left.store(false, Ordering::Relaxed);
        self.ended.store(false, Ordering::Relaxed);
    }

    fn address(&self) -> MutexGuard<'_, Option<Endpoint>> {
        self.address.lock()
    }

    /// A call begins, which may wait at the server or not.
    #[inline]
    pub(crate) fn handle_call(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// Whether what was called last waits at the server.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Why the connection was ended, if that was because its server was left.
    pub(crate) fn cause(&self) -> Option<Error> {
        self.ended.load(Ordering::Acquire).then(setup::left_master)
    }

    /// All connections go to `next`, where that is known, and leave any other server.
    fn leave_server(&self, next: Option<&Endpoint>) {
        let leads_elsewhere = self.address().as_ref().is_some_and(|address| next != Some(address));
        if leads_elsewhere {
            self.left.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the connection if it leads to a server that was left, also where a call waits at it if that is
    /// `wanted`.
    fn end_left(&self, wanted: bool) {
        let waits = self.waits.load(Ordering::Relaxed);
        if self.left.load(Ordering::Relaxed) && (wanted || !waits) {
            self.ended.store(true, Ordering::Release);
            self.handle.kill();
        }
    }
}

/// The connections of one owner.
#[derive(Debug)]
pub(crate) struct Interrupts<E>(Vec<Weak<Interrupt<E>>>);

impl<E: Kill> Interrupts<E> {
    /// Takes note of a new connection, and forgets those that are gone.
    pub(crate) fn add(&mut self, interrupt: &Arc<Interrupt<E>>) {
        self.0.retain(|interrupt| interrupt.strong_count() > 0);
        self.0.push(Arc::downgrade(interrupt));
    }

    /// It belongs to this owner no longer.
    pub(crate) fn forget(&mut self, interrupt: &Arc<Interrupt<E>>) {
        self.0.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(interrupt)));
    }

    /// All connections go to `next`, where that is known, and leave any other server.
    pub(crate) fn leave_server(&self, next: Option<&Endpoint>) {
        self.here().for_each(|interrupt| interrupt.leave_server(next));
    }

    /// Ends those to a server that was left, except those where a call waits.
    pub(crate) fn end_calls_left(&self) {
        self.here().for_each(|interrupt| interrupt.end_left(false));
    }

    /// Ends all to a server that was left.
    pub(crate) fn end_left(&self) {
        self.here().for_each(|interrupt| interrupt.end_left(true));
    }

    /// Ends all there are.
    pub(crate) fn end(&self) {
        self.here().for_each(|interrupt| interrupt.handle.kill());
    }

    fn here(&self) -> impl Iterator<Item = Arc<Interrupt<E>>> + '_ {
        self.0.iter().filter_map(Weak::upgrade)
    }
}

impl<E> Default for Interrupts<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
