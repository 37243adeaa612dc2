//! `weft top`.

mod rates;
mod view;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use weft_admin::{ClientError, TopReport, routes};

use crate::{
    args::TopArgs,
    cmd::{Manager, output},
};
use rates::rates;
use view::{Screen, Sort};

/// Watches until `q`, or with `--once` prints one sample.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let manager = Manager::find(&args.instance)?;
    let interval = Duration::from_secs_f64(args.interval);
    // Asked before the screen is taken, so that its failure is an ordinary message.
    let first: TopReport = manager.fetch(routes::TOP)?;
    if args.once {
        std::thread::sleep(interval);
        let second = manager.fetch(routes::TOP)?;
        return output::print(args.output, &rates(&first, &second), view::text);
    }
    let mut terminal = ratatui::try_init()
        .context("no terminal to draw on; use --once, with -o json for programs")?;
    let watched = watch(&mut terminal, &manager, interval, first);
    ratatui::restore();
    watched.map(|()| ExitCode::SUCCESS)
}

fn watch(
    terminal: &mut DefaultTerminal,
    manager: &Manager,
    interval: Duration,
    first: TopReport,
) -> anyhow::Result<()> {
    let mut before = first;
    let mut screen = Screen::new(rates(&before, &before));
    let mut due = clock() + interval;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let wait = due.saturating_sub(clock());
        if event::poll(wait)? {
            if let Event::Key(key) = event::read()?
                && !press(&mut screen, key)
            {
                return Ok(());
            }
        } else {
            due = clock() + interval;
            match manager.fetch::<TopReport>(routes::TOP) {
                Ok(now) => {
                    screen.update(rates(&before, &now));
                    before = now;
                }
                // A manager that restarts comes back; the kernel goes on meanwhile.
                Err(error) => screen.fail(&explain(&error)),
            }
        }
    }
}

fn explain(error: &ClientError) -> String {
    match error {
        ClientError::NotRunning { .. } => "the manager does not run; traffic goes on".to_owned(),
        error => error.to_string(),
    }
}

/// Acts on a key; false to end.
fn press(screen: &mut Screen, key: KeyEvent) -> bool {
    if key.kind == KeyEventKind::Release {
        return true;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => return false,
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('s') => screen.sort(None),
        KeyCode::Char('c') => screen.sort(Some(Sort::Connections)),
        KeyCode::Char('a') => screen.sort(Some(Sort::Active)),
        KeyCode::Char('f') => screen.sort(Some(Sort::Failures)),
        KeyCode::Char('l') => screen.sort(Some(Sort::Latency)),
        KeyCode::Char('n') => screen.sort(Some(Sort::Name)),
        KeyCode::Tab | KeyCode::BackTab => screen.switch(),
        KeyCode::Down | KeyCode::Char('j') => screen.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => screen.scroll(-1),
        KeyCode::PageDown => screen.scroll(10),
        KeyCode::PageUp => screen.scroll(-10),
        _ => {}
    }
    true
}

/// Time since boot.
fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).expect("the monotonic clock is not negative")
}
