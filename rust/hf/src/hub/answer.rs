//! What a server's answer says, and whether it is what was asked for.
use crate::ffi::Failure;
use crate::hub_ffi::{RemoteFile, Transfer};
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::Body;

/// What may pass when tried again, and what will not.
pub enum Trouble {
    Passing(String),
    Final(String),
}

pub type Attempt<T> = Result<T, Trouble>;

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(reason) | Trouble::Final(reason) => Failure::BadInput(reason),
        }
    }
}

/// What the hub's own answers say about a file, before a redirect leaves its host.
#[derive(Default)]
pub struct Said {
    pub commit: Option<String>,
    pub linked_etag: Option<String>,
    pub plain_etag: Option<String>,
    pub size: Option<u64>,
}

impl Said {
    pub fn read(&mut self, headers: &HeaderMap) {
        let keep = |slot: &mut Option<String>, name| {
            if let Some(text) = text_of(headers, name) {
                *slot = Some(text.trim_start_matches("W/").trim_matches('"').into());
            }
        };
        keep(&mut self.commit, "x-repo-commit");
        keep(&mut self.linked_etag, "x-linked-etag");
        keep(&mut self.plain_etag, "etag");
        if let Some(size) = text_of(headers, "x-linked-size").and_then(|text| text.parse().ok()) {
            self.size = Some(size);
        }
    }

    pub fn etag(&self) -> Option<&str> {
        self.linked_etag.as_deref().or(self.plain_etag.as_deref())
    }

    pub fn check_commit(&self, file: &RemoteFile) -> Attempt<()> {
        match &self.commit {
            Some(commit) if commit != file.commit => Err(Trouble::Final(format!(
                "got commit {}, expected {}",
                plain(commit),
                file.commit
            ))),
            _ => Ok(()),
        }
    }

    // Mirrors make ETags of their own: only a hash of the same kind can contradict the listing.
    pub fn check_etag(&self, transfer: &Transfer) -> Attempt<()> {
        let is_hash = |etag: &str| etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.etag() {
            Some(etag) if etag.len() == transfer.etag.len() && is_hash(etag) && etag != transfer.etag => {
                Err(Trouble::Final(format!("got ETag {etag}, expected {}", transfer.etag)))
            }
            _ => Ok(()),
        }
    }
}

pub fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// One line of printable text: servers and libraries may say anything.
pub fn plain(reason: &impl ToString) -> String {
    reason.to_string().chars().filter(|c| !c.is_control()).take(200).collect()
}

// "bytes 100-199/200" must begin where it was asked to.
pub fn check_range(response: &Response<Body>, start: u64) -> Attempt<()> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(());
    }
    let range = text_of(response.headers(), "content-range").unwrap_or("");
    if range.starts_with(&format!("bytes {start}-")) {
        return Ok(());
    }
    Err(Trouble::Final(format!("got the range \"{}\", expected it to begin at {start}", plain(&range))))
}

pub fn whole_size(response: &Response<Body>) -> Option<u64> {
    (response.status() == StatusCode::OK).then(|| response.body().content_length()).flatten()
}
