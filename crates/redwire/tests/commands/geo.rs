//! Places.

use redwire::commands::{GeoAddOptions, GeoCenter, GeoUnit};
use redwire::prelude::*;

use crate::each_client;

const PALERMO: (f64, f64, &str) = (13.361389, 38.115556, "Palermo");
const CATANIA: (f64, f64, &str) = (15.087269, 37.502669, "Catania");

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.001
}

#[test]
fn places_are_kept() {
    each_client!(|c, key| {
        let sicily = key("sicily");
        assert_eq!(run!(c.geoadd(&sicily, PALERMO)), 1);
        assert_eq!(run!(c.geoadd(&sicily, [PALERMO, CATANIA])), 1);
        let places = run!(c.geopos(&sicily, ["Palermo", "Rome", "Catania"]));
        let [Some(palermo), None, Some(catania)] = places[..] else { panic!("{places:?}") };
        assert!(near(palermo.0, PALERMO.0) && near(palermo.1, PALERMO.1), "{palermo:?}");
        assert!(near(catania.0, CATANIA.0) && near(catania.1, CATANIA.1), "{catania:?}");
        assert_eq!(run!(c.geopos(key("none"), "Rome")), [None]);
        let hashes = run!(c.geohash(&sicily, ["Palermo", "Rome"]));
        assert_eq!(hashes, [Some("sqc8b49rny0".to_owned()), None]);
        for (unit, distance) in [
            (GeoUnit::Meters, 166_274.151_6),
            (GeoUnit::Kilometers, 166.274_2),
            (GeoUnit::Miles, 103.318_2),
            (GeoUnit::Feet, 545_518.869_9),
        ] {
            let got = run!(c.geodist(&sicily, "Palermo", "Catania", unit)).unwrap();
            assert!((got - distance).abs() < 0.01, "{unit:?}: {got}");
        }
        assert_eq!(run!(c.geodist(&sicily, "Palermo", "Rome", GeoUnit::Meters)), None);
    });
}

#[test]
fn adding_has_conditions() {
    each_client!(|c, key| {
        let sicily = key("sicily");
        let rome = (12.5, 41.9, "Rome");
        let moved = (PALERMO.0, PALERMO.1, "Rome");
        assert_eq!(run!(c.geoadd_with(&sicily, GeoAddOptions::new().xx(), rome)), 0);
        assert_eq!(run!(c.geopos(&sicily, "Rome")), [None]);
        assert_eq!(run!(c.geoadd_with(&sicily, GeoAddOptions::new().nx(), rome)), 1);
        assert_eq!(run!(c.geoadd_with(&sicily, GeoAddOptions::new().nx().ch(), moved)), 0);
        assert_eq!(run!(c.geoadd_with(&sicily, GeoAddOptions::new().xx(), moved)), 0);
        assert_eq!(run!(c.geoadd_with(&sicily, GeoAddOptions::new().ch(), [rome, CATANIA])), 2);
    });
}

#[test]
fn places_are_found() {
    each_client!(|c, key| {
        let sicily = key("sicily");
        run!(c.geoadd(&sicily, [PALERMO, CATANIA]));
        let center = GeoCenter::place(15.0, 37.0);
        let wide = center.clone().radius(200.0, GeoUnit::Kilometers);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, wide.clone().asc())), ["Catania", "Palermo"]);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, wide.clone().desc())), ["Palermo", "Catania"]);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, wide.clone().count(1))), ["Catania"]);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, wide.clone().count_any(1))).len(), 1);
        assert_eq!(run!(c.geosearch::<Vec<String>>(key("none"), wide)), [""; 0]);

        let low = center.rectangle(400.0, 200.0, GeoUnit::Kilometers);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, low)), ["Catania"]);
        let home = GeoCenter::member("Palermo").radius(1.0, GeoUnit::Miles);
        assert_eq!(run!(c.geosearch::<Vec<String>>(&sicily, home)), ["Palermo"]);
        let nowhere = GeoCenter::member("Rome").radius(1.0, GeoUnit::Feet);
        assert!(try_run!(c.geosearch::<Vec<String>>(&sicily, nowhere)).is_err());
    });
}

#[test]
fn a_search_tells_more_about_each_place() {
    each_client!(|c, key| {
        let sicily = key("sicily");
        run!(c.geoadd(&sicily, [PALERMO, CATANIA]));
        let search = GeoCenter::place(15.0, 37.0).radius(200.0, GeoUnit::Kilometers).asc();
        let far: Vec<(String, f64)> = run!(c.geosearch(&sicily, search.clone().with_dist()));
        assert_eq!((&*far[0].0, &*far[1].0), ("Catania", "Palermo"));
        assert!(near(far[0].1, 56.4413) && near(far[1].1, 190.4424), "{far:?}");

        let all = search.with_coord().with_hash().with_dist();
        let all: Vec<(String, f64, u64, (f64, f64))> = run!(c.geosearch(&sicily, all));
        let (name, distance, hash, (longitude, latitude)) = &all[0];
        assert_eq!((&**name, *hash), ("Catania", 3_479_447_370_796_909));
        assert!(near(*distance, 56.4413), "{distance}");
        assert!(near(*longitude, CATANIA.0) && near(*latitude, CATANIA.1), "{longitude} {latitude}");
    });
}

#[test]
fn what_was_found_is_stored() {
    each_client!(|c, key| {
        let (sicily, to) = (key("sicily"), key("to"));
        run!(c.geoadd(&sicily, [PALERMO, CATANIA]));
        // What a search would tell of each place is no matter here.
        let search = GeoCenter::place(15.0, 37.0).radius(100.0, GeoUnit::Kilometers).with_dist();
        assert_eq!(run!(c.geosearchstore(&to, &sicily, search.clone())), 1);
        assert_eq!(run!(c.geohash(&to, "Catania")), run!(c.geohash(&sicily, "Catania")));
        assert_eq!(run!(c.geosearchstore_dist(&to, &sicily, search)), 1);
        let distance = run!(c.zscore(&to, "Catania")).unwrap();
        assert!(near(distance, 56.4413), "{distance}");
    });
}
