//! Arrays: values at numbered places, most of which may be empty.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod options;

pub use options::{ArrayInfo, ArrayOperation, ArrayPredicate, ArraySearch};

/// Arrays (Redis 8.8, where they are called a preview). A place is a number from 0 on; one that was never set
/// is empty and takes no memory. An absent key is an array of nothing.
pub trait ArrayCommands: Run {
    /// The value at a place, `None` where it is empty. O(1).
    /// [ARGET](https://redis.io/docs/latest/commands/arget/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.arset("seats", 5, "ann")?;
    /// let name: Option<String> = client.arget("seats", 5)?;
    /// # Ok(()) }
    /// ```
    fn arget<V: Reply>(self, key: impl Arg, index: u64) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::ARGET).required(key).arg(index))
    }

    /// The values at these places, usually a `Vec<Option<String>>`. O(places).
    /// [ARMGET](https://redis.io/docs/latest/commands/armget/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let names: Vec<Option<String>> = client.armget("seats", [5, 7])?;
    /// # Ok(()) }
    /// ```
    fn armget<C: Reply>(self, key: impl Arg, indexes: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARMGET).required(key).places(indexes))
    }

    /// The values from `start` to `end`, both included, empty places as nil: usually a `Vec<Option<String>>`;
    /// backwards where `start` is greater. O(length of the range).
    /// [ARGETRANGE](https://redis.io/docs/latest/commands/argetrange/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let names: Vec<Option<String>> = client.argetrange("seats", 0, 9)?;
    /// # Ok(()) }
    /// ```
    fn argetrange<C: Reply>(self, key: impl Arg, start: u64, end: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARGETRANGE).required(key).arg(start).arg(end))
    }

    /// The places from `start` to `end` that are not empty, with their values, usually a `Vec<(u64,
    /// String)>`; backwards where `start` is greater; up to `limit` of them. O(places that are looked at).
    /// [ARSCAN](https://redis.io/docs/latest/commands/arscan/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let taken: Vec<(u64, String)> = client.arscan("seats", 0, 99, Some(10))?;
    /// # Ok(()) }
    /// ```
    fn arscan<C: Reply>(self, key: impl Arg, start: u64, end: u64, limit: Option<u64>) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARSCAN).required(key).arg(start).arg(end).named("LIMIT", limit))
    }

    /// Sets one value or several at places one behind the other, the first at `index`, and gives how many of
    /// the places were empty. O(values). [ARSET](https://redis.io/docs/latest/commands/arset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// assert_eq!(client.arset("seats", 5, ["ann", "bob"])?, 2);
    /// # Ok(()) }
    /// ```
    fn arset(self, key: impl Arg, index: u64, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARSET).required(key).arg(index).required(values))
    }

    /// Sets values at places, given as pairs of both, and gives how many of the places were empty. O(pairs).
    /// [ARMSET](https://redis.io/docs/latest/commands/armset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.armset("seats", [(5, "ann"), (9, "bob")])?;
    /// # Ok(()) }
    /// ```
    fn armset(self, key: impl Arg, pairs: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARMSET).required(key).pairs(pairs))
    }

    /// Sets one value or several at the places behind the last insertion, and gives the place of the last of
    /// them. O(values). [ARINSERT](https://redis.io/docs/latest/commands/arinsert/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let place = client.arinsert("log", ["started", "ready"])?;
    /// # Ok(()) }
    /// ```
    fn arinsert(self, key: impl Arg, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARINSERT).required(key).required(values))
    }

    /// As [`arinsert`](Self::arinsert), in a ring of `size` places, where new values take the places of the
    /// oldest; a ring that was larger is cut. O(values), or O(size) where the size changes.
    /// [ARRING](https://redis.io/docs/latest/commands/arring/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.arring("readings", 100, 20.5)?;
    /// # Ok(()) }
    /// ```
    fn arring(self, key: impl Arg, size: u64, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARRING).required(key).arg(size).required(values))
    }

    /// The place that the next insertion takes, 0 where there was none; `None` where no place is left. O(1).
    /// [ARNEXT](https://redis.io/docs/latest/commands/arnext/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let next = client.arnext("log")?;
    /// # Ok(()) }
    /// ```
    fn arnext(self, key: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::ARNEXT).required(key))
    }

    /// Has the next insertion take this place; false where there is no such key. O(1).
    /// [ARSEEK](https://redis.io/docs/latest/commands/arseek/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.arseek("log", 0)?;
    /// # Ok(()) }
    /// ```
    fn arseek(self, key: impl Arg, index: u64) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::ARSEEK).required(key).arg(index))
    }

    /// Up to `count` values that were inserted last, the oldest first, usually a `Vec<Option<String>>`.
    /// O(count). [ARLASTITEMS](https://redis.io/docs/latest/commands/arlastitems/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let lines: Vec<Option<String>> = client.arlastitems("log", 10)?;
    /// # Ok(()) }
    /// ```
    fn arlastitems<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARLASTITEMS).required(key).arg(count))
    }

    /// As [`arlastitems`](Self::arlastitems), the newest first.
    /// [ARLASTITEMS](https://redis.io/docs/latest/commands/arlastitems/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let lines: Vec<Option<String>> = client.arlastitems_rev("log", 10)?;
    /// # Ok(()) }
    /// ```
    fn arlastitems_rev<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARLASTITEMS).required(key).arg(count).arg("REV"))
    }

    /// How many places there are up to the last that is not empty. O(1).
    /// [ARLEN](https://redis.io/docs/latest/commands/arlen/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let length = client.arlen("seats")?;
    /// # Ok(()) }
    /// ```
    fn arlen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARLEN).required(key))
    }

    /// How many places are not empty. O(1). [ARCOUNT](https://redis.io/docs/latest/commands/arcount/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let taken = client.arcount("seats")?;
    /// # Ok(()) }
    /// ```
    fn arcount(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARCOUNT).required(key))
    }

    /// Empties these places, and gives how many were not empty. O(places).
    /// [ARDEL](https://redis.io/docs/latest/commands/ardel/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// assert_eq!(client.ardel("seats", [5, 7])?, 1);
    /// # Ok(()) }
    /// ```
    fn ardel(self, key: impl Arg, indexes: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARDEL).required(key).required(indexes))
    }

    /// Empties the places of these ranges, pairs with both ends included, and gives how many were not empty.
    /// O(values deleted). [ARDELRANGE](https://redis.io/docs/latest/commands/ardelrange/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// client.ardelrange("seats", [(0, 9), (20, 29)])?;
    /// # Ok(()) }
    /// ```
    fn ardelrange(self, key: impl Arg, ranges: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ARDELRANGE).required(key).pairs(ranges))
    }

    /// The places whose values are as `search` says, usually a `Vec<u64>`. O(places that are looked at).
    /// [ARGREP](https://redis.io/docs/latest/commands/argrep/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::{ArrayPredicate, ArraySearch};
    ///
    /// let search = ArraySearch::new(ArrayPredicate::Contains("error")).nocase().limit(10);
    /// let places: Vec<u64> = client.argrep("log", search)?;
    /// # Ok(()) }
    /// ```
    fn argrep<C: Reply>(self, key: impl Arg, search: ArraySearch) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARGREP).required(key).arg(search))
    }

    /// As [`argrep`](Self::argrep), with the values: usually a `Vec<(u64, String)>`.
    /// [ARGREP](https://redis.io/docs/latest/commands/argrep/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::{ArrayPredicate, ArraySearch};
    ///
    /// let search = ArraySearch::new(ArrayPredicate::Glob("warn:*")).range(0, 99);
    /// let lines: Vec<(u64, String)> = client.argrep_withvalues("log", search)?;
    /// # Ok(()) }
    /// ```
    fn argrep_withvalues<C: Reply>(self, key: impl Arg, search: ArraySearch) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ARGREP).required(key).arg(search).arg("WITHVALUES"))
    }

    /// What comes of all values from `start` to `end`, both included: usually an `Option<f64>` or `u64`; nil
    /// where there is no value to reckon with. O(places that are looked at).
    /// [AROP](https://redis.io/docs/latest/commands/arop/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::ArrayOperation;
    ///
    /// let sum: Option<f64> = client.arop("readings", 0, 99, ArrayOperation::Sum)?;
    /// # Ok(()) }
    /// ```
    fn arop<V: Reply>(
        self,
        key: impl Arg,
        start: u64,
        end: u64,
        operation: ArrayOperation<'_>,
    ) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::AROP).required(key).arg(start).arg(end).arg(operation))
    }

    /// How the server keeps an array; an error where there is none. O(1).
    /// [ARINFO](https://redis.io/docs/latest/commands/arinfo/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let slices = client.arinfo("seats")?.slices;
    /// # Ok(()) }
    /// ```
    fn arinfo(self, key: impl Arg) -> Self::Out<ArrayInfo> {
        self.run(Cmd::of(&facts::ARINFO).required(key))
    }

    /// As [`arinfo`](Self::arinfo), with what it takes to look at each slice. O(slices).
    /// [ARINFO](https://redis.io/docs/latest/commands/arinfo/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let sparse = client.arinfo_full("seats")?.sparse_slices;
    /// # Ok(()) }
    /// ```
    fn arinfo_full(self, key: impl Arg) -> Self::Out<ArrayInfo> {
        self.run(Cmd::of(&facts::ARINFO).required(key).arg("FULL"))
    }
}

impl<T: Run> ArrayCommands for T {}
