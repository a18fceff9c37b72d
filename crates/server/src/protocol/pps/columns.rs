//! The columns of a request that are kept beside what the model reads: those that the answer repeats, and the
//! association id, which tells rows apart and which no row may come without where the operator says so.

use portend_core::shortened;
use portend_model::DataError;
use portend_model::frame::{Frame, Keep, TextCell};

use crate::error::ServerError;

/// What is kept of a request.
#[derive(Debug)]
pub(super) struct Columns {
    keep: Keep,
    association_id: Option<AssociationId>,
}

/// A column in which each row must have a value.
#[derive(Debug)]
struct AssociationId {
    name: String,
    /// Whether the answer repeats it, as it was asked to.
    repeated: bool,
}

impl Columns {
    /// The columns that were asked for, and the one that no row may come without.
    pub(super) fn new(asked: Keep, required: Option<&str>) -> Self {
        let Some(name) = required else { return Self { keep: asked, association_id: None } };
        let (keep, repeated) = match asked {
            Keep::None => (Keep::Named([name.to_owned()].into()), false),
            Keep::Named(mut names) => {
                let repeated = !names.insert(name.to_owned());
                (Keep::Named(names), repeated)
            }
            Keep::All => (Keep::All, true),
        };
        Self { keep, association_id: Some(AssociationId { name: name.to_owned(), repeated }) }
    }

    /// What is kept while rows are decoded.
    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Checks the association ids of what was decoded, and leaves what the answer repeats.
    pub(super) fn check(&self, decoded: Result<Vec<Frame>, DataError>) -> Result<Vec<Frame>, ServerError> {
        let Some(id) = &self.association_id else { return Ok(decoded?) };
        let mut frames = decoded.map_err(|error| id.explain(error))?;
        let mut rows = 0;
        for frame in &mut frames {
            id.check(frame, rows)?;
            rows += frame.rows();
        }
        Ok(frames)
    }
}

impl AssociationId {
    fn missing(&self) -> ServerError {
        let name = shortened(&self.name);
        ServerError::AssociationId(format!(
            "column '{name}' is missing: this deployment needs it as association id"
        ))
    }

    /// The column was kept for the operator's sake: it is not told as one that the client asked for.
    fn explain(&self, error: DataError) -> ServerError {
        match error {
            DataError::PassthroughMissing { mut names } if !self.repeated => {
                names.retain(|name| *name != self.name);
                if names.is_empty() { self.missing() } else { DataError::PassthroughMissing { names }.into() }
            }
            other => other.into(),
        }
    }

    /// Checks the rows of a frame, which begins with row `first` of the request.
    fn check(&self, frame: &mut Frame, first: usize) -> Result<(), ServerError> {
        let Some(at) = frame.passthrough.iter().position(|column| column.name == self.name) else {
            return if frame.rows() == 0 { Ok(()) } else { Err(self.missing()) };
        };
        let column = &frame.passthrough[at];
        let is_empty = |row: &usize| matches!(column.get(*row), TextCell::Missing | TextCell::Text(""));
        if let Some(row) = (0..frame.rows()).find(is_empty) {
            let (name, row) = (shortened(&self.name), first + row);
            return Err(ServerError::AssociationId(format!(
                "column '{name}', row {row}: the association id is empty"
            )));
        }
        if !self.repeated {
            frame.passthrough.remove(at);
        }
        Ok(())
    }
}
