//! Names and passwords for web servers, out of the file that curl, git and pip read.

use std::path::PathBuf;

use crate::settings::StoreSettings;

/// The most bytes of the file.
const MOST_BYTES: u64 = 1 << 20;

/// Name and password for a host, which has no port.
pub(crate) fn login(host: &str, settings: &StoreSettings) -> Option<(String, String)> {
    let named = settings.variable("NETRC").map(PathBuf::from);
    let path = named.or_else(|| Some(settings.home()?.join(".netrc")))?;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MOST_BYTES), &mut text).ok()?;
    parse(&text, host)
}

fn parse(text: &str, host: &str) -> Option<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_ascii_whitespace);
    let (mut name, mut password, mut meant) = (None, None, false);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if meant && password.is_some() {
                    break;
                }
                meant = word == "default" || words.next() == Some(host);
            }
            "login" => name = words.next().filter(|_| meant).or(name),
            "password" => password = words.next().filter(|_| meant).or(password),
            _ => {}
        }
    }
    Some((name?.to_owned(), password?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_login_of_its_own_lines() {
        let text = "# machine h login no password no\nmachine a login x password 1\nmachine h\n  login me\n  \
                    password secret\ndefault login any password 2\n";
        let check = |host: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(name, password)| (name.to_owned(), password.to_owned()));
            assert_eq!(parse(text, host), expected, "{host}");
        };
        check("a", Some(("x", "1")));
        check("h", Some(("me", "secret")));
        check("z", Some(("any", "2")));
        assert_eq!(parse("machine h login x", "h"), None);
    }
}
