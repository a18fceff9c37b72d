//! Server reflection: clients without `.proto` files ask which services there are, and for the files that declare them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use portend_core::shortened;

use super::generated::reflection::server_reflection_request::MessageRequest;
use super::generated::reflection::server_reflection_response::MessageResponse;
use super::generated::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use super::generated::{FILES, File};
use super::incoming::incoming;
use super::{Frames, SMALL, message, streaming};
use crate::http::App;

/// The codes of gRPC for what there is not, and for what is asked in no way that is known.
const NOT_FOUND: i32 = 5;
const INVALID_ARGUMENT: i32 = 3;

/// Answers questions one after the other. The messages of both versions are the same.
pub(super) async fn info(State(app): State<Arc<App>>, request: Request) -> Response {
    let limit = app.config.body_limit.min(SMALL);
    streaming(request, |headers, body| {
        incoming(app, headers, body, limit).map(|payload| {
            let asked: ServerReflectionRequest = message::decoded(&payload?)?;
            Ok(Frames::of(&answer(asked)))
        })
    })
}

fn answer(asked: ServerReflectionRequest) -> ServerReflectionResponse {
    let message = match &asked.message_request {
        Some(MessageRequest::ListServices(_)) => services(),
        Some(MessageRequest::FileByFilename(name)) => file(name, |file| file.name == name),
        Some(MessageRequest::FileContainingSymbol(name)) => {
            file(name, |file| file.symbols.contains(&name.as_str()))
        }
        Some(MessageRequest::AllExtensionNumbersOfType(name)) if is_message(name) => {
            MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                base_type_name: name.clone(),
                extension_number: Vec::new(),
            })
        }
        Some(MessageRequest::AllExtensionNumbersOfType(name)) => not_found(name),
        Some(MessageRequest::FileContainingExtension(of)) => not_found(&of.containing_type),
        None => error(INVALID_ARGUMENT, "the question is none that is known".to_owned()),
    };
    ServerReflectionResponse {
        valid_host: asked.host.clone(),
        original_request: Some(asked),
        message_response: Some(message),
    }
}

fn services() -> MessageResponse {
    let names = FILES.iter().flat_map(|file| file.services);
    let service = names.map(|name| ServiceResponse { name: (*name).to_owned() }).collect();
    MessageResponse::ListServicesResponse(ListServiceResponse { service })
}

fn is_message(name: &str) -> bool {
    FILES.iter().any(|file| file.symbols.contains(&name))
}

/// The file; clients ask for those that it needs by their names.
fn file(name: &str, is_it: impl Fn(&File) -> bool) -> MessageResponse {
    match FILES.iter().find(|file| is_it(file)) {
        Some(file) => MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: vec![Bytes::from_static(file.descriptor)],
        }),
        None => not_found(name),
    }
}

fn not_found(name: &str) -> MessageResponse {
    error(NOT_FOUND, format!("'{}' is not declared here", shortened(name)))
}

fn error(error_code: i32, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn every_descriptor_is_of_its_file_and_has_its_services() {
        for file in &FILES {
            let all = String::from_utf8_lossy(file.descriptor);
            assert!(all.contains(file.name), "{}", file.name);
            for name in file.services {
                assert!(
                    all.contains(name.rsplit('.').next().unwrap()) && file.symbols.contains(name),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn what_is_asked_is_answered_beside_the_question() {
        for (asked, found) in [
            (MessageRequest::ListServices(String::new()), "inference.GRPCInferenceService"),
            (MessageRequest::FileByFilename("health.proto".to_owned()), "HealthCheckRequest"),
            (MessageRequest::FileContainingSymbol("inference.ModelConfig".to_owned()), "ModelVersionPolicy"),
            (MessageRequest::FileByFilename("google/protobuf/struct.proto".to_owned()), "ListValue"),
            (MessageRequest::FileContainingSymbol("a.B".to_owned()), "'a.B' is not declared here"),
        ] {
            let asked = ServerReflectionRequest { host: "h".to_owned(), message_request: Some(asked) };
            let answered = answer(asked.clone());
            assert_eq!(answered.original_request, Some(asked));
            let bytes = answered.encode_to_vec();
            assert!(String::from_utf8_lossy(&bytes).contains(found), "{found}");
        }
    }
}
