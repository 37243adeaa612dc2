//! The answer of `weft why` for people.

use std::fmt::Write as _;

use super::answer::{Answer, Destination, Hash, Headers, Outcome, Reference, Route};

/// Lines that tell the decision first and then the reasons.
pub(crate) fn render(answer: &Answer) -> String {
    let mut text = String::new();
    // A string takes all that is written to it.
    let _: std::fmt::Result = write_answer(&mut text, answer);
    text
}

fn write_answer(text: &mut String, answer: &Answer) -> std::fmt::Result {
    let verdict = if answer.is_allowed() {
        "allowed"
    } else {
        "denied"
    };
    write!(text, "{verdict} ({})", answer.layer)?;
    match &answer.decided_by {
        Some(reference) => writeln!(text, " by {reference}")?,
        None if answer.is_allowed() => writeln!(text, ": no policy says otherwise")?,
        None => writeln!(text)?,
    }
    if let Some(response) = &answer.response {
        writeln!(text, "answer   {} {}", response.status, response.body)?;
    }
    writeln!(text, "mtls     {}", answer.mtls)?;
    match &answer.route {
        None => writeln!(text, "route    none")?,
        Some(route) => write_route(text, route)?,
    }
    if !answer.considered.is_empty() {
        writeln!(text, "\nconsidered")?;
    }
    for considered in &answer.considered {
        let mark = match considered.outcome {
            Outcome::Matched => '*',
            Outcome::NotMatched => ' ',
            Outcome::NotReached => '-',
        };
        let action = match considered.action.as_str() {
            "" => String::new(),
            action => format!(" {action}"),
        };
        let (kind, resource) = (considered.r#type, &considered.resource);
        writeln!(
            text,
            "{mark} {kind}{action} {resource}: {}",
            considered.reason
        )?;
    }
    for (title, lines) in [
        ("for the opposite verdict", &answer.opposite),
        ("notes", &answer.notes),
    ] {
        if !lines.is_empty() {
            writeln!(text, "\n{title}")?;
        }
        for line in lines {
            writeln!(text, "  {line}")?;
        }
    }
    Ok(())
}

/// What is not as it was.
fn write_changes(
    text: &mut String,
    what: &str,
    parts: &[(&str, Option<&String>)],
) -> std::fmt::Result {
    write!(text, "  {what}")?;
    for (name, part) in parts {
        if let Some(part) = part {
            write!(text, " {name} {part}")?;
        }
    }
    writeln!(text)
}

fn write_route(text: &mut String, route: &Route) -> std::fmt::Result {
    let is_stream = route
        .resource
        .as_ref()
        .is_some_and(Reference::is_of_streams);
    let outcome = |status| match status {
        200 if is_stream => "forwarded".to_owned(),
        _ if is_stream => "refused".to_owned(),
        status => status.to_string(),
    };
    write!(text, "route    {}", outcome(route.status))?;
    match &route.resource {
        Some(resource) => writeln!(text, " by {resource}")?,
        None => writeln!(text)?,
    }
    if let Some(redirect) = &route.redirect {
        let port = redirect.port.map(|port| port.to_string());
        write_changes(
            text,
            "redirect",
            &[
                ("scheme", redirect.scheme.as_ref()),
                ("host", redirect.host.as_ref()),
                ("port", port.as_ref()),
                ("path", redirect.path.as_ref()),
            ],
        )?;
    }
    if let Some(rewrite) = &route.rewrite {
        write_changes(
            text,
            "rewrite",
            &[
                ("path", rewrite.path.as_ref()),
                ("authority", rewrite.authority.as_ref()),
            ],
        )?;
    }
    for destination in &route.destinations {
        let subset = destination
            .subset
            .as_ref()
            .map_or(String::new(), |name| format!(" {name}"));
        let port = destination
            .port
            .map_or(String::new(), |port| format!(":{port}"));
        let (weight, host) = (destination.weight, &destination.host);
        write!(text, "  {weight:>4}  {host}{port}{subset}")?;
        match &destination.reason {
            Some(reason) => writeln!(text, "  {}: {reason}", outcome(destination.status))?,
            None => writeln!(text, "  {}", destination.endpoints.join(" "))?,
        }
        write_share(text, destination)?;
    }
    write_headers(text, "request", &route.request_headers)?;
    write_headers(text, "response", &route.response_headers)?;
    if let Some(session) = &route.session_persistence {
        let name = session.name.as_deref().unwrap_or("(any name)");
        writeln!(
            text,
            "  session by {} {name}",
            session.r#type.to_lowercase()
        )?;
    }
    if let Some(status) = route.grpc_status {
        writeln!(text, "  grpc-status {status}")?;
    }
    if let Some(timeout) = &route.timeout {
        writeln!(text, "  timeout {timeout}")?;
    }
    if route.retries.as_ref().is_some_and(|it| it.attempts == 0) {
        writeln!(text, "  no retries")?;
    } else if let Some(retries) = &route.retries {
        writeln!(
            text,
            "  retries {} on {}",
            retries.attempts,
            retries.retry_on.join(",")
        )?;
    }
    if let Some(fault) = &route.fault {
        if let Some(delay) = &fault.delay {
            writeln!(
                text,
                "  delay {} for {}%",
                delay.fixed_delay, delay.percentage
            )?;
        }
        if let Some(abort) = &fault.abort {
            let status = abort
                .http_status
                .or(abort.grpc_status.map(u16::from))
                .unwrap_or(0);
            writeln!(text, "  abort with {status} for {}%", abort.percentage)?;
        }
    }
    for mirror in &route.mirrors {
        writeln!(text, "  mirror {}% to {}", mirror.percentage, mirror.host)?;
    }
    Ok(())
}

/// What is special of one share.
fn write_share(text: &mut String, share: &Destination) -> std::fmt::Result {
    for (of, headers) in [
        ("request", &share.request_headers),
        ("response", &share.response_headers),
    ] {
        let mut lines = String::new();
        write_headers(&mut lines, of, headers)?;
        for line in lines.lines() {
            writeln!(text, "      {line}")?;
        }
    }
    match &share.hash {
        Some(Hash {
            header: Some(name), ..
        }) => writeln!(text, "        hash of header {name}"),
        Some(Hash {
            query_parameter: Some(name),
            ..
        }) => {
            writeln!(text, "        hash of query parameter {name}")
        }
        Some(Hash {
            cookie: Some(cookie),
            ..
        }) => {
            writeln!(text, "        hash of cookie {}", cookie.name)
        }
        Some(_) => writeln!(text, "        hash of the client's address"),
        None => Ok(()),
    }
}

fn write_headers(text: &mut String, of: &str, headers: &Headers) -> std::fmt::Result {
    for (verb, pairs) in [("set", &headers.set), ("add", &headers.add)] {
        for (name, value) in pairs {
            writeln!(
                text,
                "  {verb} {of} header {name}: {}",
                value.as_str().unwrap_or("")
            )?;
        }
    }
    for name in &headers.remove {
        writeln!(text, "  remove {of} header {name}")?;
    }
    Ok(())
}
