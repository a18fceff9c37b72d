//! Which proxy the environment names for a host, by the rules that curl and Go's programs share: a variable for each
//! scheme, in small or in capital letters, and `NO_PROXY` with names, suffixes, addresses and networks. What is on this
//! machine is reached without one.

use std::net::IpAddr;

/// What an environment says about proxies.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    without: Vec<String>,
}

/// Without the values: a proxy's address may hold a password.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, each also in capitals. A proxy that cannot be meant is
    /// an error, which names the variable: passed over, it would let requests out that were to go through it.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            names.into_iter().find_map(|name| Some((variable(&name).filter(|v| !v.is_empty())?, name)))
        };
        let proxy = |name| either(name).or_else(|| either("all_proxy")).map(parsed).transpose();
        let without = either("no_proxy").map(|(text, _)| text).unwrap_or_default();
        Ok(Self {
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
            without: without.split(',').map(|entry| entry.trim().to_ascii_lowercase()).collect(),
        })
    }

    /// The URL of the proxy through which a host is reached, if it is not reached directly. Without a port it is asked at
    /// that of HTTP or, unless `is_plain`, of HTTPS.
    pub fn of(&self, is_plain: bool, host: &str, port: Option<u16>) -> Option<&str> {
        let port = port.unwrap_or(if is_plain { 80 } else { 443 });
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let ip = host.parse::<IpAddr>().ok();
        let here =
            host == "localhost" || host.ends_with(".localhost") || ip.is_some_and(|ip| ip.is_loopback());
        if here || self.without.iter().any(|entry| matches(entry, &host, ip, port)) {
            return None;
        }
        if is_plain { self.http.as_deref() } else { self.https.as_deref() }
    }
}

/// The URL, with a scheme.
fn parsed((text, name): (String, String)) -> Result<String, String> {
    let url = if text.contains("://") { text } else { format!("http://{text}") };
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    let host = authority.map(|authority| authority.rsplit('@').next().unwrap_or_default());
    let (named, port) = match host.and_then(|host| host.rsplit_once(':')) {
        Some((host, port)) if !port.ends_with(']') => (Some(host), port.parse::<u16>().is_ok()),
        _ => (host, true),
    };
    let fits = |host: &str| match host.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']').is_some_and(|ip| ip.parse::<IpAddr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if port && named.is_some_and(fits) {
        Ok(url)
    } else {
        Err(format!(
            "{name} names no proxy: a URL such as http://proxy.example:3128 is needed, of http or https"
        ))
    }
}

/// Whether an entry of `NO_PROXY` means a host.
fn matches(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        let (network, bits) = (network.parse().ok(), bits.parse().ok());
        return network.zip(bits).zip(ip).is_some_and(|((network, bits), ip)| contains(network, bits, ip));
    }
    let entry = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => match digits.parse::<u16>() {
            Ok(wanted) if wanted == port => name,
            _ => return false,
        },
        _ => entry,
    };
    if entry == "*" {
        return true;
    }
    let name = entry.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
    match (name.parse::<IpAddr>(), ip) {
        (Ok(one), Some(other)) => one == other,
        _ if name.is_empty() || ip.is_some() => false,
        _ => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

/// Whether the first bits of two addresses are the same.
fn contains(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    let (network, ip, width) = match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            (u128::from(network.to_bits()), u128::from(ip.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => (network.to_bits(), ip.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (network ^ ip).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Result<Proxies, String> {
        let found =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_environment(found)
    }

    #[test]
    fn no_proxy_means_names_suffixes_addresses_networks_and_ports() {
        let check = |entries: &str, host: &str, port: u16, expected: bool| {
            let proxies = proxies(&[("HTTPS_PROXY", "proxy:3128"), ("NO_PROXY", entries)]).unwrap();
            assert_eq!(proxies.of(false, host, Some(port)).is_none(), expected, "{entries}: {host}:{port}");
        };
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.8.0.1", "[::1]"] {
            check("", host, 443, true);
        }
        for (entries, host, expected) in [
            ("", "reg.example", false),
            ("*", "reg.example", true),
            ("reg.example", "REG.example.", true),
            ("a, reg.example ,b", "reg.example", true),
            ("example", "reg.example", true),
            (".example", "reg.example", true),
            ("*.example", "reg.example", true),
            ("ample", "reg.example", false),
            ("reg.example:443", "reg.example", true),
            ("reg.example:5000", "reg.example", false),
            ("10.0.0.0/8", "10.200.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("1.2.3", "10.1.2.3", false),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/8", "10.0.0.1", false),
            ("[fd12::1]:443", "[fd12::1]", true),
            ("fd12::1", "[fd12::1]", true),
        ] {
            check(entries, host, 443, expected);
        }
    }

    #[test]
    fn each_scheme_has_its_variable_and_one_that_names_no_proxy_is_refused() {
        let both = |pairs: &[(&str, &str)]| {
            let proxies = proxies(pairs)?;
            Ok::<_, String>([true, false].map(|plain| proxies.of(plain, "h", None).map(str::to_owned)))
        };
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(both(&[("HTTP_PROXY", "http://p:1")]), Ok([url("http://p:1"), None]));
        assert_eq!(both(&[("https_proxy", "p:1"), ("HTTPS_PROXY", "q")]), Ok([None, url("http://p:1")]));
        assert_eq!(
            both(&[("ALL_PROXY", "https://u:s@[::1]:1/")]),
            Ok([0; 2].map(|_| url("https://u:s@[::1]:1/")))
        );
        for wrong in ["::garbage::", "socks5://p:1", "http://", "http://a b", "p:99999", "http://u:SECRET@"] {
            let error = both(&[("HTTPS_PROXY", wrong)]).unwrap_err();
            assert!(error.starts_with("HTTPS_PROXY names no proxy"), "{wrong}: {error}");
            assert!(!error.contains("SECRET"));
        }
    }
}
