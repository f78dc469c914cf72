//! Vector sets: against a real server that has them, and what newer versions answer, from the documentation.

use redwire::Outcome;
use redwire::commands::{Quantization, SimilarTo, VaddOptions, VsimOptions};
use redwire::prelude::*;

use crate::conversation;

#[test]
fn vector_sets() {
    conversation!("vector_sets", |c| {
        assert!(run!(c.vadd("words", [1.0_f32, 0.1], "king", VaddOptions::new())));
        assert!(!run!(c.vadd("words", [1.0_f32, 0.1], "king", VaddOptions::new())));
        let options = VaddOptions::new().cas().ef(100).setattr(r#"{"len":5}"#);
        assert!(run!(c.vadd("words", vec![0.9, 0.2], "queen", options)));
        run!(c.vadd("words", [-1.0, 0.0], "frog", VaddOptions::new()));
        assert_eq!((run!(c.vcard("words")), run!(c.vdim("words"))), (3, 2));
        let vector = run!(c.vemb("words", "king")).unwrap();
        assert!((vector[0] - 1.0).abs() < 0.02 && (vector[1] - 0.1).abs() < 0.02, "{vector:?}");
        let raw = run!(c.vemb_raw("words", "king")).unwrap();
        assert_eq!((raw.quantization.as_str(), raw.data.len()), ("int8", 2));
        assert!((raw.norm - 1.005).abs() < 0.01 && raw.range.is_some());
        assert!(run!(c.vsetattr("words", "king", r#"{"len":4}"#)));
        assert!(!run!(c.vsetattr("words", "none", "{}")));
        assert_eq!(run!(c.vgetattr::<String>("words", "king")).as_deref(), Some(r#"{"len":4}"#));
        assert_eq!(run!(c.vgetattr::<String>("words", "frog")), None);
        let info = run!(c.vinfo("words")).unwrap();
        assert_eq!((info.size, info.dimension, info.quantization.as_str()), (3, 2, "int8"));
        assert!(info.attributes >= 1 && info.m == 16);
        assert!(info.max_node_uid >= 3 && info.extra.is_empty(), "{info:?}");
        // The server counts its sets: the first one of all has 0.
        let first = info.uid;
        assert_eq!(run!(c.vlinks("words", "king")).unwrap().last().unwrap().len(), 2);
        let links = run!(c.vlinks_withscores("words", "king")).unwrap();
        assert!(links.last().unwrap().iter().all(|(_, score)| (0.0..=1.0).contains(score)));
        assert!(run!(c.vrandmember::<String>("words")).is_some());
        assert_eq!(run!(c.vrandmember_count::<Vec<String>>("words", 2)).len(), 2);
        assert_eq!(run!(c.vrandmember_count::<Vec<String>>("words", -5)).len(), 5);

        let like = run!(c.vsim::<Vec<String>>("words", SimilarTo::element("king"), VsimOptions::new()));
        assert_eq!(like, ["king", "queen", "frog"]);
        let like = run!(c.vsim_withscores::<Vec<(String, f64)>>("words", [1.0_f32, 0.1], VsimOptions::new()));
        assert_eq!((like.len(), like[0].0.as_str()), (3, "king"));
        assert!(like[0].1 > 0.99 && like[2].1 < 0.1);
        let options =
            VsimOptions::new().count(1).ef(50).filter(".len == 5").filter_ef(100).truth().nothread();
        assert_eq!(run!(c.vsim::<Vec<String>>("words", [1.0, 0.1], options)), ["queen"]);
        assert!(run!(c.vrem("words", "king")));
        assert!(!run!(c.vrem("words", "king")));

        let options = VaddOptions::new().reduce(2).quantization(Quantization::Bin).m(8);
        run!(c.vadd("reduced", &[0.1_f32, 0.2, 0.3][..], "a", options));
        let info = run!(c.vinfo("reduced")).unwrap();
        assert_eq!((info.dimension, info.input_dimension, info.m), (2, 3, 8));
        assert!(info.uid > first, "{info:?}");
        let vector = vec![0.1_f32, 0.2];
        run!(c.vadd("exact", &vector, "a", VaddOptions::new().quantization(Quantization::None)));
        assert_eq!(run!(c.vemb_raw("exact", "a")).unwrap().range, None);

        // What is absent.
        assert_eq!((run!(c.vcard("none")), run!(c.vinfo("none"))), (0, None));
        assert_eq!((run!(c.vemb("none", "a")), run!(c.vemb("words", "none"))), (None, None));
        assert_eq!(run!(c.vlinks("none", "a")), None);
        assert_eq!(run!(c.vrandmember::<String>("none")), None);
        assert!(run!(c.vrandmember_count::<Vec<String>>("none", 2)).is_empty());
        assert!(run!(c.vsim::<Vec<String>>("none", [1.0], VsimOptions::new())).is_empty());
        assert!(!run!(c.vrem("none", "a")));
        assert_eq!(run!(c.vgetattr::<String>("none", "a")), None);
        for error in [
            try_run!(c.vdim("none")).unwrap_err(),
            try_run!(c.vadd("words", [1.0], "short", VaddOptions::new())).unwrap_err(),
        ] {
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
    });
}

#[test]
fn what_newer_versions_answer() {
    conversation!(documented "vector_sets_new", |c| {
        assert!(run!(c.vismember("words", "king")));
        assert!(!run!(c.vismember("words", "none")));
        assert_eq!(run!(c.vrange::<Vec<String>>("words", "-", "+", 10)), ["frog", "king"]);
        let like = run!(
            c.vsim_withattribs::<Vec<(String, f64, Option<String>)>>("words", [1.0, 0.1], VsimOptions::new())
        );
        assert_eq!(like[0], ("king".to_owned(), 1.0, Some(r#"{"len":4}"#.to_owned())));
        assert_eq!(like[1], ("frog".to_owned(), 0.25, None));
        let near = VsimOptions::new().epsilon(0.5);
        assert_eq!(run!(c.vsim::<Vec<String>>("words", SimilarTo::element("king"), near)), ["king"]);
    });
}
