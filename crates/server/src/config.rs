//! What a server is told at its start. Where the values come from (flags, environment) is the binary's business.

use std::path::PathBuf;
use std::time::Duration;

use portend_model::package::Trust;

/// The settings of a server, validated by whoever made them.
#[derive(Debug, Clone)]
pub struct Config {
    /// A model file, a package, or a repository of sub-directories.
    pub path: PathBuf,
    /// The address to listen on, a name or an IP address.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// How many requests may score at once, and how many threads score; one or more.
    pub workers: usize,
    /// The target's name for model files that come without a manifest.
    pub target: String,
    /// Whose packages are loaded, and what is done about others.
    pub trust: Trust,
    /// The largest request body in bytes, before and after decompression.
    pub body_limit: usize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long running requests may take to end once the server is told to stop.
    pub drain_timeout: Duration,
    /// Whether each request is logged in one line on standard error.
    pub access_log: bool,
}

impl Config {
    /// The defaults for a path: loopback, port 8080, all cores, signatures not looked at, 50 MiB bodies, access log on.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            host: "127.0.0.1".to_owned(),
            port: 8080,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            target: "target".to_owned(),
            trust: Trust::default(),
            body_limit: 50 << 20,
            header_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            access_log: true,
        }
    }
}
