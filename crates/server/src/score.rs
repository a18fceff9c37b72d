//! The one scoring path of all protocols: decode, predict, encode. A small request is scored on the thread that
//! read it, because a hop costs more than the work; a large one is cut into parts over the scoring threads.

use std::mem;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bytes::Bytes;
use portend_model::frame::Frame;
use portend_model::runtime::Output;
use portend_model::{Model, Predictions};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::admission::{Admission, Room};
use crate::error::ServerError;
use crate::giving_back::GivingBack;
use crate::metrics::asked;
use crate::metrics::histogram::{Nanoseconds, nanoseconds};
use crate::repository::Ready;
use crate::statistics::Spent;

/// What a protocol brings to one request: how its bytes become frames, and what will write the answer.
/// It never scores; nothing here knows what the bytes look like.
pub(crate) trait Exchange: Send + 'static {
    /// What writes the answer.
    type Encoder: Encoder;

    /// The request's size in bytes and about how many rows it holds; None when that cannot be told cheaply, and the
    /// request is then scored on the scoring threads.
    fn size(&self, model: &Model) -> Option<(usize, usize)>;

    /// Decodes the request into at most `parts` frames, and says how it wants to be answered. With more than one part,
    /// this runs on a scoring thread.
    fn decode(self, model: &Model, parts: usize) -> Result<(Vec<Frame>, Self::Encoder), ServerError>;
}

/// How predictions become the bytes of an answer. Rows are written in blocks, side by side. An answer that tells all of
/// one output before the next one has a section for each: every block writes its rows of all sections.
pub(crate) trait Encoder: Sync {
    /// What is computed of each row.
    fn outputs(&self) -> &[Output] {
        &[Output::Prediction]
    }

    /// The number of sections.
    fn sections(&self) -> usize {
        1
    }

    /// About how many bytes a row takes in a section, beside the text of cells that it repeats: what the answer is
    /// bounded by, and the room that is made for it.
    fn row_bytes(&self, model: &Model, first: &Frame, section: usize) -> usize;

    /// Writes what stands before the first row of the first section.
    fn head(&self, _model: &Model, _first: &Frame, _out: &mut Vec<u8>) {}

    /// Writes rows of a frame to each section; `scores` has them for each of the outputs.
    fn rows(&self, model: &Model, rows: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]);

    /// Writes what stands after the last row of the last section.
    fn tail(&self, _out: &mut Vec<u8>) {}

    /// Joins the sections of `rows` rows, each the chunks of its blocks in order, to the body, and adds the headers that
    /// go with it.
    fn assemble(
        &self,
        _model: &Model,
        _rows: usize,
        sections: Sections,
        _headers: &mut HeaderMap,
    ) -> Vec<Vec<u8>> {
        sections.into_iter().flatten().collect()
    }
}

/// The encoded chunks of each section.
pub(crate) type Sections = Vec<Vec<Vec<u8>>>;

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
    /// Headers that tell of them.
    pub(crate) headers: HeaderMap,
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

/// Threads that score.
#[derive(Debug)]
pub(crate) struct Scorer {
    workers: usize,
    threads: Arc<Mutex<Option<Arc<ThreadPool>>>>,
    /// Counts the large requests.
    turn: Arc<AtomicUsize>,
    giving_back: GivingBack,
}

fn threads(workers: usize) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
    let threads = ThreadPoolBuilder::new().num_threads(workers).thread_name(|i| format!("score-{i}"));
    threads.build().map(Arc::new)
}

impl Scorer {
    /// `workers` threads.
    pub(crate) fn new(workers: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = Arc::new(Mutex::new(Some(threads(workers)?)));
        Ok(Self { workers, threads, turn: Arc::default(), giving_back: GivingBack::default() })
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
        let giving_back = self.giving_back.clone();
        move || {
            let turn = turns.fetch_add(1, Ordering::Relaxed) + 1;
            runtime.spawn(async move {
                tokio::time::sleep(IDLE).await;
                if turns.load(Ordering::Relaxed) == turn {
                    let idle = threads.lock().unwrap_or_else(PoisonError::into_inner).take();
                    drop(idle);
                    giving_back.soon();
                }
            });
        }
    }

    /// Answers one request, once it has a permit.
    pub(crate) async fn answer(
        &self,
        admission: &Admission,
        ready: &Ready,
        exchange: impl Exchange,
    ) -> Result<Answer, ServerError> {
        let start = Instant::now();
        let statistics = &ready.deployment.statistics;
        statistics.add_use(ready.was_loaded);
        let scored = self.scored(admission, Arc::clone(&ready.model), exchange, start).await;
        match scored {
            Ok(Scored { answer, course }) => {
                statistics.add(course.rows, start.elapsed(), &course.spent());
                asked::note_course(course);
                answer.with_room(admission)
            }
            Err(error) => {
                statistics.add_failure(start.elapsed());
                Err(error)
            }
        }
    }

    async fn scored(
        &self,
        admission: &Admission,
        model: Arc<Model>,
        exchange: impl Exchange,
        start: Instant,
    ) -> Result<Scored, ServerError> {
        let permit = admission.permit().await?;
        let small = exchange.size(&model).is_some_and(|(bytes, rows)| {
            let work = rows as f64 * model.row_cost() + bytes as f64 * BYTE_NANOSECONDS;
            bytes <= SMALL_BYTES && work <= SMALL_NANOSECONDS
        });
        if small {
            return guarded(|| run(&model, exchange, 1, start, &|| false));
        }
        let (send, receive) = oneshot::channel();
        let (threads, parts) = (self.threads()?, self.workers);
        let done = self.end_when_idle();
        threads.spawn(move || {
            let abandoned = || send.is_closed(); // the client is gone, or its time is over
            let scored = guarded(|| run(&model, exchange, parts, start, &abandoned));
            drop(permit); // not before: what has begun goes on to the end of its block
            _ = send.send(scored);
            done();
        });
        receive.await.unwrap_or(Err(ServerError::Internal))
    }
}

/// An answer, and what it took.
struct Scored {
    answer: Answer,
    course: Course,
}

/// When the parts of scoring a request began and ended, counted from its start. Blocks that are scored side by side make
/// parts that overlap.
#[derive(Debug)]
pub(crate) struct Course {
    /// When its body was there.
    pub(crate) start: Instant,
    /// Waiting for a permit, and for a scoring thread.
    pub(crate) queue: Part,
    /// Decoding.
    pub(crate) decode: Part,
    /// From the first block to the last.
    pub(crate) score: Part,
    /// From the first block's encoding to the end.
    pub(crate) encode: Part,
    /// The time of all threads in the model.
    pub(crate) predicting: Duration,
    /// The time of all threads that wrote the answer.
    pub(crate) encoding: Duration,
    /// Its rows.
    pub(crate) rows: usize,
}

type Part = (Duration, Duration);

impl Course {
    fn spent(&self) -> Spent {
        let ((_, queued), (from, to)) = (self.queue, self.decode);
        let decode = to.saturating_sub(from);
        Spent { queue: queued, decode, predict: self.predicting, encode: self.encoding }
    }
}

/// A panic is a defect of ours, and this request's alone.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, ServerError>) -> Result<T, ServerError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ServerError::Internal))
}

/// Whether nobody waits for the answer any more.
type Abandoned<'w> = &'w (dyn Fn() -> bool + Sync);

/// All rows are decoded before any is scored, so that a bad last row is an error and never half an answer.
fn run<E: Exchange>(
    model: &Model,
    exchange: E,
    parts: usize,
    start: Instant,
    abandoned: Abandoned<'_>,
) -> Result<Scored, ServerError> {
    if abandoned() {
        return Err(ServerError::DeadlineExceeded);
    }
    let queue = start.elapsed();
    let (frames, encoder) = exchange.decode(model, parts)?;
    let decoded = start.elapsed();
    let rows: usize = frames.iter().map(Frame::rows).sum();
    let sections = 0..encoder.sections();
    let row_bytes = |section| frames.first().map_or(0, |first| encoder.row_bytes(model, first, section));
    let row_bytes: Vec<usize> = sections.map(row_bytes).collect();
    if rows.saturating_mul(row_bytes.iter().sum()) > ANSWER_LIMIT {
        return Err(ServerError::AnswerTooLarge { limit: ANSWER_LIMIT });
    }
    let work = Work {
        model,
        encoder: &encoder,
        row_bytes,
        start,
        predict: Nanoseconds::default(),
        predicted: AtomicU64::new(nanoseconds(decoded)),
        encode: Nanoseconds::default(),
        encoding: AtomicU64::new(u64::MAX),
        abandoned,
    };
    let encoded = work.encoded(&frames, parts);
    if abandoned() {
        return Err(ServerError::DeadlineExceeded); // some blocks may be missing
    }
    let end = Instant::now();
    let mut headers = HeaderMap::new();
    let chunks = joined(encoder.assemble(model, rows, transposed(encoded), &mut headers));
    let chunks = chunks.into_iter().map(Bytes::from).collect();
    let answer = Answer { chunks, headers, room: Room::default() };
    let course = work.course(rows, (queue, decoded), end);
    Ok(Scored { answer, course })
}

/// What all blocks of one answer share.
struct Work<'w, E> {
    model: &'w Model,
    encoder: &'w E,
    /// Of each section.
    row_bytes: Vec<usize>,
    /// When the request came; what follows is counted from there.
    start: Instant,
    predict: Nanoseconds,
    /// When the last block was scored.
    predicted: AtomicU64,
    encode: Nanoseconds,
    /// When the first block began to be encoded.
    encoding: AtomicU64,
    abandoned: Abandoned<'w>,
}

impl<E: Encoder> Work<'_, E> {
    /// The sections of each block, of which a small request has one.
    fn encoded(&self, frames: &[Frame], parts: usize) -> Vec<Vec<Vec<u8>>> {
        let width: usize = self.encoder.outputs().iter().map(|output| self.model.width(*output)).sum();
        let blocks = blocks(frames, (BLOCK_VALUES / width.max(1)).clamp(1, BLOCK_ROWS));
        let mut first = self.room(blocks.first().map_or(0, |block| block.rows.len()));
        if let (Some(frame), Some(out)) = (frames.first(), first.first_mut()) {
            self.encoder.head(self.model, frame, out);
        }
        let mut encoded: Vec<_> = if parts > 1 && blocks.len() > 1 {
            let others = blocks.par_iter().map(|block| {
                let mut out = self.room(block.rows.len());
                self.block(block, &mut out);
                out
            });
            std::iter::once(first).chain(others.collect::<Vec<_>>()).collect()
        } else {
            blocks.iter().for_each(|block| self.block(block, &mut first));
            vec![first]
        };
        if let Some(last) = encoded.last_mut().and_then(|sections| sections.last_mut()) {
            self.encoder.tail(last);
        }
        encoded
    }

    fn block(&self, block: &Block<'_>, out: &mut [Vec<u8>]) {
        if (self.abandoned)() {
            return;
        }
        let start = Instant::now();
        let scores = self.model.score_all(block.frame, block.rows.clone(), self.encoder.outputs());
        let scored = Instant::now();
        self.encoder.rows(self.model, block, &scores, out);
        self.predict.add(scored - start);
        self.encode.add(scored.elapsed());
        let since = nanoseconds(scored - self.start);
        self.predicted.fetch_max(since, Ordering::Relaxed);
        self.encoding.fetch_min(since, Ordering::Relaxed);
    }

    /// What became of it: it waited and was decoded until then, and all blocks were done at `joining`.
    fn course(&self, rows: usize, (queued, decoded): Part, joining: Instant) -> Course {
        let end = Instant::now();
        let nanos = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        Course {
            start: self.start,
            queue: (Duration::ZERO, queued),
            decode: (queued, decoded),
            score: (decoded, nanos(&self.predicted)),
            encode: (nanos(&self.encoding).min(joining - self.start), end - self.start),
            predicting: self.predict.get(),
            encoding: self.encode.get() + (end - joining),
            rows,
        }
    }

    /// A buffer for each section of so many rows.
    fn room(&self, rows: usize) -> Vec<Vec<u8>> {
        self.row_bytes.iter().map(|bytes| Vec::with_capacity(rows * bytes + 64)).collect()
    }
}

/// From the sections of each block to the blocks of each section.
fn transposed(mut blocks: Vec<Vec<Vec<u8>>>) -> Sections {
    let sections = blocks.first().map_or(0, Vec::len);
    (0..sections)
        .map(|section| blocks.iter_mut().map(|block| mem::take(&mut block[section])).collect())
        .collect()
}

/// Small answers go out as one chunk: to send each of theirs costs more than to join them.
fn joined(mut chunks: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    const SMALL: usize = 64 << 10;
    chunks.retain(|chunk| !chunk.is_empty());
    let length: usize = chunks.iter().map(Vec::len).sum();
    if chunks.len() < 2 || length > SMALL {
        return chunks;
    }
    vec![chunks.concat()]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of one split.
    const STUMP: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n\
        objective=regression\nfeature_names=x\nfeature_infos=[0:9]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\n\
        threshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=1 2\nshrinkage=1\n\n\nend of trees\n";

    /// Rows of zeros; counts the blocks that are encoded.
    struct Zeros(usize, Arc<AtomicUsize>);

    impl Exchange for Zeros {
        type Encoder = Self;

        fn size(&self, _: &Model) -> Option<(usize, usize)> {
            None
        }

        fn decode(self, model: &Model, _: usize) -> Result<(Vec<Frame>, Self), ServerError> {
            let mut columns = model.columns(self.0)?;
            columns.place("x", 0)?;
            Ok((vec![columns.finish(1)?], self))
        }
    }

    impl Encoder for Zeros {
        fn row_bytes(&self, _: &Model, _: &Frame, _: usize) -> usize {
            0
        }

        fn rows(&self, _: &Model, _: &Block<'_>, _: &[Predictions], _: &mut [Vec<u8>]) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn work_that_nobody_waits_for_ends_at_the_next_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.txt");
        std::fs::write(&path, STUMP).unwrap();
        let model = Model::load(&path, "target").unwrap();
        for (after, expected) in [(0, 0), (1, 1), (3, 3), (1000, 10)] {
            let blocks = Arc::new(AtomicUsize::new(0));
            let abandoned = || blocks.load(Ordering::Relaxed) >= after;
            let run = run(&model, Zeros(10 * BLOCK_ROWS, Arc::clone(&blocks)), 1, Instant::now(), &abandoned);
            let found = (blocks.load(Ordering::Relaxed), run.is_ok());
            assert_eq!(found, (expected, after == 1000), "after {after}");
        }
    }
}
