//! Which deployment a request turned out to be about: the look-up notes it, and whoever counts answers reads it, without
//! the handlers between them passing it on. A request that meets no deployment leaves no trace, whatever it names.

use std::cell::Cell;
use std::sync::Arc;

use crate::repository::Deployment;

tokio::task_local! {
    static ASKED: Cell<Option<Arc<Deployment>>>;
}

/// Takes note that the request which runs is about a deployment; outside of a request nothing.
pub(crate) fn note(deployment: &Arc<Deployment>) {
    _ = ASKED.try_with(|asked| asked.set(Some(Arc::clone(deployment))));
}

/// What answers a request, together with the deployment that was noted meanwhile.
pub(crate) async fn noted<F: Future>(answering: F) -> (F::Output, Option<Arc<Deployment>>) {
    let both = async { (answering.await, ASKED.with(Cell::take)) };
    ASKED.scope(Cell::new(None), both).await
}
