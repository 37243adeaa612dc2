//! Filters of a rule or of one backend.

use std::{sync::Arc, time::Duration};

use weft_api::gateway_api::{self, Filter, Header, HeaderModifier, PathModifier};
use weft_model::route::{
    Cors, HeaderEdits, Mirror, PathRewrite, PortRewrite, Redirect, Rewrite, StringMatch,
};

use super::Compiling;

/// What filters ask for together.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) cors: Option<Cors>,
    /// Whether one of them cannot be done.
    pub(super) is_broken: bool,
}

impl Filters {
    pub(super) fn new(compiling: &Compiling<'_, '_>, written: &[Filter]) -> Self {
        let mut filters = Self::default();
        for filter in written {
            match filter {
                Filter::RequestHeaderModifier(headers) => filters.request_headers = edits(headers),
                Filter::ResponseHeaderModifier(headers) => {
                    filters.response_headers = edits(headers);
                }
                Filter::RequestMirror(mirror) => filters.mirrors.push(Mirror {
                    destination: compiling.destination(&mirror.backend),
                    millionths: mirror.millionths,
                }),
                Filter::RequestRedirect(written) => filters.redirect = Some(redirect(written)),
                Filter::UrlRewrite(written) => {
                    filters.rewrite = Some(Rewrite {
                        path: written.path.as_ref().map(path),
                        authority: written.hostname.clone(),
                    });
                }
                Filter::Cors(written) => filters.cors = Some(cors(written)),
                Filter::ExternalAuth(_) | Filter::ExtensionRef(_) => filters.is_broken = true,
            }
        }
        filters
    }

    /// Whether there is anything that only a rule can have.
    pub(super) fn is_more_than_headers(&self) -> bool {
        self.redirect.is_some()
            || self.rewrite.is_some()
            || self.cors.is_some()
            || !self.mirrors.is_empty()
    }
}

fn edits(written: &HeaderModifier) -> HeaderEdits {
    // Of names that differ only in case the first counts.
    let pairs = |headers: &[Header]| {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for header in headers {
            if pairs
                .iter()
                .all(|(name, _)| !name.eq_ignore_ascii_case(&header.name))
            {
                pairs.push((Arc::clone(&header.name), Arc::clone(&header.value)));
            }
        }
        pairs
    };
    HeaderEdits {
        set: pairs(&written.set),
        add: pairs(&written.add),
        remove: written.remove.clone(),
    }
}

fn path(written: &PathModifier) -> PathRewrite {
    match written {
        PathModifier::ReplaceFullPath { replace_full_path } => {
            PathRewrite::Full(Arc::clone(replace_full_path))
        }
        PathModifier::ReplacePrefixMatch {
            replace_prefix_match,
        } => PathRewrite::Segments(Arc::clone(replace_prefix_match)),
    }
}

fn redirect(written: &gateway_api::RequestRedirect) -> Redirect {
    Redirect {
        scheme: written.scheme.clone(),
        host: written.hostname.clone(),
        port: written
            .port
            .map_or(PortRewrite::SchemeOrListener, PortRewrite::Set),
        path: written.path.as_ref().map(path),
        status: written.status_code,
    }
}

fn cors(written: &gateway_api::Cors) -> Cors {
    Cors {
        origins: written
            .allow_origins
            .iter()
            .map(|text| origin(text))
            .collect(),
        methods: written.allow_methods.clone(),
        headers: written.allow_headers.clone(),
        expose: written.expose_headers.clone(),
        max_age: Some(Duration::from_secs(u64::from(written.max_age))),
        credentials: written.allow_credentials,
        forward_unmatched_preflights: false,
    }
}

/// `*`, or an origin whose host may begin with a wildcard.
fn origin(written: &str) -> StringMatch {
    if !written.contains('*') {
        return StringMatch::Exact(written.into());
    }
    let parts: Vec<String> = written
        .split('*')
        .map(|part| {
            let escaped = part.chars().map(|character| match character {
                '.' | '+' | '[' | ']' | '(' | ')' | '?' | '\\' | '^' | '$' | '|' | '{' | '}' => {
                    format!("\\{character}")
                }
                character => character.to_string(),
            });
            escaped.collect()
        })
        .collect();
    StringMatch::Regex(parts.join(".*").into())
}
