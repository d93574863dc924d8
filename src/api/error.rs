//! Errors of requests: `{:error, {code, map}}`, no prose but the remedy.

use crate::etf::Term;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// No request of that name and number of arguments.
    #[error("no request {0}")]
    UnknownRequest(String),
    /// An argument has the wrong shape.
    #[error("argument {argument} must be {expected}")]
    BadArgument {
        /// Which argument.
        argument: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// There is no such thing.
    #[error("no {what} {name}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Its name as given.
        name: String,
        /// What else is known, may be empty.
        detail: String,
    },
    /// Any other refusal, with its code and facts.
    #[error("{code}: {detail}")]
    Refused {
        /// The code atom.
        code: &'static str,
        /// Facts by name.
        facts: Vec<(&'static str, Term)>,
        /// Text for people.
        detail: String,
    },
}

impl ApiError {
    /// An argument that does not fit.
    pub fn argument(argument: &'static str, expected: &'static str) -> Self {
        Self::BadArgument { argument, expected }
    }

    /// A server that the configuration does not hold.
    pub fn no_server(id: &crate::types::ServerId) -> Self {
        Self::NotFound {
            what: "server",
            name: id.to_string(),
            detail: String::new(),
        }
    }

    /// A refusal with a code, facts and a text.
    pub fn refused(
        code: &'static str,
        facts: Vec<(&'static str, Term)>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Refused {
            code,
            facts,
            detail: detail.into(),
        }
    }

    /// The term `{:error, {code, map}}`.
    pub fn to_term(&self) -> Term {
        let text = Term::text;
        let (code, facts) = match self {
            Self::UnknownRequest(request) => ("unknown_request", vec![("request", text(request))]),
            Self::BadArgument { argument, expected } => (
                "bad_argument",
                vec![
                    ("argument", Term::atom(argument)),
                    ("expected", text(expected)),
                ],
            ),
            Self::NotFound { what, name, detail } => {
                let mut facts = vec![("what", Term::atom(what)), ("name", text(name))];
                if !detail.is_empty() {
                    facts.push(("detail", text(detail)));
                }
                ("not_found", facts)
            }
            Self::Refused {
                code,
                facts,
                detail,
            } => {
                let mut facts = facts.clone();
                if !detail.is_empty() {
                    facts.push(("detail", text(detail)));
                }
                (*code, facts)
            }
        };
        Term::error(code, Term::map(facts))
    }
}
