//! Why a request is not carried out, before storage is asked.

use actix_web::HttpResponse;

use super::super::envelope::{in_band_refusal, not_found};
use super::super::message::{MessageDto, limit_exceeded};
use crate::http::Problem;

/// Why a request is not carried out.
#[derive(Debug)]
pub(in super::super) enum Refused {
    /// There is no such checkout.
    NotFound,
    /// It is not what the protocol describes.
    Problem(Problem),
    /// It is, and it is beyond what the shop reads or sells.
    InBand(MessageDto),
}

impl Refused {
    /// The protocol has no such limit, so that it is an outcome and not a mistake of the request.
    pub(super) fn beyond(path: &str, content: String) -> Self {
        Self::InBand(limit_exceeded(path, format!("{path}: {content}")))
    }

    pub(in super::super) fn respond(self) -> Result<HttpResponse, Problem> {
        match self {
            Self::NotFound => Ok(not_found("There is no such checkout")),
            Self::Problem(problem) => Err(problem),
            Self::InBand(message) => Ok(in_band_refusal(vec![message])),
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
