//! Options of the commands of places: units, conditions, and what to search for.
//!
//! Promises: what is built here is written in the order the servers' grammar wants. Must not know: commands.

use redwire_core::{Arg, Args};

/// A unit of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeoUnit {
    /// Metres.
    Meters,
    /// 1000 metres.
    Kilometers,
    /// 1609.34 metres.
    Miles,
    /// 0.3048 metres.
    Feet,
}

impl Arg for GeoUnit {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Meters => b"m",
            Self::Kilometers => b"km",
            Self::Miles => b"mi",
            Self::Feet => b"ft",
        });
    }
}

/// When [`geoadd_with`](super::GeoCommands::geoadd_with) adds and when it moves; by default it does both.
///
/// ```
/// use redwire::commands::GeoAddOptions;
/// use redwire::prelude::*;
///
/// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
/// let moved = client.geoadd_with("cabs", GeoAddOptions::new().xx().ch(), [(13.4, 52.5, "cab 7")])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeoAddOptions {
    existence: Option<&'static str>,
    changed: bool,
}

impl GeoAddOptions {
    /// Adds and moves whatever comes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only adds, never moves. Takes the place of [`xx`](Self::xx).
    #[must_use]
    pub fn nx(mut self) -> Self {
        self.existence = Some("NX");
        self
    }

    /// Only moves, never adds. Takes the place of [`nx`](Self::nx).
    #[must_use]
    pub fn xx(mut self) -> Self {
        self.existence = Some("XX");
        self
    }

    /// The answer counts moved members too, not only new ones.
    #[must_use]
    pub fn ch(mut self) -> Self {
        self.changed = true;
        self
    }
}

impl Arg for GeoAddOptions {
    fn write(&self, args: &mut Args) {
        args.optional(self.existence);
        args.flag(self.changed, "CH");
    }
}

/// From where to search; say next how far.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoCenter(Center);

#[derive(Clone, Debug, PartialEq)]
enum Center {
    Place(f64, f64),
    Member(Vec<u8>),
}

impl GeoCenter {
    /// A place by longitude and latitude, in degrees.
    #[must_use]
    pub fn place(longitude: f64, latitude: f64) -> Self {
        Self(Center::Place(longitude, latitude))
    }

    /// Where a member of the set is. Servers refuse the search if there is no such member.
    #[must_use]
    pub fn member(member: impl AsRef<[u8]>) -> Self {
        Self(Center::Member(member.as_ref().to_vec()))
    }

    /// All that is no farther away than `radius`.
    #[must_use]
    pub fn radius(self, radius: f64, unit: GeoUnit) -> GeoSearch {
        GeoSearch::new(self.0, Area::Circle(radius, unit))
    }

    /// All in a rectangle around the centre, as wide from west to east and as high from south to north.
    #[must_use]
    pub fn rectangle(self, width: f64, height: f64, unit: GeoUnit) -> GeoSearch {
        GeoSearch::new(self.0, Area::Rectangle(width, height, unit))
    }
}

/// What to search for, made from a [`GeoCenter`]: an area, in which order, how many members, and what about
/// each.
///
/// A search gives members. If it asks for more, each becomes a tuple: the member, then the distance (`f64`),
/// the hash (`u64`) and the place (`(f64, f64)`), as far as they were asked for and in this order.
///
/// ```
/// use redwire::commands::{GeoCenter, GeoUnit};
/// use redwire::prelude::*;
///
/// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
/// let search = GeoCenter::place(13.4, 52.5).radius(5.0, GeoUnit::Kilometers).asc().count(3).with_dist();
/// let nearest: Vec<(String, f64)> = client.geosearch("cabs", search)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GeoSearch {
    center: Center,
    area: Area,
    order: Option<&'static str>,
    count: Option<u64>,
    any: bool,
    with: With,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Area {
    Circle(f64, GeoUnit),
    Rectangle(f64, f64, GeoUnit),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct With {
    dist: bool,
    hash: bool,
    coord: bool,
}

impl GeoSearch {
    fn new(center: Center, area: Area) -> Self {
        Self { center, area, order: None, count: None, any: false, with: With::default() }
    }

    /// The nearest first.
    #[must_use]
    pub fn asc(mut self) -> Self {
        self.order = Some("ASC");
        self
    }

    /// The farthest first.
    #[must_use]
    pub fn desc(mut self) -> Self {
        self.order = Some("DESC");
        self
    }

    /// The nearest `count` at most (with [`desc`](Self::desc) the farthest). Servers refuse 0.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        (self.count, self.any) = (Some(count), false);
        self
    }

    /// Any `count` at most: the search ends when so many are found, so they needn't be the nearest. Servers
    /// refuse 0.
    #[must_use]
    pub fn count_any(mut self, count: u64) -> Self {
        (self.count, self.any) = (Some(count), true);
        self
    }

    /// Each member's distance from the centre, in the unit of the area.
    #[must_use]
    pub fn with_dist(mut self) -> Self {
        self.with.dist = true;
        self
    }

    /// Each member's score, which is a geohash of 52 bits.
    #[must_use]
    pub fn with_hash(mut self) -> Self {
        self.with.hash = true;
        self
    }

    /// Each member's longitude and latitude.
    #[must_use]
    pub fn with_coord(mut self) -> Self {
        self.with.coord = true;
        self
    }

    /// For commands that store, which refuse the words that ask for more about each member.
    pub(super) fn for_store(mut self) -> Self {
        self.with = With::default();
        self
    }
}

impl Arg for GeoSearch {
    fn write(&self, args: &mut Args) {
        match &self.center {
            Center::Place(longitude, latitude) => ("FROMLONLAT", longitude, latitude).write(args),
            Center::Member(member) => ("FROMMEMBER", member).write(args),
        }
        match self.area {
            Area::Circle(radius, unit) => ("BYRADIUS", radius, unit).write(args),
            Area::Rectangle(width, height, unit) => ("BYBOX", width, height, unit).write(args),
        }
        args.optional(self.order);
        self.count.write_named("COUNT", args);
        args.flag(self.any, "ANY");
        let With { dist, hash, coord } = self.with;
        args.flag(dist, "WITHDIST");
        args.flag(hash, "WITHHASH");
        args.flag(coord, "WITHCOORD");
    }
}
