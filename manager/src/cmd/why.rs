//! `weft why`: what happens to a request or connection, and because of what.
//!
//! Reading order: [`party`] (who asks), [`asked`] (whom, and how), [`course`] (where it goes), [`considered`] (which
//! routes were asked), [`refused`] (which were never taken), [`passage`] (whether it may), [`mod@answer`] (the JSON), [`reference`](mod@reference)
//! (its documentation), [`text`] (the same for people).

mod answer;
mod asked;
mod considered;
mod course;
mod description;
mod party;
mod passage;
mod places;
pub(crate) mod reference;
mod refused;
mod text;
mod verdict;

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Result;
use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_decision::Router;
use weft_model::Mesh;

use super::{NEGATIVE, documents, output};
use crate::args::{
    Cli, Command,
    offline::{Files, WhyArgs},
};
use answer::Answer;
use asked::Asked;
use party::Client;

/// All that is known offline.
pub(crate) struct World {
    store: Store,
    settings: Settings,
    compiler: Compiler,
    router: Router,
    /// Texts of the files, by name.
    texts: BTreeMap<String, String>,
}

impl World {
    fn new(store: Store, local: Option<Mesh>, texts: BTreeMap<String, String>) -> Self {
        let settings = Settings::default().with_mesh_config(&store);
        let mut compiler = Compiler::new(Settings::default());
        let keys: Vec<_> = store.keys().cloned().collect();
        compiler.update(&store, &keys);
        if let Some(local) = local {
            compiler.update_local(local);
        }
        let router = Router::new(&compiler.mesh().routes);
        Self {
            store,
            settings,
            compiler,
            router,
            texts,
        }
    }

    fn mesh(&self) -> &Mesh {
        self.compiler.mesh()
    }
}

/// A question that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WhyError {
    /// An argument is not in its form.
    #[error("{argument} {given:?} is not {form}")]
    Form {
        /// The argument.
        argument: &'static str,
        /// What was given.
        given: String,
        /// What it should be.
        form: &'static str,
    },
    /// There is no such gateway.
    #[error("no Gateway {0} in the files; is it of GatewayClass weft, and valid (weft validate)?")]
    NoGateway(String),
    /// The gateway does not listen.
    #[error("Gateway {0} has no listener; name a port with --to HOST:PORT")]
    NoListener(String),
    /// The port cannot be told.
    #[error("{0} has several ports; name one with --to HOST:PORT")]
    WhichPort(String),
}

/// Decides, and says why.
pub(crate) fn run(args: &WhyArgs) -> Result<ExitCode> {
    if args.files.is_empty() {
        return ask(args);
    }
    let files = Files {
        files: args.files.clone(),
    };
    let (store, texts) = documents::read_with_texts(&files)?;
    let answer = answer(World::new(store, None, texts), args)?;
    let is_allowed = answer.is_allowed();
    output::print(args.output, &answer, text::render)?;
    Ok(if is_allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NEGATIVE)
    })
}

fn answer(world: World, args: &WhyArgs) -> Result<Answer, WhyError> {
    let client = Client::find(&world, args)?;
    let asked = Asked::find(&world, &client, args)?;
    Ok(decide(&world, &client, &asked))
}

/// What a manager answers: the same as from files, and the text of it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Live {
    allowed: bool,
    answer: serde_json::Value,
    text: String,
}

/// Asks the running manager.
fn ask(args: &WhyArgs) -> Result<ExitCode> {
    let manager = super::Manager::find(&args.instance)?;
    let arguments: Vec<String> = std::env::args()
        .skip_while(|word| word != "why")
        .skip(1)
        .collect();
    let live: Live = manager.fetch(&weft_admin::routes::why_path(&arguments))?;
    output::print(args.output, &live.answer, |_| live.text.clone())?;
    Ok(ExitCode::from(if live.allowed { 0 } else { NEGATIVE }))
}

/// Answers for a running manager, from the policy it has accepted: resources, and the mesh of its
/// local file.
///
/// # Errors
/// In words, when the arguments are wrong or the question makes no sense.
pub(crate) fn live(
    store: Store,
    local: Option<Mesh>,
    arguments: &[String],
) -> Result<serde_json::Value, String> {
    let line = ["weft", "why"]
        .map(str::to_owned)
        .into_iter()
        .chain(arguments.iter().cloned());
    let cli = <Cli as clap::Parser>::try_parse_from(line).map_err(|error| error.to_string())?;
    let Command::Why(args) = cli.command else {
        return Err("these are not arguments of weft why".to_owned());
    };
    let texts = store
        .files()
        .filter_map(|file| Some((file.to_string(), std::fs::read_to_string(&**file).ok()?)))
        .collect();
    let answer =
        answer(World::new(store, local, texts), &args).map_err(|error| error.to_string())?;
    let live = Live {
        allowed: answer.is_allowed(),
        text: text::render(&answer),
        answer: serde_json::to_value(&answer).map_err(|error| error.to_string())?,
    };
    serde_json::to_value(live).map_err(|error| error.to_string())
}

fn decide(world: &World, client: &Client, asked: &Asked) -> Answer {
    let claims = passage::believed(world, client, asked);
    let mut course = course::course(world, client, asked, claims.as_ref());
    let passage = passage::passage(world, client, asked, &course);
    let mut considered = std::mem::take(&mut course.considered);
    considered.extend(refused::routes(world, client, asked));
    considered.extend(passage.considered);
    let mut notes = client.notes.clone();
    notes.extend(course.notes);
    notes.extend(passage.notes);
    let mut opposite = passage.opposite;
    opposite.append(&mut course.opposite);
    let mut answer = Answer {
        verdict: passage.verdict,
        layer: passage.layer,
        decided_by: passage.decided_by,
        response: passage.response,
        considered,
        route: course.route,
        mtls: passage.mtls,
        opposite,
        notes,
    };
    places::locate(&world.texts, &mut answer);
    answer
}

#[cfg(test)]
mod tests;
