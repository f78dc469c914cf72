//! A service: its sentinels are a layer, then the master has all of its own.

use redwire_testkit::SentinelSet;

use crate::doctor;

#[test]
fn all_is_well() {
    let set = SentinelSet::start();
    for options in [&[][..], &["--blocking"]] {
        let report = doctor(&set.url(), options);
        assert_eq!(report.json["verdict"], "good", "{:#}", report.json);
        let told = &report.layer("sentinels")["detail"];
        assert_eq!(told["master"], set.master().to_string());
        let sentinels = told["sentinels"].as_array().unwrap();
        assert_eq!(sentinels.len(), 3, "{told}");
        for (sentinel, server) in sentinels.iter().zip(set.sentinels()) {
            assert_eq!(sentinel["address"], server.addr().to_string());
            assert_eq!((&sentinel["from_here"], &sentinel["quorum"]), (&"open".into(), &true.into()));
            assert_eq!(sentinel["master"], told["master"]);
        }
        let server = &report.layer("server")["detail"];
        assert_eq!((&server["role"], &server["takes_writes"]), (&"master".into(), &true.into()));
        assert_eq!(report.layer("tcp")["detail"]["addresses"][0]["address"], told["master"]);
    }
    // A user who may only ask where the master is.
    let rights = "ACL SETUSER few on nopass &* -@all +auth +hello +ping +sentinel|get-master-addr-by-name";
    let words: Vec<_> = rights.split(' ').collect();
    set.sentinels().iter().for_each(|sentinel| assert_eq!(sentinel.command(&words).unwrap(), "OK"));
    let report = doctor(&format!("{}?sentinel_username=few", set.url()), &[]);
    let told = &report.layer("sentinels")["detail"];
    assert_eq!(
        (&report.json["verdict"], &told["master"]),
        (&"good".into(), &set.master().to_string().into())
    );
    assert_eq!(told["sentinels"][0]["quorum"], serde_json::Value::Null, "{told}");
}

#[test]
fn others_are_found_by_those_that_are_named() {
    let set = SentinelSet::start();
    let named = format!("redis+sentinel://{}/{}", set.sentinels()[1].addr(), set.service());
    let told = &doctor(&named, &[]).layer("sentinels")["detail"]["sentinels"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(3), "{told}");
    // By another name it is still the same one.
    let named = format!("redis+sentinel://localhost:{}/{}", set.sentinels()[1].port(), set.service());
    let told = &doctor(&named, &[]).layer("sentinels")["detail"]["sentinels"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(3), "{told}");
}

#[test]
fn sentinels_that_are_down() {
    let set = SentinelSet::start();
    set.sentinels()[0].kill();
    let report = doctor(&set.url(), &[]);
    report.says("sentinels", "warning", &["cannot be asked", &set.sentinels()[0].addr().to_string()]);
    assert_eq!(report.json["verdict"], "good", "the master serves all the same");
    set.sentinels()[1].kill();
    // Each of the two is missed by the third only after a while.
    redwire_testkit::eventually("no failover is possible", std::time::Duration::from_secs(20), || {
        doctor(&set.url(), &[]).layer("sentinels")["meaning"].to_string().contains("no failover is possible")
    });
    set.sentinels()[2].kill();
    let report = doctor(&set.url(), &[]);
    report.says("sentinels", "bad", &["cannot be asked"]).skips_from("dns");
}

#[test]
fn a_service_that_no_sentinel_knows() {
    let set = SentinelSet::start();
    let url = set.url().replace("/mymaster", "/nobody");
    let report = doctor(&url, &[]);
    report.says("sentinels", "bad", &["knows no service", "It watches: mymaster"]).skips_from("dns");
}

#[test]
fn sentinels_with_a_password_of_their_own() {
    let set = SentinelSet::builder().password("data-word").sentinel_password("watch-word").start();
    let report = doctor(&set.url(), &[]);
    report.says("sentinels", "bad", &["sentinel_password"]).skips_from("dns");
    assert!(!report.json.to_string().contains("-word"), "{}", report.json);
    let report = doctor(&format!("{}?sentinel_password=watch-word", set.url()), &[]);
    assert_eq!(report.json["verdict"], "good", "{:#}", report.json);
    assert!(!report.json.to_string().contains("-word"), "{}", report.json);
}
