//! What texts of settings must look like: hosts, tokens, URLs and the like.

use percent_encoding::percent_decode_str;

/// What a text must look like.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// For the reference: one word or two.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test writes the reference"))]
    pub(crate) name: &'static str,
    /// For errors: what is needed.
    pub(crate) needed: &'static str,
    pub(crate) holds: fn(&str) -> bool,
}

fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\0')
}

/// A scheme and what follows it, if it is something.
fn after_scheme(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let seen = rest.bytes().all(|byte| byte.is_ascii_graphic());
    (seen && !rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

pub(crate) const TEXT: Form = Form { name: "text", needed: "some text", holds: is_plain };
pub(crate) const PATH: Form = Form { name: "path", needed: "a path", holds: is_plain };
pub(crate) const PEM: Form = Form { name: "PEM text or path", needed: "PEM text or a path", holds: is_plain };
/// May be empty, as a password may.
pub(crate) const PASSWORD: Form = Form { name: "text", needed: "some text", holds: |_| true };
pub(crate) const HOST: Form = Form {
    name: "name or address",
    needed: "a host name or an IP address without a port",
    // a colon: IPv6 only
    holds: |text| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match bare.contains(':') {
            true => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            false => {
                bare == text && is_plain(text) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
            }
        }
    },
};
pub(crate) const TOKEN: Form = Form {
    name: "text",
    needed: "a text of visible ASCII characters without spaces",
    holds: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()),
};
pub(crate) const URL: Form = Form {
    name: "URL",
    needed: "a URL that begins with http:// or https://",
    holds: |text| after_scheme(text).is_some(),
};
pub(crate) const ROUTE: Form = Form {
    name: "path of a URL",
    needed: "a path that begins with / and has no query",
    holds: |text| {
        text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
    },
};
pub(crate) const ORIGIN: Form = Form {
    name: "origin",
    needed: "a list of origins (scheme://host:port without a path), or * for any,",
    holds: |text| {
        text == "*" || after_scheme(text).is_some_and(|rest| !rest.contains(['/', '?', '#', '@', '*']))
    },
};
pub(crate) const PAIRS: Form = Form {
    name: "`key=value;…`",
    needed: "a list of key=value pairs with ; between",
    holds: |text| {
        let named = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
        is_plain(text) && text.split(';').filter(|pair| !pair.trim().is_empty()).all(named)
    },
};

pub(crate) const HEADERS: Form = Form {
    name: "`name=value,…`",
    needed: "a list of name=value pairs with commas between, percent-encoded, whose names are names of headers",
    holds: |text| {
        are_pairs(text, |name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
    },
};
pub(crate) const ATTRIBUTES: Form = Form {
    name: "`name=value,…`",
    needed: "a list of name=value pairs with commas between, percent-encoded",
    holds: |text| are_pairs(text, |_| true),
};
pub(crate) const RATIO: Form = Form {
    name: "number from 0 to 1",
    needed: "a number from 0 to 1",
    holds: |text| text.trim().parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
};
pub(crate) const PROPAGATOR: Form = Form {
    name: "propagator",
    needed: "a list of tracecontext, b3, b3multi, baggage or none",
    holds: |text| ["tracecontext", "b3", "b3multi", "baggage", "none"].contains(&text),
};

/// Names, which are good ones, and values without control characters.
fn are_pairs(text: &str, is_name: fn(&str) -> bool) -> bool {
    let is_pair = |pair: &str| {
        let named = pair.split_once('=').map(|(name, value)| (name.trim(), value));
        named.is_some_and(|(name, value)| {
            let shown = percent_decode_str(value).all(|byte| !byte.is_ascii_control());
            !name.is_empty() && is_name(name) && shown
        })
    };
    is_plain(text) && text.split(',').filter(|pair| !pair.trim().is_empty()).all(is_pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_forms() {
        let check = |form: Form, good: &[&str], bad: &[&str]| {
            good.iter().for_each(|text| assert!((form.holds)(text), "{}: {text:?}", form.needed));
            bad.iter().for_each(|text| assert!(!(form.holds)(text), "{}: {text:?}", form.needed));
        };
        check(
            HOST,
            &["localhost", "0.0.0.0", "::", "[::1]", "a.example"],
            &["", " ", "a:80", "[a]", "a/b", "a b"],
        );
        check(TOKEN, &["a", "x.Y-z_9="], &["", "a b", "ä", "a\n"]);
        check(
            URL,
            &["http://a", "https://a:1/b?c"],
            &["", "a", "ftp://a", "http://", "http:///x", "http://a b"],
        );
        check(
            ORIGIN,
            &["*", "https://a.example", "http://a:3000"],
            &["a.example", "https://a/", "https://*.a"],
        );
        check(PAIRS, &["a=b", "a=b;c=d=e;", "a="], &["", "a", "=b", "a=b;c"]);
        check(
            HEADERS,
            &["a=b", "a=b,c=d%20e=,", "X-Key= "],
            &["", "a", "=b", "a=b,c", "a b=c", "a=%0a", "ä=b", "a=b\nc=d"],
        );
        check(ATTRIBUTES, &["a b=c", "service.name=x%2Cy"], &["", "a", "=b", "a=%00"]);
        check(RATIO, &["0", "1", " 0.25 ", "1e-3"], &["", "2", "-0.1", "NaN", "inf", "a"]);
        check(PROPAGATOR, &["b3", "none"], &["", "B3", "jaeger", "xray"]);
        check(ROUTE, &["/", "/a/b:predict"], &["", "a", "/a?b", "/a b", "/ä"]);
        check(PATH, &["a", "/a b"], &["", " ", "a\0b"]);
    }
}
