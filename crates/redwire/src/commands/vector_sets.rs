//! Vector sets: elements by how alike their vectors are.
//!
//! Promises: one method per command of Redis's vector sets, the same Rust value on RESP2 and RESP3. Must not
//! know: who runs the commands.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod answers;
mod options;

pub use answers::{RawVector, VectorLinks, VectorSetInfo};
pub use options::{Quantization, SimilarTo, VaddOptions, Vector, VsimOptions};

/// Vector sets, of Redis 8.0. Valkey has none.
///
/// A [`Vector`] is made of a list of floats. What a method returns is [`Run::Out`]: a request to await for a
/// client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use redwire::commands::{SimilarTo, VaddOptions, VsimOptions};
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.vadd("words", [1.0_f32, 0.1], "king", VaddOptions::new())?;
/// client.vadd("words", [0.9_f32, 0.2], "queen", VaddOptions::new())?;
/// let like: Vec<String> = client.vsim("words", SimilarTo::element("king"), VsimOptions::new().count(10))?;
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait VectorSetCommands: Run {
    /// Adds an element, or gives it another vector; whether it is new. The first one fixes the dimension and
    /// how exactly vectors are kept; later ones must agree, or it fails. Since Redis 8.0; O(log n) with n
    /// elements.
    ///
    /// Example: `client.vadd("words", [1.0_f32, 0.1], "king", VaddOptions::new())`.
    /// [VADD](https://redis.io/docs/latest/commands/vadd/)
    fn vadd(
        self,
        key: impl Arg,
        vector: impl Into<Vector>,
        element: impl Arg,
        options: VaddOptions,
    ) -> Self::Out<bool> {
        let cmd = Cmd::of(&facts::VADD).required(key).named("REDUCE", options.reduce);
        self.run(cmd.arg(vector.into()).required(element).arg(options))
    }

    /// How many elements the set has; 0 where it is absent. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vcard("words")`.
    /// [VCARD](https://redis.io/docs/latest/commands/vcard/)
    fn vcard(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::VCARD).required(key))
    }

    /// The dimension of the vectors, after any reduction. Fails where the set is absent. Since Redis 8.0;
    /// O(1).
    ///
    /// Example: `client.vdim("words")`.
    /// [VDIM](https://redis.io/docs/latest/commands/vdim/)
    fn vdim(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::VDIM).required(key))
    }

    /// About the vector of an element, as far as it was kept; `None` where element or set is absent.
    /// Since Redis 8.0; O(1).
    ///
    /// Example: `client.vemb("words", "king")`.
    /// [VEMB](https://redis.io/docs/latest/commands/vemb/)
    fn vemb(self, key: impl Arg, element: impl Arg) -> Self::Out<Option<Vec<f64>>> {
        self.run(Cmd::of(&facts::VEMB).required(key).required(element))
    }

    /// The vector of an element as the server keeps it. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vemb_raw("words", "king")`.
    /// [VEMB](https://redis.io/docs/latest/commands/vemb/)
    fn vemb_raw(self, key: impl Arg, element: impl Arg) -> Self::Out<Option<RawVector>> {
        self.run(Cmd::of(&facts::VEMB).required(key).required(element).arg("RAW"))
    }

    /// The attributes of an element, a JSON document; `None` where it has none, or it or the set is absent.
    /// Since Redis 8.0; O(1).
    ///
    /// Example: `client.vgetattr::<String>("words", "king")`.
    /// [VGETATTR](https://redis.io/docs/latest/commands/vgetattr/)
    fn vgetattr<V: Reply>(self, key: impl Arg, element: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::VGETATTR).required(key).required(element))
    }

    /// What the set is made of; `None` where it is absent. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vinfo("words")`.
    /// [VINFO](https://redis.io/docs/latest/commands/vinfo/)
    fn vinfo(self, key: impl Arg) -> Self::Out<Option<VectorSetInfo>> {
        self.run(Cmd::of(&facts::VINFO).required(key))
    }

    /// Whether the element is in the set; `false` where the set is absent. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vismember("words", "king")`.
    /// [VISMEMBER](https://redis.io/docs/latest/commands/vismember/)
    fn vismember(self, key: impl Arg, element: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::VISMEMBER).required(key).required(element))
    }

    /// The neighbours of an element in each layer of the graph, the top layer first; `None` where element or
    /// set is absent. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vlinks("words", "king")`.
    /// [VLINKS](https://redis.io/docs/latest/commands/vlinks/)
    fn vlinks(self, key: impl Arg, element: impl Arg) -> Self::Out<Option<Vec<Vec<String>>>> {
        self.run(Cmd::of(&facts::VLINKS).required(key).required(element))
    }

    /// As [`vlinks`](Self::vlinks), with how alike each neighbour is, from 0 to 1. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vlinks_withscores("words", "king")`.
    /// [VLINKS](https://redis.io/docs/latest/commands/vlinks/)
    fn vlinks_withscores(self, key: impl Arg, element: impl Arg) -> Self::Out<Option<VectorLinks>> {
        self.run(Cmd::of(&facts::VLINKS).required(key).required(element).arg("WITHSCORES"))
    }

    /// Any element; `None` where the set is absent. Since Redis 8.0; O(log n).
    ///
    /// Example: `client.vrandmember::<String>("words")`.
    /// [VRANDMEMBER](https://redis.io/docs/latest/commands/vrandmember/)
    fn vrandmember<V: Reply>(self, key: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::VRANDMEMBER).required(key))
    }

    /// Several elements, `count` different ones at most; or, if it is negative, as many as that, and the same
    /// may come again. None where the set is absent. Since Redis 8.0; O(c·log n) with count c.
    ///
    /// Example: `client.vrandmember_count::<Vec<String>>("words", 2)`.
    /// [VRANDMEMBER](https://redis.io/docs/latest/commands/vrandmember/)
    fn vrandmember_count<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::VRANDMEMBER).required(key).arg(count))
    }

    /// The elements from `start` to `end` in the order of their bytes, `count` at most (negative: all).
    /// Either
    /// is `[name` with that element, `(name` without it, or `-` and `+` for the first and the last. None
    /// where the set is absent. Since Redis 8.4; O(c) with count c.
    ///
    /// Example: `client.vrange::<Vec<String>>("words", "-", "+", 10)`.
    /// [VRANGE](https://redis.io/docs/latest/commands/vrange/)
    fn vrange<C: Reply>(self, key: impl Arg, start: impl Arg, end: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::VRANGE).required(key).required(start).required(end).arg(count))
    }

    /// Removes an element; whether it was there. Since Redis 8.0; O(log n).
    ///
    /// Example: `client.vrem("words", "king")`.
    /// [VREM](https://redis.io/docs/latest/commands/vrem/)
    fn vrem(self, key: impl Arg, element: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::VREM).required(key).required(element))
    }

    /// Sets the attributes of an element, a JSON document; an empty text removes them. Whether the element
    /// is there. Since Redis 8.0; O(1).
    ///
    /// Example: `client.vsetattr("words", "king", r#"{"len":4}"#)`.
    /// [VSETATTR](https://redis.io/docs/latest/commands/vsetattr/)
    fn vsetattr(self, key: impl Arg, element: impl Arg, attributes: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::VSETATTR).required(key).required(element).required(attributes))
    }

    /// The elements whose vectors are most alike, the most alike first: usually a `Vec<String>`. None where
    /// the set is absent; fails where the element to compare with is. Since Redis 8.0; O(log n).
    ///
    /// Example: `client.vsim::<Vec<String>>("words", SimilarTo::element("king"), VsimOptions::new())`.
    /// [VSIM](https://redis.io/docs/latest/commands/vsim/)
    fn vsim<C: Reply>(
        self,
        key: impl Arg,
        query: impl Into<SimilarTo>,
        options: VsimOptions,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::VSIM).required(key).arg(query.into()).arg(options))
    }

    /// As [`vsim`](Self::vsim), with how alike each is, from 0 to 1: usually a `Vec<(String, f64)>`.
    /// Since Redis 8.0; O(log n).
    ///
    /// Example: `client.vsim_withscores::<Vec<(String, f64)>>("words", [1.0_f32, 0.1], VsimOptions::new())`.
    /// [VSIM](https://redis.io/docs/latest/commands/vsim/)
    fn vsim_withscores<C: Reply>(
        self,
        key: impl Arg,
        query: impl Into<SimilarTo>,
        options: VsimOptions,
    ) -> Self::Out<C> {
        let cmd = Cmd::of(&facts::VSIM).required(key).arg(query.into());
        self.run(cmd.arg("WITHSCORES").arg(options))
    }

    /// As [`vsim_withscores`](Self::vsim_withscores), with the attributes of each, or nil: usually a
    /// `Vec<(String, f64, Option<String>)>`. Since Redis 8.2; O(log n).
    ///
    /// Example: `client.vsim_withattribs::<Vec<(String, f64, Option<String>)>>("words", [1.0, 0.1],
    /// VsimOptions::new())`.
    /// [VSIM](https://redis.io/docs/latest/commands/vsim/)
    fn vsim_withattribs<C: Reply>(
        self,
        key: impl Arg,
        query: impl Into<SimilarTo>,
        options: VsimOptions,
    ) -> Self::Out<C> {
        let cmd = Cmd::of(&facts::VSIM).required(key).arg(query.into());
        self.run(cmd.arg("WITHSCORES").arg("WITHATTRIBS").arg(options))
    }
}

impl<T: Run> VectorSetCommands for T {}
