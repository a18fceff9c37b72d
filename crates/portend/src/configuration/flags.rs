//! The flags of `portend serve`, made of the table. clap hands their texts on unparsed, so that a value is checked in
//! one place whatever source it comes from.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::settings::{GROUPS, Reach, Setting, Unset, settings};
use super::values::{Given, Kind};

/// What was typed, by the names of the settings.
#[derive(Clone, Default)]
pub(crate) struct Flags(pub(crate) BTreeMap<String, Given>);

impl Flags {
    /// What `--no-access-log` stands for.
    pub(crate) fn turn_off_access_log(&mut self) {
        self.0.insert("access-log".to_owned(), Given::One("off".to_owned()));
    }
}

/// Without values: a path may be typed where a secret was meant.
impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn argument(setting: &'static Setting) -> Option<Arg> {
    let argument = Arg::new(setting.name).help(help(setting));
    let argument = match setting.reach {
        Reach::Positional => argument.value_name("PATH"),
        Reach::Flag(value) => argument.long(setting.name).value_name(value),
        Reach::File | Reach::Variable => return None,
    };
    Some(match setting.kind {
        Kind::Boolean(_) => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::List { .. } => argument.action(ArgAction::Append),
        _ => argument,
    })
}

/// The sentence, the variables, the default.
fn help(setting: &Setting) -> String {
    let variables = setting.variables.join(", ");
    let default = match setting.default {
        Unset::Is(text) => format!(" [default: {text}]"),
        Unset::Follows(words, _) => format!(" [default: {words}]"),
        Unset::Nothing => String::new(),
    };
    format!("{} [environment: {variables}]{default}", setting.sentence)
}

impl Args for Flags {
    fn augment_args(mut command: Command) -> Command {
        for group in &GROUPS {
            let arguments = group.settings.iter().filter_map(argument);
            command = command.args(arguments.map(|argument| match argument.is_positional() {
                true => argument,
                false => argument.help_heading(group.heading),
            }));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for setting in settings().filter(|setting| argument(setting).is_some()) {
            if matches.value_source(setting.name) != Some(ValueSource::CommandLine) {
                continue;
            }
            let mut texts: Vec<String> =
                matches.get_many(setting.name).into_iter().flatten().cloned().collect();
            let given = match setting.kind {
                Kind::List { .. } => Given::Many(texts),
                _ => Given::One(texts.pop().unwrap_or_default()),
            };
            self.0.insert(setting.name.to_owned(), given);
        }
        Ok(())
    }
}
