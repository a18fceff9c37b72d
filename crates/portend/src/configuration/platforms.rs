//! What platforms that run containers set by variables of their own: a part of the one table (`settings.rs`).

use super::form;
use super::settings::{Reach, Setting, Unset};
use super::values::Kind;

pub(crate) const PLATFORMS: [Setting; 3] = [
    Setting {
        name: "sagemaker",
        reach: Reach::Flag("BOOLEAN"),
        variables: &["PORTEND_SAGEMAKER"],
        kind: Kind::Boolean(|draft, on| draft.config.ping_is_readiness = on),
        default: Unset::Follows("true where a variable of SageMaker's is set", |draft| {
            Some(draft.on_sagemaker.to_string())
        }),
        secret: false,
        sentence: "`/ping` tells that models can be asked, as SageMaker means it, and not only that the process is alive",
        example: "true",
    },
    Setting {
        name: "vertex-predict-route",
        reach: Reach::File,
        variables: &["AIP_PREDICT_ROUTE"],
        kind: Kind::Text { form: form::ROUTE, set: |draft, path| draft.config.vertex.predict = Some(path) },
        default: Unset::Nothing,
        secret: false,
        sentence: "The path at which Vertex AI asks for predictions, besides `/vertex/predict`",
        example: "/predict",
    },
    Setting {
        name: "vertex-health-route",
        reach: Reach::File,
        variables: &["AIP_HEALTH_ROUTE"],
        kind: Kind::Text { form: form::ROUTE, set: |draft, path| draft.config.vertex.health = Some(path) },
        default: Unset::Nothing,
        secret: false,
        sentence: "The path at which Vertex AI asks for health, besides `/vertex/health`; it needs no token",
        example: "/health",
    },
];
