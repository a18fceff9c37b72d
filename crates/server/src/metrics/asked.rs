//! What a request turned out to be about: look-up, router and scoring path note it, and whoever counts answers or ends a
//! trace reads it, without the handlers between them passing it on. A request that meets no deployment leaves none here,
//! whatever it names.

use std::cell::RefCell;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};

use crate::repository::Deployment;
use crate::score::Course;

/// What was noted of one request.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The deployment.
    pub(crate) deployment: Option<Arc<Deployment>>,
    /// What only traces tell; None for a request that is not traced.
    pub(crate) way: Option<Box<Way>>,
}

/// The way of a request through the server.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Its route.
    pub(crate) route: Option<MatchedPath>,
    /// How it was scored, if it was.
    pub(crate) course: Option<Course>,
}

tokio::task_local! {
    static ASKED: RefCell<Asked>;
}

/// Takes a note of the request which runs; outside of a request nothing.
fn note(note: impl FnOnce(&mut Asked)) {
    _ = ASKED.try_with(|asked| note(&mut asked.borrow_mut()));
}

/// The request is about this deployment.
pub(crate) fn note_deployment(deployment: &Arc<Deployment>) {
    note(|asked| asked.deployment = Some(Arc::clone(deployment)));
}

/// Takes a note of a request that is traced.
fn note_way(noted: impl FnOnce(&mut Way)) {
    note(|asked| _ = asked.way.as_deref_mut().map(noted));
}

/// The request was scored.
pub(crate) fn note_course(course: Course) {
    note_way(|way| way.course = Some(course));
}

/// Notes the route that a request took on its way there.
pub(crate) async fn note_route(route: MatchedPath, request: Request) -> Request {
    note_way(|way| way.route = Some(route));
    request
}

/// What answers a request, together with what was noted meanwhile; its way only where it is `traced`.
pub(crate) async fn noted<F: Future>(traced: bool, answering: F) -> (F::Output, Asked) {
    let both = async { (answering.await, ASKED.with(RefCell::take)) };
    let asked = Asked { deployment: None, way: traced.then(Box::default) };
    ASKED.scope(RefCell::new(asked), both).await
}
