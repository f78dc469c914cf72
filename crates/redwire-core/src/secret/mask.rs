//! Taking secrets out of what a server or a proxy says. Promises that neither a secret nor a part of it that
//! is long enough to be of use stays in the text. Must not know whose text it is.

use super::{MASK, Secret, words};

/// `text` without `secrets`: each stands as `***`, and so does a piece of a long one, since servers cut what
/// they quote.
pub(crate) fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut text: String = text.chars().take(MOST_SHOWN).collect();
    for secret in secrets {
        let escaped = secret.reveal().escape_debug().to_string();
        if escaped != secret.reveal() {
            text = without(&text, &escaped);
        }
        text = without(&text, secret.reveal());
    }
    text
}

/// `line`, an error of a server, without what it quotes of a command's arguments.
///
/// A command that is not known may be a password with its name misspelt, or `AUTH` where that bears another
/// name.
pub(crate) fn unquoted(line: String) -> String {
    if let Some(at) = line.find(BEGINNING) {
        return format!("{}{BEGINNING}: {MASK}", &line[..at]);
    }
    let Some(at) = line.find(MODIFIER) else { return line };
    let (before, quoted) = line.split_at(at + MODIFIER.len());
    let end = quoted.rfind("':").or_else(|| quoted.rfind('\'')).unwrap_or(quoted.len());
    if words::is_secret_rule(&quoted[..end]) { format!("{before}{MASK}{}", &quoted[end..]) } else { line }
}

/// What Redis and Valkey say before they quote the arguments of a command that they do not know.
const BEGINNING: &str = "with args beginning with";
/// What they say before they quote a rule of `ACL SETUSER`.
const MODIFIER: &str = "ACL SETUSER modifier '";

/// A piece of a secret as long as this is hidden, too.
const PIECE: usize = 6;
/// A secret shorter than this is hidden where it stands alone: there are other words that have it in them,
/// `WRONGPASS` for one.
const SHORT: usize = 8;
/// More of a text that quotes secrets is not shown.
const MOST_SHOWN: usize = 1000;

fn without(text: &str, secret: &str) -> String {
    let lower = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (shown, secret, found) = (text.chars().collect::<Vec<char>>(), lower(secret), lower(text));
    if secret.is_empty() {
        return text.to_owned();
    }
    let least = secret.len().min(PIECE);
    let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while at < shown.len() {
        let run = longest_piece(&found[at..], &secret, least);
        let stands_alone = || {
            let before = at.checked_sub(1).and_then(|before| found.get(before));
            !is_word(before) && !is_word(found.get(at + run))
        };
        if run == 0 || (secret.len() < SHORT && !stands_alone()) {
            masked.push(shown[at]);
            at += 1;
        } else {
            masked.push_str(MASK);
            at += run;
        }
    }
    masked
}

/// How much of the beginning of `text` is a piece of `secret`; 0 if that is less than `least`.
fn longest_piece(text: &[char], secret: &[char], least: usize) -> usize {
    let common = |from: &[char]| from.iter().zip(text).take_while(|(a, b)| a == b).count();
    let longest = (0..=secret.len() - least).map(|from| common(&secret[from..])).max().unwrap_or(0);
    if longest >= least { longest } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let table = [
            ("ERR unknown command AUTH s3cretpw", "s3cretpw", "ERR unknown command AUTH ***"),
            ("ERR wrong 'pw'", "pw", "ERR wrong '***'"),
            ("ERR pwx a pw.", "pw", "ERR pwx a ***."),
            ("ERR a bad a", "a", "ERR *** bad ***"),
            ("cut: 's3cret-tok", "s3cret-token-of-some-length", "cut: '***"),
            ("end: token-of-some", "s3cret-token-of-some-length", "end: ***"),
            ("lower: s3cretpw", "S3cretPW", "lower: ***"),
            (r#"said "pa\"ss\\w""#, r#"pa"ss\w"#, r#"said "***""#),
            ("twice pw123456pw123456", "pw123456", "twice ******"),
            ("WRONGPASS, not wrong", "wrong", "WRONGPASS, not ***"),
            ("args: =pw1234=", "pw1234", "args: =***="),
            ("nothing of it", "s3cretpw", "nothing of it"),
            ("", "s3cretpw", ""),
            ("größe übergröße", "übergröße", "größe ***"),
        ];
        for (text, secret, masked) in table {
            assert_eq!(mask(text, &[secret.into()]), masked, "{text}");
        }
        assert_eq!(mask("text", &[Secret::new("")]), "text");
        assert_eq!(mask("aa1234 bb1234", &["bb1234".into(), "aa1234".into()]), "*** ***");
        assert_eq!(
            mask("a secret1 b", &["secret12345".into()]),
            "a *** b",
            "a piece, at the end of what was cut"
        );
    }

    #[test]
    fn quoted_arguments_are_not_shown() {
        for (line, shown) in [
            (
                "ERR unknown command 'AUTH', with args beginning with: 's3cret' ",
                "ERR unknown command 'AUTH', with args beginning with: ***",
            ),
            (
                "ERR unknown command `hello`, with args beginning with: `3`, `AUTH`, `default`, `s3cret`, ",
                "ERR unknown command `hello`, with args beginning with: ***",
            ),
            (
                "ERR Error in ACL SETUSER modifier '>s3cret': Syntax error",
                "ERR Error in ACL SETUSER modifier '***': Syntax error",
            ),
            (
                "ERR Error in ACL SETUSER modifier '+nosuch': Unknown command",
                "ERR Error in ACL SETUSER modifier '+nosuch': Unknown command",
            ),
            ("WRONGTYPE Operation against a key", "WRONGTYPE Operation against a key"),
        ] {
            assert_eq!(unquoted(line.to_owned()), shown);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn no_secret_stays(
            before in "[ -)+-~äß]{0,30}", secret in "[!-)+-~äß]{1,40}",
            after in "[ -)+-~äß]{0,30}", cut in 0_usize..40,
        ) {
            // As servers quote it, and a long one wherever it stands.
            let mark = if secret.chars().count() < SHORT { "'" } else { "" };
            let text = format!("{before}{mark}{secret}{mark}{after}");
            let masked = mask(&text, &[secret.as_str().into()]);
            let quoted = format!("{mark}{secret}{mark}");
            prop_assert!(!masked.contains(&quoted), "{masked}");
            // A piece of it, as of one that was cut off.
            let piece: String = secret.chars().take(cut).collect();
            let masked = mask(&format!("{before}'{piece}"), &[secret.as_str().into()]);
            prop_assert!(piece.chars().count() < PIECE || !masked.contains(&piece), "{piece}: {masked}");
        }
    }
}
