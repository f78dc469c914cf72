//! What threads wait by, while an explorer decides which of them goes on: locks, conditions, sleep, channels
//! and time, in the shape of std's and made of those of the crate `shuttle`. Only with `--cfg
//! redwire_shuttle`, by which the threads of the blocking driver are tested
//! (`crates/redwire-interleavings`).
//!
//! Time stands still but for [`keep_time`]: a thread that turns the clock to the next moment for which
//! another thread waits. When it does so is for the explorer to say, so that a timeout may come at any point.
//! This file must not know what waits.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LockResult, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};
pub use shuttle::thread::yield_now;

/// A thread that waits for longer than this was not woken: no scenario takes so long.
const AGES: Duration = Duration::from_secs(3600);

thread_local! {
    /// The explorer runs all threads of an execution in one of the system's.
    static TIME: RefCell<Time> = RefCell::new(Time {
        begin: Instant::now(),
        passed: Duration::ZERO,
        timers: BTreeMap::new(),
        keeper: Arc::default(),
        last: 0,
        is_over: false,
    });
}

shuttle::thread_local! {
    static CURRENT: RefCell<Option<Thread>> = RefCell::new(None);
}

struct Time {
    begin: Instant,
    passed: Duration,
    /// Who sleeps until when; the numbers tell apart what is due at the same time.
    timers: BTreeMap<(Instant, u64), Arc<Sleeper>>,
    /// Sleeps while there are none.
    keeper: Arc<Sleeper>,
    last: u64,
    is_over: bool,
}

/// The time of this execution.
pub fn now() -> Instant {
    TIME.with_borrow(|time| time.begin + time.passed)
}

/// Begins an execution: the time is the same as at the beginning of each.
pub fn begin_time() {
    TIME.with_borrow_mut(|time| {
        (time.passed, time.last, time.is_over) = (Duration::ZERO, 0, false);
        (time.timers, time.keeper) = (BTreeMap::new(), Arc::default());
    });
}

/// Ends the thread that keeps the time.
pub fn end_time() {
    let keeper = TIME.with_borrow_mut(|time| {
        time.is_over = true;
        Arc::clone(&time.keeper)
    });
    keeper.call();
}

/// Turns the clock to the next moment that is waited for, again and again until [`end_time`].
pub fn keep_time() {
    loop {
        // Here the explorer decides whether time passes.
        yield_now();
        let (due, keeper) = TIME.with_borrow_mut(|time| {
            let due = if time.is_over { None } else { time.timers.pop_first() };
            if let Some(((until, _), _)) = &due {
                time.passed = time.passed.max(until.saturating_duration_since(time.begin));
            }
            (due, (!time.is_over).then(|| Arc::clone(&time.keeper)))
        });
        let passed = TIME.with_borrow(|time| time.passed);
        assert!(passed < AGES, "a thread was not woken, but by its timeout");
        match (due, keeper) {
            (Some((_, sleeper)), _) => sleeper.look(),
            (None, Some(keeper)) => keeper.sleep(None),
            (None, None) => return,
        }
    }
}

/// Something that one thread sleeps by.
#[derive(Debug, Default)]
struct Sleeper {
    called: shuttle::sync::Mutex<bool>,
    changed: shuttle::sync::Condvar,
}

impl Sleeper {
    fn lock(&self) -> shuttle::sync::MutexGuard<'_, bool> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// The time has changed.
    fn look(&self) {
        drop(self.lock());
        self.changed.notify_one();
    }

    /// Sleeps until it is called, or until then.
    fn sleep(self: &Arc<Self>, until: Option<Instant>) {
        let timer = until.filter(|until| *until > now()).map(|until| Timer::new(until, Arc::clone(self)));
        let mut called = self.lock();
        while !*called && until.is_none_or(|until| until > now()) {
            called = self.changed.wait(called).unwrap_or_else(PoisonError::into_inner);
        }
        *called = false;
        drop(called);
        drop(timer);
    }
}

struct Timer((Instant, u64));

impl Timer {
    fn new(until: Instant, sleeper: Arc<Sleeper>) -> Self {
        let (key, keeper) = TIME.with_borrow_mut(|time| {
            time.last += 1;
            let key = (until, time.last);
            time.timers.insert(key, sleeper);
            (key, Arc::clone(&time.keeper))
        });
        keeper.call();
        Self(key)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let sleeper = TIME.with_borrow_mut(|time| time.timers.remove(&self.0));
        drop(sleeper);
    }
}

/// As [`std::thread::Thread`].
#[derive(Clone, Debug)]
pub struct Thread(Arc<Sleeper>);

/// As [`std::thread::ThreadId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(usize);

impl Thread {
    /// As [`std::thread::Thread::id`].
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId(Arc::as_ptr(&self.0).addr())
    }

    /// As [`std::thread::Thread::unpark`].
    pub fn unpark(&self) {
        self.0.call();
    }
}

/// As [`std::thread::current`].
#[must_use]
pub fn current() -> Thread {
    CURRENT.with(|current| current.borrow_mut().get_or_insert_with(|| Thread(Arc::default())).clone())
}

/// As [`std::thread::park`].
pub fn park() {
    current().0.sleep(None);
}

/// As [`std::thread::park_timeout`].
pub fn park_timeout(limit: Duration) {
    current().0.sleep(now().checked_add(limit));
}

/// As [`std::thread::sleep`].
pub fn sleep(time: Duration) {
    Arc::<Sleeper>::default().sleep(now().checked_add(time));
}

/// As [`std::thread::Builder`].
#[derive(Debug, Default)]
pub struct Builder(shuttle::thread::Builder);

/// As [`std::thread::JoinHandle`].
#[derive(Debug)]
pub struct JoinHandle<T> {
    handle: shuttle::thread::JoinHandle<T>,
    thread: Thread,
    finished: Arc<atomic::AtomicBool>,
}

impl Builder {
    /// As [`std::thread::Builder::new`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`std::thread::Builder::name`].
    #[must_use]
    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    /// As [`std::thread::Builder::spawn`].
    ///
    /// # Errors
    /// None.
    pub fn spawn<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        let (thread, finished) = (Thread(Arc::default()), Arc::new(atomic::AtomicBool::new(false)));
        let (own, ends) = (thread.clone(), Arc::clone(&finished));
        let handle = self.0.spawn(move || {
            CURRENT.with(|current| current.replace(Some(own)));
            let result = work();
            ends.store(true, atomic::Ordering::SeqCst);
            result
        })?;
        Ok(JoinHandle { handle, thread, finished })
    }
}

impl<T> JoinHandle<T> {
    /// As [`std::thread::JoinHandle::thread`].
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// As [`std::thread::JoinHandle::is_finished`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished.load(atomic::Ordering::SeqCst)
    }

    /// As [`std::thread::JoinHandle::join`].
    ///
    /// # Errors
    /// The thread panicked.
    pub fn join(self) -> std::thread::Result<T> {
        self.handle.join()
    }
}

/// As [`std::sync::Mutex`]. It is never poisoned.
#[derive(Debug, Default)]
pub struct ExploredMutex<T>(shuttle::sync::Mutex<T>);

impl<T> ExploredMutex<T> {
    /// As [`std::sync::Mutex::new`].
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// As [`std::sync::Mutex::lock`].
    ///
    /// # Errors
    /// None.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { guard, mutex: self })
    }

    /// As [`std::sync::Mutex::try_lock`].
    ///
    /// # Errors
    /// Another thread has it.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        let guard = match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(TryLockError::WouldBlock),
        };
        Ok(MutexGuard { guard, mutex: self })
    }

    /// As [`std::sync::Mutex::get_mut`].
    ///
    /// # Errors
    /// None.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        Ok(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

/// As [`std::sync::MutexGuard`].
pub struct MutexGuard<'a, T> {
    guard: shuttle::sync::MutexGuard<'a, T>,
    mutex: &'a ExploredMutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// As [`std::sync::Condvar`].
#[derive(Debug, Default)]
pub struct ExploredCondvar(std::sync::Mutex<VecDeque<Arc<Sleeper>>>);

impl ExploredCondvar {
    /// As [`std::sync::Condvar::new`].
    #[must_use]
    pub const fn new() -> Self {
        Self(std::sync::Mutex::new(VecDeque::new()))
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Sleeper>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`std::sync::Condvar::notify_one`].
    pub fn notify_one(&self) {
        let sleeper = self.sleepers().pop_front();
        sleeper.inspect(|sleeper| sleeper.call());
    }

    /// As [`std::sync::Condvar::notify_all`].
    pub fn notify_all(&self) {
        let sleepers = std::mem::take(&mut *self.sleepers());
        sleepers.iter().for_each(|sleeper| sleeper.call());
    }

    fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, until: Option<Instant>) -> MutexGuard<'a, T> {
        let (mutex, sleeper) = (guard.mutex, Arc::default());
        self.sleepers().push_back(Arc::clone(&sleeper));
        drop(guard);
        sleeper.sleep(until);
        self.sleepers().retain(|other| !Arc::ptr_eq(other, &sleeper));
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`std::sync::Condvar::wait`].
    ///
    /// # Errors
    /// None.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        Ok(self.wait_until(guard, None))
    }

    /// As [`std::sync::Condvar::wait_timeout`]; it does not tell whether the time is over.
    ///
    /// # Errors
    /// None.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        Ok((self.wait_until(guard, now().checked_add(limit)), ()))
    }

    /// As [`std::sync::Condvar::wait_timeout_while`]; it does not tell whether the time is over.
    ///
    /// # Errors
    /// None.
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let until = now().checked_add(limit);
        while condition(&mut guard) && until.is_none_or(|until| until > now()) {
            guard = self.wait_until(guard, until);
        }
        Ok((guard, ()))
    }
}

/// As [`std::sync::OnceLock`].
#[derive(Debug, Default)]
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    turn: ExploredMutex<()>,
}

impl<T> OnceLock<T> {
    /// As [`std::sync::OnceLock::new`].
    #[must_use]
    pub const fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), turn: ExploredMutex::new(()) }
    }

    /// As [`std::sync::OnceLock::get`].
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// As [`std::sync::OnceLock::set`].
    ///
    /// # Errors
    /// There is a value.
    pub fn set(&self, value: T) -> Result<(), T> {
        let _turn = self.turn.lock();
        self.value.set(value)
    }

    /// As [`std::sync::OnceLock::get_or_init`].
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        let _turn = self.turn.lock();
        self.value.get_or_init(make)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self { value: value.into(), turn: ExploredMutex::default() }
    }
}

/// As [`std::sync::mpsc`], of which it has the channel without room.
pub mod mpsc {
    use std::sync::mpsc::{RecvTimeoutError, SendError};
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    use super::{ExploredCondvar, ExploredMutex, MutexGuard, now};

    #[derive(Debug)]
    struct Channel<T> {
        state: ExploredMutex<State<T>>,
        changed: ExploredCondvar,
    }

    #[derive(Debug)]
    struct State<T> {
        value: Option<T>,
        sends: bool,
        receives: bool,
    }

    impl<T> Channel<T> {
        fn lock(&self) -> MutexGuard<'_, State<T>> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn change(&self, change: impl FnOnce(&mut State<T>)) {
            change(&mut self.lock());
            self.changed.notify_all();
        }
    }

    /// As [`std::sync::mpsc::SyncSender`].
    #[derive(Debug)]
    pub struct SyncSender<T>(Arc<Channel<T>>);

    /// As [`std::sync::mpsc::Receiver`].
    #[derive(Debug)]
    pub struct Receiver<T>(Arc<Channel<T>>);

    /// As [`std::sync::mpsc::sync_channel`].
    ///
    /// # Panics
    /// If there is to be room for a value.
    #[must_use]
    pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
        assert_eq!(bound, 0, "a channel without room");
        let state = ExploredMutex::new(State { value: None, sends: true, receives: true });
        let channel = Arc::new(Channel { state, changed: ExploredCondvar::new() });
        (SyncSender(Arc::clone(&channel)), Receiver(channel))
    }

    impl<T> SyncSender<T> {
        /// As [`std::sync::mpsc::SyncSender::send`].
        ///
        /// # Errors
        /// The receiver is gone.
        pub fn send(&self, value: T) -> Result<(), SendError<T>> {
            self.0.change(|state| state.value = Some(value));
            let mut state = self.0.lock();
            while state.value.is_some() && state.receives {
                state = self.0.changed.wait_until(state, None);
            }
            state.value.take().map_or(Ok(()), |value| Err(SendError(value)))
        }
    }

    impl<T> Receiver<T> {
        /// As [`std::sync::mpsc::Receiver::recv_timeout`].
        ///
        /// # Errors
        /// Nothing came in time, or the sender is gone.
        pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
            let until = now().checked_add(limit);
            let mut state = self.0.lock();
            loop {
                if let Some(value) = state.value.take() {
                    drop(state);
                    self.0.changed.notify_all();
                    return Ok(value);
                }
                if !state.sends {
                    return Err(RecvTimeoutError::Disconnected);
                }
                if until.is_some_and(|until| until <= now()) {
                    return Err(RecvTimeoutError::Timeout);
                }
                state = self.0.changed.wait_until(state, until);
            }
        }
    }

    impl<T> Drop for SyncSender<T> {
        fn drop(&mut self) {
            self.0.change(|state| state.sends = false);
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.0.change(|state| state.receives = false);
        }
    }
}
