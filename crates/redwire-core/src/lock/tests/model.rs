//! Random histories: holders that ask, extend and release at a server, whose requests and replies are late or
//! lost. A holder that may believe that it holds the lock does hold it, and no other.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the scripts do, on one key.
#[derive(Default)]
struct Server {
    lock: Option<(String, Instant)>,
    /// Whose the lock is to release.
    attempt: String,
    fence: u64,
    released: HashSet<String>,
}

impl Server {
    /// Runs a command; the two numbers of its reply, where it has less, the first.
    fn run<R>(&mut self, cmd: &Cmd<R>, now: Instant) -> (i64, i64) {
        let words = cmd.words();
        let keys: usize = words[2].parse().unwrap();
        let (token, time) = (&words[3 + keys], words[4 + keys].parse().unwrap());
        let attempt = words.get(5 + keys);
        self.lock.take_if(|(_, until)| *until <= now);
        let until = now + Duration::from_millis(time);
        match (&mut self.lock, keys) {
            (Some((holder, end)), ACQUIRE) if holder != token => {
                (0, end.duration_since(now).as_millis() as i64)
            }
            (Some(_), ACQUIRE) if self.attempt > *attempt.unwrap() => (1, self.fence as i64),
            (lock, ACQUIRE) => {
                let (attempt, is_free) = (attempt.unwrap(), lock.is_none());
                self.fence += u64::from(is_free || self.attempt != *attempt);
                self.attempt.clone_from(attempt);
                self.released.remove(token);
                let (_, end) = lock.get_or_insert((token.clone(), until));
                *end = until.max(*end);
                (1, self.fence as i64)
            }
            (Some((holder, end)), EXTEND) if holder == token => {
                *end = until.max(*end);
                (1, 0)
            }
            (Some((holder, _)), RELEASE) if holder == token => {
                if self.attempt == *attempt.unwrap() {
                    self.lock = None;
                    self.released.insert(token.clone());
                }
                (1, 0)
            }
            (_, RELEASE) => (i64::from(self.released.contains(token)), 0),
            _ => (0, 0),
        }
    }
}

/// The scripts by the number of their keys.
const ACQUIRE: usize = 5;
const EXTEND: usize = 2;
const RELEASE: usize = 4;

enum Holder {
    Idle,
    Asking(Acquire),
    Holding(Hold),
}

struct World {
    server: Server,
    now: Instant,
    holders: Vec<Holder>,
    /// Requests that were given up by the holders that sent them, and arrive some day.
    late: Vec<Cmd<bool>>,
    attempts: u32,
    fence: u64,
}

impl World {
    /// Sends a request, of which this becomes: it arrives after `there`, and the reply `back` later; or one
    /// of them does not.
    fn send<R>(&mut self, cmd: Cmd<R>, fate: u8, there: u64, back: u64) -> Result<(i64, i64)> {
        self.now += Duration::from_millis(there);
        let cmd: Cmd<bool> = cmd.returning();
        let lost = match fate {
            0 => {
                self.late.push(cmd.clone());
                true
            }
            1 => true,
            _ => false,
        };
        if lost {
            self.now += 50 * MS;
            return Err(Error::timeout(Outcome::MaybeExecuted));
        }
        let reply = self.server.run(&cmd, self.now);
        self.now += Duration::from_millis(back);
        if fate == 2 { Err(Error::timeout(Outcome::MaybeExecuted)) } else { Ok(reply) }
    }

    fn step(&mut self, who: usize, act: u8, fate: u8, there: u64, back: u64) {
        let holder = std::mem::replace(&mut self.holders[who], Holder::Idle);
        self.holders[who] = match holder {
            Holder::Idle => {
                self.attempts += 1;
                let options = LockOptions { wait: LockWait::Forever, auto_extend: who == 0, ..options() };
                // Always the same token: what an earlier hold has under way must not end a later one.
                let claim = Claim::new(b"l", who.to_string(), format!("{:016}{:04}", 0, self.attempts));
                Holder::Asking(Acquire::new(&options, claim, Some(50 * MS), self.now))
            }
            Holder::Asking(attempt) if act == 0 => {
                if attempt.leaves_traces() {
                    let _ = self.send(attempt.claim().abandon(MS), fate, there, back);
                }
                Holder::Idle
            }
            Holder::Asking(attempt) => self.ask(attempt, fate, there, back),
            Holder::Holding(hold) if act == 0 => {
                let owned = self.server.lock.as_ref().is_some_and(|(token, _)| token == hold.claim().token());
                if let Ok((told, _)) = self.send(hold.claim().release(None), fate, 0, back) {
                    assert_eq!(told == 1, owned);
                }
                Holder::Idle
            }
            Holder::Holding(mut hold) => {
                let extension = match hold.poll_keep(self.now, None) {
                    HoldStep::Extend(cmd, extension) => Some((cmd, extension)),
                    _ if act == 1 => hold.extend(Duration::from_millis(100 + there * 4), self.now).ok(),
                    _ => None,
                };
                if let Some((cmd, extension)) = extension {
                    let answer = self.send(cmd, fate, there, back).map(|(owned, _)| owned == 1);
                    let _ = hold.handle_extended(extension, answer, self.now);
                }
                Holder::Holding(hold)
            }
        };
    }

    fn ask(&mut self, mut attempt: Acquire, fate: u8, there: u64, back: u64) -> Holder {
        match attempt.poll_step(self.now, there << 50, fate > 4) {
            AcquireStep::Ask(cmd) => {
                let answer = self.send(cmd, fate, there, back).map(|(ours, number)| (ours == 1, number));
                match attempt.handle_answer(answer, self.now).expect("there is no end to the wait") {
                    Some((fence, hold)) => {
                        assert!(fence > self.fence, "{fence} after {}", self.fence);
                        self.fence = fence;
                        return Holder::Holding(hold);
                    }
                    None => return Holder::Asking(attempt),
                }
            }
            AcquireStep::Listen(_) => attempt.handle_heard(fate > 5),
            // No holder has to be punctual.
            AcquireStep::Pause(pause) => self.now += pause.min(Duration::from_millis(back)),
        }
        Holder::Asking(attempt)
    }

    /// A holder that may believe so does hold the lock.
    fn check(&mut self) {
        let now = self.now;
        let mut believers = 0;
        for holder in &mut self.holders {
            let Holder::Holding(hold) = holder else { continue };
            if hold.is_lost(now) {
                *holder = Holder::Idle;
                continue;
            }
            believers += 1;
            let (token, until) = self.server.lock.as_ref().expect("it is held");
            assert!(token == hold.claim().token() && *until > now);
            assert!(hold.until().expect("it has an end") <= *until, "ours ends no later than the server's");
        }
        assert!(believers <= 1);
    }
}

proptest! {
    #[test]
    fn a_holder_that_may_believe_so_holds_the_lock(
        steps in vec((0_usize..3, 0_u8..6, 0_u8..12, 0_u64..40, 0_u64..40), 1..300)
    ) {
        let mut world = World {
            server: Server::default(),
            now: Instant::now(),
            holders: (0..3).map(|_| Holder::Idle).collect(),
            late: Vec::new(),
            attempts: 0,
            fence: 0,
        };
        for (who, act, fate, there, back) in steps {
            world.step(who, act, fate, there, back);
            if there % 5 == 0 && !world.late.is_empty() {
                let cmd = world.late.swap_remove(back as usize % world.late.len());
                world.server.run(&cmd, world.now);
            }
            world.check();
        }
    }
}
