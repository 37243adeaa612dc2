//! Which rules of a table can fit a path at all, so that a thousand rules cost no more than a few.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    matching::{PathKey, RequestMatcher, header},
    request::{Client, Request},
};

/// Matchers in order of precedence, found by path.
#[derive(Debug)]
pub(crate) struct Matchers {
    matchers: Vec<RequestMatcher>,
    exact: BTreeMap<Arc<str>, Positions>,
    /// In ascending order, so that all beginnings of a path lie on one chain.
    prefixes: Vec<Prefix>,
    any: Positions,
}

/// Positions of matchers in ascending order, those apart that need one value of one header.
#[derive(Debug, Default)]
struct Positions {
    plain: Vec<u32>,
    by_header: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
}

#[derive(Debug)]
struct Prefix {
    text: Arc<str>,
    positions: Positions,
    /// The longest other prefix this begins with.
    parent: Option<usize>,
}

impl Matchers {
    pub(crate) fn new(matchers: Vec<RequestMatcher>) -> Self {
        let mut exact: BTreeMap<Arc<str>, Positions> = BTreeMap::new();
        let mut by_prefix: BTreeMap<Arc<str>, Positions> = BTreeMap::new();
        let mut any = Positions::default();
        for (position, matcher) in (0..).zip(&matchers) {
            let positions = match matcher.path_key() {
                PathKey::Exact(path) => exact.entry(path.into()).or_default(),
                PathKey::Prefix(path) => by_prefix.entry(path.into()).or_default(),
                PathKey::Any => &mut any,
            };
            positions.insert(position, matcher);
        }
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(by_prefix.len());
        for (text, positions) in by_prefix {
            let mut parent = prefixes.len().checked_sub(1);
            while let Some(at) = parent {
                if text.starts_with(&*prefixes[at].text) {
                    break;
                }
                parent = prefixes[at].parent;
            }
            prefixes.push(Prefix {
                text,
                positions,
                parent,
            });
        }
        Self {
            matchers,
            exact,
            prefixes,
            any,
        }
    }

    /// The position of the first matcher that fits.
    pub(crate) fn first(&self, client: &Client<'_>, request: &Request<'_>) -> Option<usize> {
        let path = request.path_only();
        let mut best = u32::MAX;
        let mut consider = |positions: &Positions| {
            let fits = |position: u32| {
                let matcher = &self.matchers[position as usize];
                matcher.fits(client, request, path)
            };
            best = positions.first_below(best, request, fits);
        };
        if let Some(positions) = self.exact.get(path) {
            consider(positions);
        }
        let after = self
            .prefixes
            .partition_point(|prefix| *prefix.text <= *path);
        let mut next = after.checked_sub(1);
        while let Some(at) = next {
            let prefix = &self.prefixes[at];
            if path.starts_with(&*prefix.text) {
                consider(&prefix.positions);
            }
            next = prefix.parent;
        }
        consider(&self.any);
        (best != u32::MAX).then_some(best as usize)
    }
}

impl Positions {
    fn insert(&mut self, position: u32, matcher: &RequestMatcher) {
        let positions = match matcher.header_key() {
            None => &mut self.plain,
            Some((name, value)) => {
                let by_value = self.by_header.entry(Arc::clone(name)).or_default();
                by_value.entry(Arc::clone(value)).or_default()
            }
        };
        positions.push(position);
    }

    fn first_below(&self, mut best: u32, request: &Request<'_>, fits: impl Fn(u32) -> bool) -> u32 {
        let mut take = |positions: &[u32]| {
            let mut below = positions.iter().take_while(|position| **position < best);
            if let Some(position) = below.find(|position| fits(**position)) {
                best = *position;
            }
        };
        take(&self.plain);
        for (name, by_value) in &self.by_header {
            let value = header(request, name);
            if let Some(positions) = value.and_then(|value| by_value.get(&*value)) {
                take(positions);
            }
        }
        best
    }
}
