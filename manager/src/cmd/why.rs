//! `weft why`: what happens to a request or connection, and because of what.
//!
//! Reading order: [`party`] (who asks, and whom), [`course`] (where it goes), [`passage`] (whether
//! it may), [`answer`] (the JSON), [`text`] (the same for people).

mod answer;
mod course;
mod party;
mod passage;
mod text;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;
use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_decision::Router;
use weft_model::Mesh;

use super::{NEGATIVE, documents, output};
use crate::args::offline::WhyArgs;
use answer::Answer;
use party::{Asked, Client};

/// All that is known offline.
pub(crate) struct World {
    store: Store,
    settings: Settings,
    compiler: Compiler,
    router: Router,
}

impl World {
    fn new(store: Store) -> Self {
        let settings = Settings::default().with_mesh_config(&store);
        let mut compiler = Compiler::new(Settings::default());
        let keys: Vec<_> = store.keys().cloned().collect();
        compiler.update(&store, &keys);
        let router = Router::new(&compiler.mesh().routes);
        Self {
            store,
            settings,
            compiler,
            router,
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
    let world = World::new(documents::read(&args.files)?);
    let client = Client::find(&world, args)?;
    let asked = Asked::find(&world, &client, args)?;
    let answer = decide(&world, &client, &asked);
    let is_allowed = answer.is_allowed();
    output::print(args.output, &answer, text::render)?;
    Ok(if is_allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NEGATIVE)
    })
}

fn decide(world: &World, client: &Client, asked: &Asked) -> Answer {
    let mut course = course::course(world, client, asked);
    let passage = passage::passage(world, client, asked, &course);
    let mut considered = std::mem::take(&mut course.considered);
    considered.extend(passage.considered);
    let mut notes = client.notes.clone();
    notes.extend(course.notes);
    notes.extend(passage.notes);
    Answer {
        verdict: passage.verdict,
        layer: passage.layer,
        decided_by: passage.decided_by,
        response: passage.response,
        considered,
        route: course.route,
        mtls: passage.mtls,
        opposite: passage.opposite,
        notes,
    }
}

#[cfg(test)]
mod tests;
