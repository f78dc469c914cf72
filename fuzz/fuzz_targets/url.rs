//! No text panics the URL parser, and a configuration it makes prints as a URL that makes the same one; with
//! a password, which is never printed, that prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redwire_core::config::Config;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::from_url(text) else { return };
    let printed = config.to_string();
    let again = Config::from_url(&printed).expect("a printed URL is a URL");
    match config.password() {
        None => assert_eq!(again, config, "{printed}"),
        Some(_) => assert_eq!(again.to_string(), printed),
    }
});
