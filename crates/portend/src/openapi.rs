//! `portend openapi`: prints the document that a server answers with, without a server.

use std::io::{Write, stdout};

use portend_model::Model;
use portend_server::StartError;

use crate::CommandError;
use crate::arguments::OpenapiArguments;

pub(crate) fn run(arguments: &OpenapiArguments) -> Result<(), CommandError> {
    let text = match &arguments.model {
        None => portend_server::openapi(None),
        Some(path) => {
            let model = Model::load(path, &arguments.target).map_err(StartError::Load)?;
            portend_server::openapi(Some((&portend_server::model_name(path), &model)))
        }
    };
    stdout().write_all(text.as_bytes()).map_err(CommandError::Print)
}
