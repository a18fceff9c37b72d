//! The real binary as a process of its own: started on a free port, ready when it is handed out, stopped as an
//! operator stops it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Answer, Connection};

/// The longest that anything is waited for; generous, because test machines are slow and shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, with none of the settings that the developer's shell may hold.
pub(crate) fn portend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portend"));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let prefixes = [
        "PREDICTION_API_",
        "PORTABLE_",
        "PORTEND_",
        "MONITORING_",
        "MLOPS_",
        "PYTHON3_",
        "SOURCE_DATE_EPOCH",
        "SAGEMAKER_",
        "AIP_",
    ];
    names.filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix))).for_each(|name| {
        command.env_remove(name);
    });
    command.env("PORTEND_ENVIRONMENT_FILE", "/dev/null");
    command.env("PORTEND_GRPC_PORT", "0"); // many servers run at once, and one of them would have it
    command.stdin(Stdio::null());
    command
}

/// Asks again and again until there is something, with a rest between.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server that answers. One that is dropped without being stopped is killed.
pub(crate) struct RunningServer {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl RunningServer {
    /// `portend serve PATH` on a free port.
    pub(crate) fn serve(path: &Path) -> Self {
        let mut command = portend();
        command.arg("serve").arg(path).args(["--port", "0"]);
        Self::start(command)
    }

    /// Starts a command that serves, and waits until it is ready.
    pub(crate) fn start(command: Command) -> Self {
        let mut server = Self::listening("http", command);
        server.wait_until_ready();
        server
    }

    /// Starts a command that serves by `http` or `https`, and waits until it listens.
    pub(crate) fn listening(scheme: &str, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, address: port, log, reader: Some(reader) };
        server.address = wait_for("the address", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", server.log());
            }
            let log = server.log();
            let place = log.lines().find_map(|line| line.strip_prefix("listening on "));
            let (found, address) = place.and_then(|place| place.split_once("://"))?;
            assert_eq!(found, scheme);
            Some(address.parse().unwrap())
        });
        server
    }

    /// Starts a command that serves at `address` and writes its log to where the command says, unseen by this.
    pub(crate) fn start_at(address: SocketAddr, mut command: Command) -> Self {
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, address, log: Arc::default(), reader: None };
        wait_for("the listener", || {
            assert_eq!(server.child.try_wait().unwrap(), None, "the server ended");
            TcpStream::connect(address).ok()
        });
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        wait_for("the models", || {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server ended: {}", self.log());
            (self.get("/ready").status == 200).then_some(())
        });
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.connect().ask("GET", target, &[], b"")
    }

    pub(crate) fn post_csv(&self, target: &str, rows: &str) -> Answer {
        self.connect().ask("POST", target, &["Content-Type: text/csv"], rows.as_bytes())
    }

    /// The memory it holds, in KiB; None where the system does not tell.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        self.memory_kib("VmRSS:")
    }

    /// The most memory that it ever held, in KiB; None where the system does not tell.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        self.memory_kib("VmHWM:")
    }

    /// How many of its threads have names that begin so.
    pub(crate) fn threads(&self, start: &str) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with(start))).count()
    }

    fn memory_kib(&self, what: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(what))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Sends SIGTERM, expects exit code 0 and gives all that it wrote to standard error.
    pub(crate) fn stop(self) -> String {
        self.terminate();
        let (code, log) = self.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits until it has ended; its exit code, and all that it wrote to standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status: ExitStatus = wait_for("the end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status.code(), self.log())
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}
