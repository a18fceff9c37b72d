//! How far a copy is, on standard error: a bar for each layer on a terminal; elsewhere a line now and then, so that a
//! log shows that something large still moves.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use portend_image::{Descriptor, Digest, Progress};

use super::arguments::{ProgressArguments, ProgressForm};
use super::place::note;
use crate::package::inspect::size;

/// How often a line tells of a blob.
const LINE: Duration = Duration::from_secs(10);

/// What hears of a copy. None: nobody wants to know.
pub(super) fn of(arguments: &ProgressArguments) -> Option<Box<dyn Progress>> {
    let terminal = std::io::stderr().is_terminal();
    match arguments.progress {
        ProgressForm::None => None,
        _ if arguments.quiet => None,
        ProgressForm::Auto if terminal => Some(Box::new(Bars::default())),
        ProgressForm::Bars => Some(Box::new(Bars::default())),
        ProgressForm::Auto | ProgressForm::Plain => Some(Box::new(Lines::default())),
    }
}

/// The first digits of a digest, by which people tell blobs apart.
fn short(blob: &Descriptor) -> &str {
    blob.digest.hex().get(..12).unwrap_or_default()
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    running: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn with(&self, blob: &Descriptor, what: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.running.lock().unwrap_or_else(|e| e.into_inner()).get(&blob.digest) {
            what(bar);
        }
    }
}

impl Progress for Bars {
    fn begins(&self, blob: &Descriptor) {
        let form = "{prefix} {bar:30} {decimal_bytes:>9} of {decimal_total_bytes:9} {decimal_bytes_per_sec:>11} {msg}";
        let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.all.add(ProgressBar::new(blob.size).with_style(style));
        bar.set_prefix(short(blob).to_owned());
        self.running.lock().unwrap_or_else(|e| e.into_inner()).insert(blob.digest.clone(), bar);
    }

    fn is_at(&self, blob: &Descriptor, bytes: u64) {
        self.with(blob, |bar| bar.set_position(bytes));
    }

    fn ends(&self, blob: &Descriptor, sent: bool) {
        self.with(blob, |bar| {
            bar.set_position(blob.size);
            bar.finish_with_message(if sent { "done" } else { "there" });
        });
    }
}

#[derive(Default)]
struct Lines {
    running: Mutex<HashMap<Digest, (Instant, Instant)>>,
}

impl Progress for Lines {
    fn begins(&self, blob: &Descriptor) {
        let now = Instant::now();
        self.running.lock().unwrap_or_else(|e| e.into_inner()).insert(blob.digest.clone(), (now, now));
    }

    fn is_at(&self, blob: &Descriptor, bytes: u64) {
        let mut running = self.running.lock().unwrap_or_else(|e| e.into_inner());
        let Some((begun, told)) = running.get_mut(&blob.digest) else { return };
        if told.elapsed() >= LINE {
            *told = Instant::now();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate = (bytes as f64 / begun.elapsed().as_secs_f64()) as u64;
            note(&format!("{}: {} of {}, {}/s", short(blob), size(bytes), size(blob.size), size(rate)));
        }
    }

    fn ends(&self, blob: &Descriptor, sent: bool) {
        let begun = self.running.lock().unwrap_or_else(|e| e.into_inner()).remove(&blob.digest);
        if let Some((begun, _)) = begun.filter(|(begun, _)| sent && begun.elapsed() >= LINE) {
            note(&format!("{}: {} in {} s", short(blob), size(blob.size), begun.elapsed().as_secs()));
        }
    }
}
