//! The HTTP client of all stores: timeouts, certificate authorities, proxies.

use std::time::Duration;

use portend_core::{ArtifactError, Proxies};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body, Proxy, http};

use crate::settings::StoreSettings;

/// Where clouds tell a machine who it is. It answers at once or not at all, and never through a proxy.
const METADATA_HOSTS: [&str; 4] =
    ["169.254.169.254", "169.254.170.2", "169.254.170.23", "metadata.google.internal"];

/// Whether a host is one that tells a machine who it is.
pub(crate) fn is_metadata(host: &str) -> bool {
    METADATA_HOSTS.contains(&host)
}

/// What makes requests, through the proxy that the environment names for an address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    proxies: Proxies,
}

impl Client {
    /// Makes a request, once.
    pub(crate) fn run(
        &self,
        request: http::Request<impl AsSendBody>,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let uri = request.uri();
        let is_plain = uri.scheme_str() == Some("http");
        let proxy = self.proxies.of(is_plain, uri.host().unwrap_or_default(), uri.port_u16());
        let proxy = proxy.map(Proxy::new).transpose()?;
        self.agent.run(self.agent.configure_request(request).proxy(proxy).build())
    }
}

/// The client for stores, and the one for what tells a machine who it is.
pub(crate) fn agents(settings: &StoreSettings) -> Result<(Client, Client), ArtifactError> {
    let tls = match roots(&settings.authorities)? {
        Some(roots) => TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)),
        None => TlsConfig::builder(),
    };
    let tls = tls.build();
    let config = || {
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("portend/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_per_read(Some(Duration::from_secs(60)))
            .timeout_per_write(Some(Duration::from_secs(60)))
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .timeout_await_100(Some(Duration::ZERO))
            .tls_config(tls.clone())
            .proxy(None) // the address decides
    };
    let stores = config().timeout_connect(Some(Duration::from_secs(10))).build();
    let metadata = config()
        .timeout_connect(Some(Duration::from_secs(1)))
        .timeout_recv_response(Some(Duration::from_secs(5)))
        .build();
    let stores = Client { agent: stores.new_agent(), proxies: settings.proxies.clone() };
    Ok((stores, Client { agent: metadata.new_agent(), proxies: Proxies::default() }))
}

/// The system's certificate authorities and further ones. None: there are none, so that those count that the program
/// brings with it.
fn roots(more: &[Vec<u8>]) -> Result<Option<Vec<Certificate<'static>>>, ArtifactError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    for pem in more {
        let before = roots.len();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(e) => {
                    return Err(ArtifactError::Setting(format!("a certificate authority is not PEM: {e}")));
                }
            }
        }
        if roots.len() == before {
            let reason = "a file of certificate authorities holds no certificate";
            return Err(ArtifactError::Setting(reason.to_owned()));
        }
    }
    Ok(Some(roots).filter(|roots| !roots.is_empty()))
}

/// What a transport error means, with a remedy where there is one.
pub(crate) fn explained(error: &ureq::Error) -> String {
    let text = error.to_string();
    let remedy = match error {
        ureq::Error::HostNotFound => "; is its name right?",
        _ if text.contains(CERTIFICATE) => {
            "; PORTEND_CA_FILE names a file with the authority of a private store"
        }
        _ => "",
    };
    format!("{text}{remedy}")
}

/// Whether a transport error stays however often one asks.
pub(crate) fn is_final(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::HostNotFound) || error.to_string().contains(CERTIFICATE)
}

const CERTIFICATE: &str = "certificate";
