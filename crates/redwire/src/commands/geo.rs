//! Places on Earth by longitude and latitude, kept in sorted sets.
//!
//! Promises: one method per command of Redis and Valkey that isn't deprecated, the same Rust value on RESP2
//! and RESP3. Must not know: who runs the commands.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

mod options;

pub use options::{GeoAddOptions, GeoCenter, GeoSearch, GeoUnit};

/// Places by longitude and latitude, in degrees and in this order. Keys of places are sorted sets.
///
/// Servers keep 52 bits of a place, so what comes back differs from what was given by up to half a metre or
/// so.
pub trait GeoCommands: Run {
    /// Adds or moves places, one or many `(longitude, latitude, member)`; how many are new.
    /// [GEOADD](https://redis.io/docs/latest/commands/geoadd/)
    fn geoadd(self, key: impl Arg, places: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::GEOADD).required(key).pairs(places))
    }

    /// As [`geoadd`](Self::geoadd), on conditions; how many are new, or with `ch` new or moved.
    /// [GEOADD](https://redis.io/docs/latest/commands/geoadd/)
    fn geoadd_with(self, key: impl Arg, options: GeoAddOptions, places: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::GEOADD).required(key).arg(options).pairs(places))
    }

    /// How far two members are from each other, to a tenth of a millimetre in metres; `None` where either is
    /// missing. [GEODIST](https://redis.io/docs/latest/commands/geodist/)
    fn geodist(self, key: impl Arg, from: impl Arg, to: impl Arg, unit: GeoUnit) -> Self::Out<Option<f64>> {
        self.run(Cmd::of(&facts::GEODIST).required(key).required(from).required(to).arg(unit))
    }

    /// The geohash of each of `members`, 11 characters each.
    /// [GEOHASH](https://redis.io/docs/latest/commands/geohash/)
    fn geohash(self, key: impl Arg, members: impl Arg) -> Self::Out<Vec<Option<String>>> {
        self.run(Cmd::of(&facts::GEOHASH).required(key).any_places(members))
    }

    /// The longitude and latitude of each of `members`.
    /// [GEOPOS](https://redis.io/docs/latest/commands/geopos/)
    fn geopos(self, key: impl Arg, members: impl Arg) -> Self::Out<Vec<Option<(f64, f64)>>> {
        self.run(Cmd::of(&facts::GEOPOS).required(key).any_places(members))
    }

    /// The members that `search` finds: usually a `Vec<String>`, or a list of tuples where it asks for more
    /// (see [`GeoSearch`]). [GEOSEARCH](https://redis.io/docs/latest/commands/geosearch/)
    fn geosearch<C: Reply>(self, key: impl Arg, search: GeoSearch) -> Self::Out<C> {
        self.run(Cmd::of(&facts::GEOSEARCH).required(key).arg(search))
    }

    /// Stores the places that `search` finds in `source` in place of `destination`; how many they are.
    /// [GEOSEARCHSTORE](https://redis.io/docs/latest/commands/geosearchstore/)
    fn geosearchstore(self, destination: impl Arg, source: impl Arg, search: GeoSearch) -> Self::Out<u64> {
        self.run(
            Cmd::of(&facts::GEOSEARCHSTORE).required(destination).required(source).arg(search.for_store()),
        )
    }

    /// As [`geosearchstore`](Self::geosearchstore), but keeps the distances from the centre as scores, in the
    /// unit of the search, and not the places.
    /// [GEOSEARCHSTORE](https://redis.io/docs/latest/commands/geosearchstore/)
    fn geosearchstore_dist(
        self,
        destination: impl Arg,
        source: impl Arg,
        search: GeoSearch,
    ) -> Self::Out<u64> {
        let search = search.for_store();
        self.run(
            Cmd::of(&facts::GEOSEARCHSTORE)
                .required(destination)
                .required(source)
                .arg(search)
                .arg("STOREDIST"),
        )
    }
}

impl<T: Run> GeoCommands for T {}
