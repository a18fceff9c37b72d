//! A route: where it stands, and for each of its methods the handler together with what the OpenAPI document tells of it. A
//! handler without a description cannot be routed. Calls of gRPC are described by their own schema.

use std::borrow::Cow;
use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::Value;

use crate::error::Cause;
use crate::http::App;
use crate::openapi::Subject;

/// A route.
pub(crate) struct Route {
    pub(super) place: Place,
    pub(crate) path: Cow<'static, str>,
    /// None for a call.
    pub(crate) operations: Vec<Operation>,
    call: MethodRouter<Arc<App>>,
}

/// Where a route stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Model,
    Health,
    RootHealth,
    Call,
    HealthCall,
}

type Path = Cow<'static, str>;

impl Route {
    fn new(place: Place, path: impl Into<Path>, operations: impl Into<Vec<Operation>>) -> Self {
        Self { place, path: path.into(), operations: operations.into(), call: MethodRouter::new() }
    }

    /// Under the root only.
    pub(crate) fn root(path: impl Into<Path>, operations: impl Into<Vec<Operation>>) -> Self {
        Self::new(Place::Root, path, operations)
    }

    /// About one model: under the root, and under each of the prefixes that name a model.
    pub(crate) fn model(path: impl Into<Path>, operations: impl Into<Vec<Operation>>) -> Self {
        Self::new(Place::Model, path, operations)
    }

    /// The same without a token, for those who watch the process.
    pub(crate) fn health(path: impl Into<Path>, operations: impl Into<Vec<Operation>>) -> Self {
        Self::new(Place::Health, path, operations)
    }

    /// Without a token, under the root only.
    pub(crate) fn root_health(path: impl Into<Path>, operations: impl Into<Vec<Operation>>) -> Self {
        Self::new(Place::RootHealth, path, operations)
    }

    /// A call of gRPC: it names its model, if it means one, in its message or beside it.
    pub(crate) fn call(path: impl Into<Path>, call: MethodRouter<Arc<App>>) -> Self {
        Self { call, ..Self::new(Place::Call, path, []) }
    }

    /// The same without a token, for those who watch the process.
    pub(crate) fn health_call(path: impl Into<Path>, call: MethodRouter<Arc<App>>) -> Self {
        Self { call, ..Self::new(Place::HealthCall, path, []) }
    }

    /// Whether it is a call of gRPC.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self.place, Place::Call | Place::HealthCall)
    }

    /// Whether it stands behind prefixes as well.
    pub(crate) fn is_about_a_model(&self) -> bool {
        matches!(self.place, Place::Model | Place::Health)
    }

    /// Whether it asks for the token.
    pub(crate) fn is_guarded(&self) -> bool {
        matches!(self.place, Place::Root | Place::Model | Place::Call)
    }

    /// All its methods.
    pub(super) fn methods(self) -> MethodRouter<Arc<App>> {
        self.operations.into_iter().fold(self.call, |all, operation| all.merge(operation.handler))
    }
}

/// What is told of a part of an operation, for a model or for any.
pub(crate) type Tell = fn(&Subject<'_>) -> Value;

/// A method of a route.
pub(crate) struct Operation {
    handler: MethodRouter<Arc<App>>,
    /// In lower case, as OpenAPI has it.
    pub(crate) method: &'static str,
    pub(crate) summary: &'static str,
    /// What else is to be said.
    pub(crate) description: &'static str,
    /// The paths that clients know, where they are not the route's own.
    pub(crate) paths: &'static [&'static str],
    /// Parameters beside those of the path.
    pub(crate) parameters: Option<Tell>,
    /// The body by its media types, and whether it must be there.
    pub(crate) body: Option<(Tell, bool)>,
    /// Answers that are no errors: status, sentence, and the body by its media types.
    pub(crate) answers: Vec<(u16, &'static str, Option<Tell>)>,
    /// What it can end with instead.
    pub(crate) causes: &'static [Cause],
}

impl From<Operation> for Vec<Operation> {
    fn from(operation: Operation) -> Self {
        vec![operation]
    }
}

/// What GET does.
pub(crate) fn get<H: Handler<T, Arc<App>>, T: 'static>(handler: H, summary: &'static str) -> Operation {
    Operation::of("get", handler, summary)
}

/// What POST does.
pub(crate) fn post<H: Handler<T, Arc<App>>, T: 'static>(handler: H, summary: &'static str) -> Operation {
    Operation::of("post", handler, summary)
}

/// What DELETE does.
pub(crate) fn delete<H: Handler<T, Arc<App>>, T: 'static>(handler: H, summary: &'static str) -> Operation {
    Operation::of("delete", handler, summary)
}

impl Operation {
    /// What a method, by its name in lower case, does.
    pub(crate) fn of<H: Handler<T, Arc<App>>, T: 'static>(
        method: &'static str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        let filter = match method {
            "post" => MethodFilter::POST,
            "delete" => MethodFilter::DELETE,
            "options" => MethodFilter::OPTIONS,
            _ => MethodFilter::GET,
        };
        Self { handler: on(filter, handler), ..Self::beside(method, summary) }
    }

    /// What the handler of the same method beside it does as well, on another path that clients know.
    pub(crate) fn beside(method: &'static str, summary: &'static str) -> Self {
        Self {
            handler: MethodRouter::new(),
            method,
            summary,
            description: "",
            paths: &[],
            parameters: None,
            body: None,
            answers: Vec::new(),
            causes: &[],
        }
    }

    /// What answers to methods that the route does not have.
    pub(crate) fn otherwise<H: Handler<T, Arc<App>>, T: 'static>(mut self, handler: H) -> Self {
        self.handler = self.handler.fallback(handler);
        self
    }

    /// More than the summary says.
    pub(crate) fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// The paths that clients know it by.
    pub(crate) fn at(self, paths: &'static [&'static str]) -> Self {
        Self { paths, ..self }
    }

    /// Parameters beside those of the path.
    pub(crate) fn with(self, parameters: Tell) -> Self {
        Self { parameters: Some(parameters), ..self }
    }

    /// Its body.
    pub(crate) fn takes(self, body: Tell) -> Self {
        Self { body: Some((body, true)), ..self }
    }

    /// A body that may be left out.
    pub(crate) fn may_take(self, body: Tell) -> Self {
        Self { body: Some((body, false)), ..self }
    }

    /// An answer with a body.
    pub(crate) fn gives(mut self, status: u16, sentence: &'static str, body: Tell) -> Self {
        self.answers.push((status, sentence, Some(body)));
        self
    }

    /// An answer without one.
    pub(crate) fn gives_nothing(mut self, status: u16, sentence: &'static str) -> Self {
        self.answers.push((status, sentence, None));
        self
    }

    /// What it can end with instead.
    pub(crate) fn may(self, causes: &'static [Cause]) -> Self {
        Self { causes, ..self }
    }
}
