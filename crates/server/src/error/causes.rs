//! Which errors the parts of a request can end with, by examples: what the OpenAPI document tells of errors are these,
//! with the status and in the form that clients get them.

use portend_model::DataError;

use super::ServerError;

/// A part of a request that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What stands before any route.
    Head,
    /// The token.
    Token,
    /// A name in the path that nothing has.
    Name,
    /// The model, which is found and loaded.
    Model,
    /// The body, which arrives and is unpacked.
    Body,
    /// Its media type.
    MediaType,
    /// What the body says beside its rows.
    Message,
    /// Rows, which are decoded and scored.
    Rows,
    /// Parameters of the query.
    Parameters,
    /// The column that the operator wants of each row.
    AssociationId,
    /// What no model offers.
    NotOffered,
    /// What a server that is read-only does not do.
    Writing,
    /// A model that is loaded already.
    Loaded,
    /// A package, which is stored.
    Storing,
    /// A defect.
    Defect,
}

const FRAUD: &str = "fraud";

impl Cause {
    /// Examples, one for each way in which it fails.
    pub(crate) fn errors(self) -> Vec<ServerError> {
        const MIB: usize = 1 << 20;
        let bad = |reason: &str| ServerError::BadBody(reason.to_owned());
        let overloaded = || ServerError::Overloaded("too many requests wait to be scored");
        let unsupported = |reason: &str| ServerError::UnsupportedMediaType(reason.to_owned());
        match self {
            Self::Head => vec![ServerError::TargetTooLong(8 << 10), ServerError::HeadersTooLarge(8 << 10)],
            Self::Token => vec![ServerError::Unauthorized],
            Self::Name => vec![not_found()],
            Self::Model => vec![
                not_found(),
                ServerError::Loading(FRAUD.to_owned()),
                ServerError::LoadFailed {
                    id: FRAUD.to_owned(),
                    reason: "the model file is damaged".to_owned(),
                },
                ServerError::Unloaded(FRAUD.to_owned()),
                ServerError::Internal,
            ],
            Self::Body => vec![
                bad("the request body broke off"),
                ServerError::TooLarge { limit: 50 * MIB, unpacked: false },
                ServerError::TooSlow { rate: 1 << 10 },
                overloaded(),
                unsupported("Content-Encoding 'br' is not read, only gzip and deflate are"),
            ],
            Self::MediaType => vec![unsupported("Content-Type 'text/xml' is not read")],
            Self::Message => vec![bad("the body is not a JSON object: expected value at line 1 column 1")],
            Self::Rows => vec![
                DataError::Malformed { line: 1, reason: "expected a list of records".to_owned() }.into(),
                DataError::ColumnMissing { name: "dir".to_owned() }.into(),
                DataError::NotANumber { column: "dir".to_owned(), row: 0, value: "abc".to_owned() }.into(),
                DataError::TooManyRows { limit_mib: 256 }.into(),
                ServerError::AnswerTooLarge { limit: 512 * MIB },
                overloaded(),
                ServerError::Internal,
            ],
            Self::Parameters => vec![ServerError::BadParameter("'wd': wd is not allowed key".to_owned())],
            Self::AssociationId => vec![ServerError::AssociationId(
                "column 'id' is missing: this deployment needs it as association id".to_owned(),
            )],
            Self::NotOffered => {
                vec![ServerError::BadParameter("not available for this model".to_owned())]
            }
            Self::Writing => vec![ServerError::Forbidden(
                "this server does not change its packages: it is read-only".to_owned(),
            )],
            Self::Loaded => vec![ServerError::Conflict("model 'fraud' is loaded already".to_owned())],
            Self::Storing => vec![
                bad("this is not a package or model that can be served"),
                ServerError::UploadTooLarge { limit: 4 << 30 },
                ServerError::TooSlow { rate: 1 << 10 },
                ServerError::Conflict("the deployment's directory holds other model files".to_owned()),
                ServerError::StorageFull("there is no room for it in the repository".to_owned()),
                ServerError::NotStored("the repository cannot be changed".to_owned()),
                unsupported("a package is sent as it is: it is compressed already"),
            ],
            Self::Defect => vec![ServerError::Internal],
        }
    }
}

fn not_found() -> ServerError {
    ServerError::NotFound("there is no such deployment; there are: fraud, revenue".to_owned())
}
