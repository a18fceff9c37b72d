//! Rows of the table for the variables of monitoring and its agent, most of which have no effect yet, and for two that
//! only make sense in another product. They are checked where they have a form, so that a container that is
//! moved here starts as it is.

use super::form::{self, Form};
use super::settings::{Reach, Setting, Unset};
use super::values::Kind;

/// A variable that is kept and has no effect.
const fn variable(
    name: &'static str,
    variables: &'static [&'static str],
    kind: Kind,
    sentence: &'static str,
    example: &'static str,
) -> Setting {
    let (reach, default) = (Reach::Variable, Unset::Nothing);
    Setting { name, reach, variables, kind, default, secret: false, sentence, example }
}

const fn secret(setting: Setting) -> Setting {
    Setting { secret: true, ..setting }
}

const fn text(form: Form) -> Kind {
    Kind::Text { form, set: |_, _| {} }
}

const TRUTH: Kind = Kind::Boolean(|_, _| {});

pub(crate) const MONITORING: [Setting; 16] = [
    variable(
        "monitoring-enabled",
        &["PREDICTION_API_MONITORING_ENABLED"],
        Kind::Boolean(|draft, on| draft.monitoring = on),
        "Spool records of predictions. They are not spooled yet: true prints a warning",
        "false",
    ),
    // a spooler's settings may hold a password
    secret(variable(
        "monitoring-settings",
        &["PREDICTION_API_MONITORING_SETTINGS", "PORTABLE_PREDICTION_API_MONITORING_SETTINGS"],
        text(form::PAIRS),
        "Where records are spooled; of the two names the first wins",
        "spooler_type=filesystem;directory=/tmp/spool",
    )),
    variable(
        "monitoring-agent",
        &["MONITORING_AGENT"],
        Kind::Boolean(|draft, on| draft.agent = on),
        "Run the agent beside the server. There is none yet: true prints a warning",
        "false",
    ),
    variable(
        "monitoring-agent-app-url",
        &["MONITORING_AGENT_DATAROBOT_APP_URL"],
        text(form::URL),
        "Where the agent reports",
        "https://app.example.com",
    ),
    secret(variable(
        "monitoring-agent-app-token",
        &["MONITORING_AGENT_DATAROBOT_APP_TOKEN"],
        text(form::TOKEN),
        "The agent's token there",
        "…",
    )),
    variable(
        "mlops-deployment-id",
        &["MLOPS_DEPLOYMENT_ID"],
        Kind::Text { form: form::TEXT, set: |draft, id| draft.config.deployment.deployment_id = Some(id) },
        "The deployment of a single model, told as deploymentId; in a repository config.yml says it of each",
        "5fc92906ad764dde6c3264fa",
    ),
    variable(
        "mlops-model-id",
        &["MLOPS_MODEL_ID"],
        text(form::TEXT),
        "The id of a single model",
        "5fae9a023ba73530157ebdae",
    ),
    variable(
        "mlops-association-id-column",
        &["MLOPS_ASSOCIATION_ID_COLUMN"],
        Kind::Text { form: form::TEXT, set: |draft, column| draft.association_id_column = Some(column) },
        "The column whose ids join a single model's predictions to what comes true; rows without one are refused",
        "id",
    ),
    variable(
        "mlops-association-id-allow-missing-values",
        &["MLOPS_ASSOCIATION_ID_ALLOW_MISSING_VALUES"],
        Kind::Boolean(|draft, allow| draft.allow_missing_ids = allow),
        "Whether a request may come without that column, or with empty cells in it",
        "false",
    ),
    variable(
        "mlops-spooler-type",
        &["MLOPS_SPOOLER_TYPE"],
        Kind::Choice { of: &["FILESYSTEM", "SQS", "RABBITMQ", "KAFKA", "PUBSUB", "NONE"], set: |_, _| {} },
        "What records are spooled to",
        "FILESYSTEM",
    ),
    variable(
        "mlops-max-features-to-monitor",
        &["MLOPS_MAX_FEATURES_TO_MONITOR"],
        Kind::Number { least: 0, most: 300, set: |_, _| {} },
        "How many features are monitored",
        "25",
    ),
    variable(
        "mlops-service-url",
        &["MLOPS_SERVICE_URL"],
        text(form::URL),
        "Where records are reported",
        "https://app.example.com",
    ),
    secret(variable("mlops-api-token", &["MLOPS_API_TOKEN"], text(form::TOKEN), "The token there", "…")),
    variable(
        "mlops-agent-config-yaml",
        &["MLOPS_AGENT_CONFIG_YAML"],
        text(form::PATH),
        "The agent's own configuration",
        "/opt/agent.yaml",
    ),
    variable(
        "mlops-agent-log-dir",
        &["MLOPS_AGENT_LOG_DIR"],
        text(form::PATH),
        "Where the agent logs",
        "/tmp",
    ),
    variable(
        "mlops-agent-tmp-dir",
        &["MLOPS_AGENT_TMP_DIR"],
        text(form::PATH),
        "Where the agent keeps temporary files",
        "/tmp",
    ),
];

pub(crate) const WITHOUT_EFFECT: [Setting; 2] = [
    variable(
        "rpc-dual-compute-enabled",
        &["PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED"],
        TRUTH,
        "Chooses interpreters, of which Portend has none; a line says that it is ignored",
        "false",
    ),
    variable(
        "python3-services",
        &["PYTHON3_SERVICES"],
        TRUTH,
        "Chooses interpreters, of which Portend has none; a line says that it is ignored",
        "true",
    ),
];
