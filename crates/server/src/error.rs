//! What a request can end with instead of an answer. A protocol gives it its own shape; the status is chosen here,
//! in one match.

mod causes;

use axum::http::StatusCode;
use portend_model::DataError;

pub(crate) use causes::Cause;

/// Why a request was not answered with predictions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// No such route or model.
    #[error("{0}")]
    NotFound(String),
    /// The route exists, for other methods.
    #[error("this route does not take {0} requests")]
    MethodNotAllowed(String),
    /// The token is missing or wrong.
    #[error("this server asks for a token: send it as 'Authorization: Bearer …'")]
    Unauthorized,
    /// The request's target is too long.
    #[error("the path and query are longer than {0} bytes")]
    TargetTooLong(usize),
    /// The request's headers are too large.
    #[error("the headers are larger than {0} bytes")]
    HeadersTooLarge(usize),
    /// The body is not what its headers say.
    #[error("{0}")]
    BadBody(String),
    /// The body is too large.
    #[error("the request body is larger than {}{}", size(*.limit as u64), if *.unpacked { " when decompressed" } else { "" })]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// Whether only the decompressed body is too large.
        unpacked: bool,
    },
    /// An uploaded package is too large.
    #[error("the package is larger than {}", size(*.limit))]
    UploadTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// Packages may not be changed.
    #[error("{0}")]
    Forbidden(String),
    /// What lies in the repository is in the way.
    #[error("{0}")]
    Conflict(String),
    /// The disk is full.
    #[error("{0}")]
    StorageFull(String),
    /// The disk refused something else.
    #[error("{0}")]
    NotStored(String),
    /// The answer would be too large.
    #[error(
        "the answer would be larger than {} MiB: send fewer rows at a time, pass fewer columns through, or accept \
         text/csv",
        .limit >> 20
    )]
    AnswerTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer to a call would be too large.
    #[error("the answer would be larger than {}: send fewer rows at a time, or raise grpc-answer-limit", size(*.limit as u64))]
    MessageTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A content type or encoding that is not read.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// A parameter is wrong, or asks for what the model does not offer.
    #[error("{0}")]
    BadParameter(String),
    /// Rows come without the association id that the operator wants of them.
    #[error("{0}")]
    AssociationId(String),
    /// The rows cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The body arrives too slowly.
    #[error("the request body arrives too slowly: at least {rate} bytes a second are expected")]
    TooSlow {
        /// What is expected.
        rate: usize,
    },
    /// The client's own time for the call is over.
    #[error("the deadline of the call is over before its answer was there")]
    DeadlineExceeded,
    /// Something that this server does not do.
    #[error("{0}")]
    Unimplemented(String),
    /// The server was told to stop.
    #[error("the server is stopping")]
    Stopping,
    /// More is asked than can be done.
    #[error("the server is overloaded, {0}: try again in a moment")]
    Overloaded(&'static str),
    /// The model is still loading.
    #[error("model '{0}' is still loading")]
    Loading(String),
    /// The model could not be loaded, and will not be by waiting.
    #[error("model '{id}' could not be loaded: {reason}")]
    LoadFailed {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The model was taken out of service by request.
    #[error("model '{0}' was unloaded: POST /v2/repository/models/{0}/load brings it back")]
    Unloaded(String),
    /// A defect of ours.
    #[error("scoring failed; the server's log has the reason")]
    Internal,
}

/// A limit as an operator may have written it.
fn size(bytes: u64) -> String {
    let units = [("MiB", 1 << 20), ("KiB", 1_u64 << 10)];
    let unit = units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{} {name}", bytes / unit))
}

impl ServerError {
    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TargetTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BadBody(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::StorageFull(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::TooLarge { .. }
            | Self::AnswerTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::UploadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadParameter(_) | Self::AssociationId(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Unimplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Loading(_) | Self::LoadFailed { .. } | Self::Unloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal | Self::NotStored(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Data(error) => match error {
                DataError::Empty
                | DataError::Malformed { .. }
                | DataError::RaggedRow { .. }
                | DataError::CellCount { .. }
                | DataError::DuplicateColumn { .. }
                | DataError::Nested { .. }
                | DataError::ArrayWidth { .. }
                | DataError::RowWidth { .. }
                | DataError::ColumnLength { .. }
                | DataError::NotText { .. }
                | DataError::BadFile { .. }
                | DataError::BadFileColumn { .. }
                | DataError::PassthroughMissing { .. } => StatusCode::BAD_REQUEST,
                DataError::ColumnMissing { .. }
                | DataError::ColumnCount { .. }
                | DataError::UnknownKey { .. }
                | DataError::NotANumber { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                DataError::TooManyRows { .. } | DataError::TooManyValues { .. } => {
                    StatusCode::PAYLOAD_TOO_LARGE
                }
            },
        }
    }
}
