//! The OpenAPI document of what is served, made from the table of routes: whatever is routed is told, and errors are told
//! with the statuses and in the forms that clients get. A document is about one model or about any
//! ([`Subject`]), and tells of all routes, of those about one model, or of those of one protocol.

mod errors;
mod page;
pub(crate) mod schema;
mod served;
mod subject;

use std::collections::BTreeSet;

use portend_model::Model;
use serde_json::{Map, Value, json};

use crate::error::Cause;
use crate::protocol::{self, Operation, Route};
use errors::Errors;
pub(crate) use page::page;
pub(crate) use served::{answer, is_doc, routes};
pub(crate) use subject::Subject;

/// The document of a server's routes, for any model or as this one answers under the root, as JSON text.
pub fn openapi(model: Option<(&str, &Model)>) -> String {
    let subject = model.map_or_else(Subject::any, |(name, model)| Subject::of(name, model));
    let document = Document { subject: &subject, reach: Reach::Server(&[]), token: Token::Perhaps };
    format!("{:#}\n", document.value())
}

/// Which routes are told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'d> {
    /// All, with the ids of models that prefixes may have.
    Server(&'d [&'d str]),
    /// Those about one model: the document stands behind its prefix.
    Model,
    /// Those of the protocol at this place; the document stands so many levels below them.
    Protocol(usize, usize),
}

/// Whether routes ask for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// That depends on the server.
    Perhaps,
    Needed,
    NotNeeded,
}

/// A document to be made.
pub(crate) struct Document<'d> {
    pub(crate) subject: &'d Subject<'d>,
    pub(crate) reach: Reach<'d>,
    pub(crate) token: Token,
}

const DESCRIPTION: &str = "Each path about one model stands under the root, where the only model is meant or the \
    default one, and behind the prefixes that `servers` lists, where `{id}` says which model is meant and names in the \
    rest of the path may be any. Slashes at the end of a path and repeated ones are ignored. GET routes answer HEAD as \
    well.\n\nBodies may come in `Content-Encoding: gzip` or `deflate`. A request whose head is no HTTP/1.1 is answered \
    400, 414 or 431 with an empty body, and a method that a path does not have 405 in the form of the path's protocol. Calls of gRPC are told by \
    server reflection.";

impl Document<'_> {
    /// The whole of it.
    pub(crate) fn value(&self) -> Value {
        let mut errors = Errors::new();
        let paths = self.paths(&mut errors);
        let mut document = json!({
            "openapi": "3.1.0",
            "info": self.info(),
            "servers": self.servers(),
            "tags": self.tags(),
            "paths": paths,
            "components": {
                "headers": common_headers(),
                "parameters": { "X-Request-ID": request_id() },
                "responses": errors.responses(),
                "schemas": self.schemas(&errors),
            },
        });
        if self.token != Token::NotNeeded {
            document["components"]["securitySchemes"] = json!({
                "token": { "type": "http", "scheme": "bearer", "description": "The token that the operator set." },
                "tokenAlone": { "type": "apiKey", "in": "header", "name": "X-Auth-Token" },
            });
        }
        document
    }

    fn info(&self) -> Value {
        let license = json!({ "name": "Apache 2.0", "identifier": "Apache-2.0" });
        match (self.reach, self.subject.model) {
            (Reach::Model, Some(model)) => json!({
                "title": self.subject.name,
                "version": protocol::version(model),
                "summary": format!("Predictions of '{}' by a model of {}", model.target.name, model.library),
                "description": "What this model answers to, protocol by protocol. Paths are those behind its prefix.",
            }),
            (Reach::Protocol(place, _), _) => json!({
                "title": protocol::title(place), "version": env!("CARGO_PKG_VERSION"), "license": license,
            }),
            (_, model) => {
                let about = match model {
                    Some(_) => format!(
                        "\n\nColumns, labels and examples are those of the model '{}'.",
                        self.subject.name
                    ),
                    None => "\n\nColumns, labels and examples are those of no model that there is: \
                             `/model/{id}/openapi.json` tells those of each."
                        .to_owned(),
                };
                json!({
                    "title": "Portend",
                    "version": env!("CARGO_PKG_VERSION"),
                    "license": license,
                    "description": format!("{DESCRIPTION}{about}"),
                })
            }
        }
    }

    /// Relative to the document, so that they hold behind any proxy.
    fn servers(&self) -> Value {
        let Reach::Server(ids) = self.reach else {
            let levels = if let Reach::Protocol(_, levels) = self.reach { levels } else { 0 };
            return json!([{ "url": "../".repeat(levels) + "./" }]);
        };
        let mut servers = vec![json!({ "url": "./", "description": "The only model, or the default one" })];
        servers.extend(protocol::PREFIXES.iter().map(|prefix| {
            let variables: Map<String, Value> =
                path_names(prefix).map(|name| (name.to_owned(), self.variable(name, ids))).collect();
            json!({ "url": format!(".{prefix}"), "description": "The model {id}", "variables": variables })
        }));
        servers.into()
    }

    fn variable(&self, name: &str, ids: &[&str]) -> Value {
        match name {
            "id" if ids.is_empty() => json!({ "default": self.subject.name }),
            "id" => json!({ "default": ids[0], "enum": ids }),
            _ => json!({ "default": "default", "description": "Any" }),
        }
    }

    fn tags(&self) -> Value {
        let mut places: Vec<_> = self.routes().into_iter().map(|(place, _)| place).collect();
        places.dedup();
        places.into_iter().map(|place| json!({ "name": tag(place) })).collect()
    }

    /// The routes that are told, each with the place of its protocol; None for those of the server.
    fn routes(&self) -> Vec<(Option<usize>, Route)> {
        let mut routes = protocol::all_routes();
        routes.retain(|(place, route)| match self.reach {
            _ if route.is_call() => false,
            Reach::Server(_) => true,
            Reach::Model => route.is_about_a_model(),
            Reach::Protocol(only, _) => *place == Some(only),
        });
        routes
    }

    fn paths(&self, errors: &mut Errors) -> Value {
        let mut paths: Map<String, Value> = Map::new();
        let mut ids = BTreeSet::new();
        for (place, route) in self.routes() {
            for operation in &route.operations {
                // what stands for the rest of a path has a mark that is no part of its name
                let own = route.path.replace("{*", "{");
                let own = [own.as_str()];
                let told = if operation.paths.is_empty() { &own[..] } else { operation.paths };
                for path in told {
                    let item = paths.entry(path.to_string()).or_insert_with(|| self.item(path, &route));
                    item[operation.method] = self.operation(path, place, &route, operation, errors, &mut ids);
                }
            }
        }
        paths.into()
    }

    fn item(&self, path: &str, route: &Route) -> Value {
        let named = path_names(path).map(|name| {
            let example = match name {
                "name" | "id" => self.subject.name,
                "version" => self.subject.model.map_or("1", protocol::version),
                "file" => "start.js",
                _ => "any",
            };
            let schema = json!({ "type": "string", "minLength": 1 });
            json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example })
        });
        let parameters: Vec<Value> =
            named.chain([json!({ "$ref": "#/components/parameters/X-Request-ID" })]).collect();
        let mut item = json!({ "parameters": parameters });
        if matches!(self.reach, Reach::Server(_)) && !route.is_about_a_model() {
            item["servers"] = json!([{ "url": "./", "description": "Under the root only" }]);
        }
        item
    }

    fn operation(
        &self,
        path: &str,
        place: Option<usize>,
        route: &Route,
        told: &Operation,
        errors: &mut Errors,
        ids: &mut BTreeSet<String>,
    ) -> Value {
        let mut operation = json!({
            "operationId": operation_id(told.method, path, ids),
            "summary": told.summary,
            "tags": [tag(place)],
        });
        if !told.description.is_empty() {
            operation["description"] = told.description.into();
        }
        if let Some(parameters) = told.parameters {
            operation["parameters"] = parameters(self.subject);
        }
        if let Some((body, required)) = told.body {
            operation["requestBody"] = json!({ "required": required, "content": body(self.subject) });
        }
        let guarded = route.is_guarded() && self.token != Token::NotNeeded;
        if guarded {
            let mut security = vec![json!({ "token": [] }), json!({ "tokenAlone": [] })];
            // where none is set, none is needed
            security.extend((self.token == Token::Perhaps).then(|| json!({})));
            operation["security"] = security.into();
        }
        let mut responses = errors.of(path, place, told.causes, guarded);
        for (status, sentence, body) in &told.answers {
            let mut response = json!({ "description": sentence, "headers": header_references() });
            if let Some(body) = body {
                response["content"] = body(self.subject);
            }
            responses.insert(status.to_string(), response);
        }
        operation["responses"] = responses.into();
        operation
    }

    fn schemas(&self, errors: &Errors) -> Value {
        let mut schemas = self.subject.schemas();
        let places: BTreeSet<usize> = self.routes().into_iter().filter_map(|(place, _)| place).collect();
        let parts = places.into_iter().map(|place| protocol::schemas(place, self.subject));
        for part in parts.chain([errors.schemas()]) {
            if let (Some(schemas), Value::Object(part)) = (schemas.as_object_mut(), part) {
                schemas.extend(part);
            }
        }
        schemas
    }
}

/// What routes are sorted by.
fn tag(place: Option<usize>) -> &'static str {
    place.map_or("Server", protocol::title)
}

/// The names in braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// A name for programs.
fn operation_id(method: &str, path: &str, ids: &mut BTreeSet<String>) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = [method].into_iter().chain(words).collect::<Vec<_>>().join("_");
    let numbered = (2..).map(|n| format!("{id}_{n}"));
    let free = [id.clone()].into_iter().chain(numbered).find(|id| !ids.contains(id));
    let id = free.unwrap_or(id);
    ids.insert(id.clone());
    id
}

/// The parameter that each request may have.
fn request_id() -> Value {
    schema::header(
        "X-Request-ID",
        &json!({ "type": "string" }),
        "An id for this request, of up to 128 visible characters, which its answer and the access log repeat.",
    )
}

/// Headers that each answer has.
fn common_headers() -> Value {
    json!({
        "X-DataRobot-Execution-Time": {
            "description": "Milliseconds from the request's head to its answer.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[0-9]+\\.[0-9]{3}$" },
        },
        "X-DataRobot-Request-ID": {
            "description": "What the request's X-Request-ID said, else 16 hexadecimal digits.",
            "required": true,
            "schema": { "type": "string" },
        },
    })
}

fn header_references() -> Value {
    let headers = common_headers();
    let names = headers.as_object().into_iter().flat_map(|headers| headers.keys());
    names
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

/// The causes that each operation has.
const EACH: [Cause; 1] = [Cause::Head];
