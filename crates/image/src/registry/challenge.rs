//! What a registry wants to see first: the `WWW-Authenticate` header.

/// A way to show who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token of another service.
    Bearer {
        /// Where it is had.
        realm: String,
        /// For whom it is.
        service: Option<String>,
    },
}

impl Challenge {
    /// The first one in a header that is known here.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut found = Vec::new();
        for part in split(header) {
            // a scheme stands before its first parameter, with a space between
            let (scheme, rest) = match part.split_once(' ') {
                Some((scheme, rest)) if !scheme.contains('=') => (Some(scheme), rest.trim()),
                None if !part.contains('=') => (Some(part), ""),
                _ => (None, part),
            };
            if let Some(scheme) = scheme {
                found.push((scheme.to_ascii_lowercase(), Vec::new()));
            }
            if let (Some((_, parameters)), Some((name, value))) = (found.last_mut(), rest.split_once('=')) {
                let value = value.trim().trim_matches('"').replace("\\\"", "\"");
                parameters.push((name.trim().to_ascii_lowercase(), value));
            }
        }
        found.into_iter().find_map(|(scheme, parameters)| {
            let get =
                |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            match scheme.as_str() {
                "basic" => Some(Self::Basic),
                "bearer" => Some(Self::Bearer { realm: get("realm")?, service: get("service") }),
                _ => None,
            }
        })
    }
}

/// The parts between commas that do not stand in quotes.
fn split(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in header.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                parts.push(header[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(header[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_challenge_counts() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a.example/token\",service=\"r.example\",scope=\"repository:a:pull,push\"",
                bearer("https://a.example/token", Some("r.example")),
            ),
            ("Negotiate, Basic realm=\"a, Bearer b\"", Some(Challenge::Basic)),
            ("Negotiate abc==, Bearer realm=https://a.example", bearer("https://a.example", None)),
            ("Bearer service=\"x\"", None),
            ("Digest realm=\"x\"", None),
            ("", None),
            ("\"", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }
}
