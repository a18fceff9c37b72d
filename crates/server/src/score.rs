//! The one scoring path of all protocols: decode, predict, encode. A small request is scored on the thread that
//! read it, because a hop costs more than the work; a large one is cut into parts over the scoring threads.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portend_model::frame::Frame;
use portend_model::{Model, Predictions};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::admission::{Admission, Room};
use crate::error::ServerError;

/// What a protocol brings to one request: how its bytes become frames, and predictions its bytes.
/// It never scores; nothing here knows what the bytes look like.
pub(crate) trait Exchange: Send + Sync + 'static {
    /// The request's size in bytes and about how many rows it holds; None when that cannot be told cheaply, and the
    /// request is then scored on the scoring threads.
    fn size(&self) -> Option<(usize, usize)>;

    /// Decodes the request into at most `parts` frames. With more than one part, this runs on a scoring thread.
    fn decode(&self, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError>;

    /// About how many bytes a row of the answer takes, beside the text of cells that it repeats: what the answer is
    /// bounded by, and the room that is made for it.
    fn row_bytes(&self, model: &Model, first: &Frame) -> usize;

    /// Writes what stands before the first row.
    fn encode_head(&self, model: &Model, first: &Frame, out: &mut Vec<u8>);

    /// Writes rows of a frame; the first of them is row `row_id` of the request.
    fn encode_rows(&self, model: &Model, rows: &Block<'_>, predictions: &Predictions, out: &mut Vec<u8>);

    /// Writes what stands after the last row.
    fn encode_tail(&self, out: &mut Vec<u8>);
}

/// Rows of a frame that are scored and encoded together.
pub(crate) struct Block<'f> {
    /// The frame.
    pub(crate) frame: &'f Frame,
    /// The rows of the frame.
    pub(crate) rows: Range<usize>,
    /// The number of the first of them in the request.
    pub(crate) row_id: usize,
}

/// An encoded answer.
pub(crate) struct Answer {
    /// The bytes in order.
    pub(crate) chunks: Vec<Bytes>,
    /// What it holds of the budget of answers, to be kept until it is read.
    pub(crate) room: Room,
}

impl Answer {
    fn with_room(mut self, admission: &Admission) -> Result<Self, ServerError> {
        self.room = admission.take_answer(self.chunks.iter().map(Bytes::len).sum())?;
        Ok(self)
    }
}

/// A request below all of these is scored where it was read: bytes, and nanoseconds of estimated work.
const SMALL_BYTES: usize = 64 << 10;
const SMALL_NANOSECONDS: f64 = 500_000.0;
/// About what decoding a byte takes.
const BYTE_NANOSECONDS: f64 = 2.0;

/// An answer takes about this much memory at most: rows can be far smaller than their answers.
const ANSWER_LIMIT: usize = 512 << 20;

/// Rows scored and encoded as one piece of work, fewer when a row has many values.
const BLOCK_ROWS: usize = 4096;
const BLOCK_VALUES: usize = 1 << 18;

/// Scoring threads end when no large request came for so long; the next one finds new ones. What a thread keeps of the
/// memory of its requests is given back when it ends.
const IDLE: Duration = Duration::from_secs(2);

/// The allocator gives back at the end of a thread, and only what has been free for a second.
const GIVING_BACK: Duration = Duration::from_millis(1500);

/// Threads that score.
#[derive(Debug)]
pub(crate) struct Scorer {
    workers: usize,
    threads: Arc<Mutex<Option<Arc<ThreadPool>>>>,
    /// Counts the large requests.
    turn: Arc<AtomicUsize>,
}

fn threads(workers: usize) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
    let threads = ThreadPoolBuilder::new().num_threads(workers).thread_name(|i| format!("score-{i}"));
    threads.build().map(Arc::new)
}

impl Scorer {
    /// `workers` threads.
    pub(crate) fn new(workers: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = Arc::new(Mutex::new(Some(threads(workers)?)));
        Ok(Self { workers, threads, turn: Arc::default() })
    }

    fn threads(&self) -> Result<Arc<ThreadPool>, ServerError> {
        let mut place = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = &*place {
            return Ok(Arc::clone(threads));
        }
        let new = threads(self.workers)
            .map_err(|_| ServerError::Overloaded("the system gives no threads to score with"))?;
        *place = Some(Arc::clone(&new));
        Ok(new)
    }

    /// What is to be called when a large request was scored, on whatever thread: ends the threads when no other comes for
    /// a while. Those that are scoring go on to their end.
    fn end_when_idle(&self) -> impl FnOnce() + Send + use<> {
        let (runtime, threads, turns) =
            (Handle::current(), Arc::clone(&self.threads), Arc::clone(&self.turn));
        move || {
            let turn = turns.fetch_add(1, Ordering::Relaxed) + 1;
            runtime.spawn(async move {
                tokio::time::sleep(IDLE).await;
                if turns.load(Ordering::Relaxed) == turn {
                    let idle = threads.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let end = move || {
                        drop(idle);
                        std::thread::sleep(GIVING_BACK);
                    };
                    _ = std::thread::Builder::new().name("score-end".to_owned()).spawn(end);
                }
            });
        }
    }

    /// Answers one request, once it has a permit.
    pub(crate) async fn answer(
        &self,
        admission: &Admission,
        model: Arc<Model>,
        exchange: impl Exchange,
    ) -> Result<Answer, ServerError> {
        let permit = admission.permit().await?;
        let small = exchange.size().is_some_and(|(bytes, rows)| {
            let work = rows as f64 * model.row_cost() + bytes as f64 * BYTE_NANOSECONDS;
            bytes <= SMALL_BYTES && work <= SMALL_NANOSECONDS
        });
        if small {
            return guarded(|| run(&model, &exchange, 1))?.with_room(admission);
        }
        let (send, receive) = oneshot::channel();
        let (threads, parts) = (self.threads()?, self.workers);
        let scored = self.end_when_idle();
        threads.spawn(move || {
            let answer = guarded(|| run(&model, &exchange, parts));
            drop(permit); // not before: the work goes on when the client is gone
            _ = send.send(answer);
            scored();
        });
        receive.await.unwrap_or(Err(ServerError::Internal))?.with_room(admission)
    }
}

/// A panic is a defect of ours, and this request's alone.
fn guarded<T>(work: impl FnOnce() -> Result<T, ServerError>) -> Result<T, ServerError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ServerError::Internal))
}

/// All rows are decoded before any is scored, so that a bad last row is an error and never half an answer.
fn run(model: &Model, exchange: &impl Exchange, parts: usize) -> Result<Answer, ServerError> {
    let frames = exchange.decode(model, parts)?;
    let rows: usize = frames.iter().map(Frame::rows).sum();
    let row_bytes = frames.first().map_or(0, |first| exchange.row_bytes(model, first));
    if rows.saturating_mul(row_bytes) > ANSWER_LIMIT {
        return Err(ServerError::AnswerTooLarge { limit: ANSWER_LIMIT });
    }
    let blocks = blocks(&frames, (BLOCK_VALUES / model.target.width()).clamp(1, BLOCK_ROWS));
    let room = |block: &Block<'_>| block.rows.len() * row_bytes;
    let mut head = Vec::with_capacity(blocks.first().map_or(0, room) + 64);
    if let Some(first) = frames.first() {
        exchange.encode_head(model, first, &mut head);
    }
    let encode = |block: &Block<'_>, out: &mut Vec<u8>| {
        let predictions = model.predict(block.frame, block.rows.clone());
        exchange.encode_rows(model, block, &predictions, out);
    };
    let mut chunks: Vec<Vec<u8>> = if parts > 1 && blocks.len() > 1 {
        let encoded = blocks.par_iter().map(|block| {
            let mut out = Vec::with_capacity(room(block));
            encode(block, &mut out);
            out
        });
        std::iter::once(head).chain(encoded.collect::<Vec<_>>()).collect()
    } else {
        blocks.iter().for_each(|block| encode(block, &mut head));
        vec![head]
    };
    if let Some(last) = chunks.last_mut() {
        exchange.encode_tail(last);
    }
    Ok(Answer { chunks: chunks.into_iter().map(Bytes::from).collect(), room: Room::default() })
}

fn blocks(frames: &[Frame], most_rows: usize) -> Vec<Block<'_>> {
    let mut row_id = 0;
    let mut blocks = Vec::new();
    for frame in frames {
        for start in (0..frame.rows()).step_by(most_rows) {
            let end = (start + most_rows).min(frame.rows());
            blocks.push(Block { frame, rows: start..end, row_id });
            row_id += end - start;
        }
    }
    blocks
}
