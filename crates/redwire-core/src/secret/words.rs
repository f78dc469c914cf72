//! Which words of which commands are secrets. Promises to find them wherever their grammar puts them, and
//! rather one too many where a command breaks its grammar. Must not know what becomes of them.

use redwire_resp::{Cursor, Head, Len};

use super::Secret;

/// The secrets among the words of a command, its name included.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::secret;
///
/// let words = |line: &'static str| line.split(' ').map(str::as_bytes);
/// assert_eq!(secret::among(words("auth ann s3cret"))[0].reveal(), "s3cret");
/// assert_eq!(secret::among(words("CONFIG SET maxmemory 1mb requirepass s3cret"))[0].reveal(), "s3cret");
/// assert!(secret::among(words("GET auth")).is_empty());
/// ```
#[must_use]
pub fn among<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<Secret> {
    let mut words = words.peekable();
    let is_candidate = |name: &&[u8]| CANDIDATES.iter().any(|candidate| name.eq_ignore_ascii_case(candidate));
    if words.peek().is_none_or(|name| !is_candidate(name)) {
        return Vec::new();
    }
    let texts: Vec<_> = words.map(String::from_utf8_lossy).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let upper: Vec<_> = texts.iter().take(4).map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let found = match upper.as_slice() {
        ["AUTH", ..] => of_pair(&texts[1..]),
        ["HELLO", ..] => behind_auth(&texts[1..]),
        ["MIGRATE", ..] => behind_auth(texts.get(6..).unwrap_or_default()),
        ["ACL", "SETUSER", ..] => of_rules(texts.get(3..).unwrap_or_default()),
        ["CONFIG", "SET", ..] => of_options(&texts[2..]),
        ["SENTINEL", "CONFIG", "SET", ..] | ["SENTINEL", "SET", ..] => {
            of_options(&texts[3.min(texts.len())..])
        }
        _ => Vec::new(),
    };
    found.into_iter().filter(|text| !text.is_empty()).map(Secret::from).collect()
}

/// The secrets among the words of commands that are packed already.
#[must_use]
pub fn among_packed(commands: &[u8]) -> Vec<Secret> {
    let (mut cursor, mut found) = (Cursor::new(commands), Vec::new());
    while let Ok(Head::Array(Len::Known(count))) = cursor.head() {
        let words: Vec<_> = (0..count).map_while(|_| bulk(&mut cursor)).collect();
        if words.len() < count {
            break;
        }
        found.extend(among(words.into_iter()));
    }
    found
}

fn bulk<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    if let Ok(Head::Bulk(word)) = cursor.head() { Some(word) } else { None }
}

/// Adds `more` to the secrets that are `known`, of which no more than the newest are kept.
pub fn remember(known: &mut Vec<Secret>, more: Vec<Secret>) {
    for secret in more {
        known.retain(|old| *old != secret);
        known.push(secret);
    }
    known.drain(..known.len().saturating_sub(MOST_KEPT));
}

/// A caller that has not read a reply after so many secrets has other worries.
const MOST_KEPT: usize = 32;

/// The commands whose words are looked at.
const CANDIDATES: [&[u8]; 6] = [b"AUTH", b"HELLO", b"MIGRATE", b"ACL", b"CONFIG", b"SENTINEL"];

/// Of a user and a password the password; of another number of words each may be one.
fn of_pair<'a>(words: &[&'a str]) -> Vec<&'a str> {
    match words {
        [_user, password] => vec![password],
        others => others.to_vec(),
    }
}

/// The two words that follow AUTH, or AUTH2: a user and a password, or a password and another word.
fn behind_auth<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let is_auth = |word: &&str| ["AUTH", "AUTH2"].iter().any(|name| word.eq_ignore_ascii_case(name));
    let at = words.iter().position(is_auth).map_or(words.len(), |at| at + 1);
    words[at..].iter().take(2).copied().collect()
}

/// Passwords and their hashes among the rules of a user. A rule that is none may be a password without its
/// `>`.
fn of_rules<'a>(rules: &[&'a str]) -> Vec<&'a str> {
    let secrets = rules.iter().filter(|rule| is_secret_rule(rule));
    secrets.map(|rule| rule.strip_prefix(['>', '<', '#', '!']).unwrap_or(rule)).collect()
}

/// Whether a rule of `ACL SETUSER` is, or may be, a password.
pub(super) fn is_secret_rule(rule: &str) -> bool {
    let is_word = RULES.iter().any(|word| rule.eq_ignore_ascii_case(word));
    !is_word && !rule.starts_with(['~', '+', '-', '&', '%', '(', ')', '@']) && !rule.starts_with("db=")
}

const RULES: [&str; 16] = [
    "on",
    "off",
    "nopass",
    "resetpass",
    "reset",
    "resetkeys",
    "resetchannels",
    "resetdbs",
    "allkeys",
    "allchannels",
    "allcommands",
    "alldbs",
    "nocommands",
    "clearselectors",
    "sanitize-payload",
    "skip-sanitize-payload",
];

/// The values of options that are secret by their names, from pairs of name and value. Where the pairs are
/// out of step, all of them.
fn of_options<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["pass", "auth", "password", "secret", "token"].iter().any(|end| name.ends_with(end))
    };
    let first = words.iter().position(|word| is_secret(word));
    match first {
        None => Vec::new(),
        Some(at) if at.is_multiple_of(2) && words.len().is_multiple_of(2) => {
            let pairs = words.chunks_exact(2).filter(|pair| is_secret(pair[0]));
            pairs.map(|pair| pair[1]).collect()
        }
        Some(_) => words.iter().filter(|word| !is_secret(word)).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cmd, Value};

    #[test]
    fn each_command_tells_its_secrets() {
        let table: [(&str, &[&str]); 30] = [
            ("AUTH pw", &["pw"]),
            ("auth ann pw", &["pw"]),
            ("AUTH ann pw more", &["ann", "pw", "more"]),
            ("AUTH", &[]),
            ("HELLO 3", &[]),
            ("HELLO 3 AUTH ann pw SETNAME me", &["ann", "pw"]),
            ("hello 3 setname me auth ann pw", &["ann", "pw"]),
            ("HELLO 3 AUTH pw", &["pw"]),
            ("MIGRATE h 1 k 0 5", &[]),
            ("MIGRATE h 1 auth 0 5 COPY", &[]),
            ("MIGRATE h 1 k 0 5 COPY AUTH pw", &["pw"]),
            ("MIGRATE h 1  0 5 AUTH pw KEYS a b", &["pw", "KEYS"]),
            ("MIGRATE h 1  0 5 AUTH2 ann pw KEYS a b", &["ann", "pw"]),
            ("MIGRATE h", &[]),
            ("ACL SETUSER ann on >pw ~* +@all", &["pw"]),
            ("acl setuser ann RESET <old !hash #hash nopass", &["old", "hash", "hash"]),
            ("ACL SETUSER ann pw > ", &["pw"]),
            ("ACL SETUSER ann (+get ~a) db=1 alldbs", &[]),
            ("ACL SETUSER ann", &[]),
            ("ACL LIST", &[]),
            ("CONFIG SET requirepass pw", &["pw"]),
            ("config set MaxMemory 1 RequirePass pw masterauth p2", &["pw", "p2"]),
            ("CONFIG SET maxmemory 1", &[]),
            ("CONFIG SET pw requirepass", &["pw"]),
            ("CONFIG SET requirepass pw more", &["pw", "more"]),
            ("CONFIG SET tls-key-file-pass pw", &["pw"]),
            ("CONFIG GET requirepass", &[]),
            ("SENTINEL SET m auth-pass pw", &["pw"]),
            ("SENTINEL CONFIG SET sentinel-pass pw", &["pw"]),
            ("GET requirepass", &[]),
        ];
        for (line, secrets) in table {
            let found = among(line.split(' ').map(str::as_bytes));
            let found: Vec<_> = found.iter().map(Secret::reveal).collect();
            assert_eq!(found, secrets, "{line}");
        }
        assert!(among(std::iter::empty()).is_empty());
        assert_eq!(among([&b"AUTH"[..], b"p\xffw"].into_iter())[0].reveal(), "p\u{fffd}w");
    }

    #[test]
    fn packed_commands_are_looked_through_and_few_secrets_are_kept() {
        let pack = |line: &str| {
            let mut words = line.split(' ');
            let name = Cmd::<Value>::new(words.next().unwrap());
            words.fold(name, Cmd::arg).to_bytes()
        };
        let packed = [pack("PING"), pack("AUTH pw"), pack("GET k"), pack("HELLO 3 AUTH ann p2")].concat();
        let found = among_packed(&packed);
        assert_eq!(found.iter().map(Secret::reveal).collect::<Vec<_>>(), ["pw", "ann", "p2"]);
        for broken in [&packed[..packed.len() - 4], b"*x", b"PING\r\n", b"*-1\r\n", b"*9\r\n$1\r\na\r\n", b""]
        {
            assert!(among_packed(broken).len() <= 3);
        }
        let mut known = Vec::new();
        (0..100).for_each(|n| remember(&mut known, vec![n.to_string().into()]));
        remember(&mut known, vec!["80".into()]);
        assert_eq!(known.len(), MOST_KEPT);
        assert_eq!(known.last().unwrap().reveal(), "80");
        assert_eq!(known.iter().filter(|secret| secret.reveal() == "80").count(), 1);
    }
}
