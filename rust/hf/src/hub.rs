//! The Hugging Face hub: what a repository holds, and one file of it into a local path.
//!
//! `hf-hub` names the URLs and makes the requests (endpoint, token, agent, TLS). Its own download is
//! not used: it sends the token to the host that a redirect names, appends a whole file to a part
//! when a server ignores a range, and makes file names of what a server says. So redirects, ranges,
//! retries and limits are here, and hashes and file names are the caller's (io/hub_pull.cpp).
mod address;
mod answer;

use crate::ffi::{Failure, Outcome};
use crate::hub_ffi::{RemoteFile, Settings, Transfer};
use address::{escaped, origin, redirected};
use answer::{check_range, plain, text_of, whole_size, Attempt, Said, Trouble};
use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::time::Duration;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{parse_pem, Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::WithoutBody;
use ureq::{Body, RequestBuilder};

const MAX_LISTING_BYTES: u64 = 16 << 20;
const MAX_REDIRECTS: u32 = 8;
const BLOCK_BYTES: usize = 1 << 18;
// Tries without a new byte; the waits between them add up to 3.75 s.
const MAX_TRIES: u32 = 5;

pub struct Hub {
    api: Api,
    endpoint: String,
    has_token: bool,
    tls: Option<TlsConfig>,
    timeout: Duration,
}

impl Hub {
    pub fn new(settings: &Settings) -> Outcome<Self> {
        // hf-hub shall see no cache, or it would look for a token in it.
        let api = ApiBuilder::from_cache(Cache::new("/dev/null/hub".into()))
            .with_endpoint(settings.endpoint.into())
            .with_token((!settings.token.is_empty()).then(|| settings.token.into()))
            .with_user_agent("rebound", env!("CARGO_PKG_VERSION"))
            .with_progress(false)
            .build()
            .map_err(Failure::bad)?;
        Ok(Hub {
            api,
            endpoint: settings.endpoint.into(),
            has_token: !settings.token.is_empty(),
            tls: tls_with(settings.certificates)?,
            timeout: settings.timeout,
        })
    }

    /// The hub's JSON: `sha`, and `siblings` with sizes and hashes.
    pub fn list(&self, repo: &str, revision: &str) -> Outcome<String> {
        Ok(persist(|| {
            let request = self.repo(repo, revision).info_request().query("blobs", "true");
            let mut response = self.send(request, MAX_REDIRECTS)?;
            if !response.status().is_success() {
                return Err(self.refusal(response.status(), response.headers(), repo, revision));
            }
            let body = response.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_string();
            body.map_err(|e| Trouble::Passing(format!("the listing of {repo} broke off: {}", plain(&e))))
        })?)
    }

    /// `{"etag", "size"}` as the server's headers say; null where they do not.
    pub fn describe(&self, file: &RemoteFile) -> Outcome<String> {
        let said = persist(|| Ok(self.open(file, 0)?.said))?;
        said.check_commit(file)?;
        Ok(serde_json::json!({ "etag": said.etag(), "size": said.size }).to_string())
    }

    /// Completes `target` to `size` bytes, going on from what is there. Nothing is verified but
    /// what the headers say.
    pub fn fetch(&self, transfer: &Transfer, on_progress: &dyn Fn(u64)) -> Outcome<String> {
        let unusable = |e: std::io::Error| Failure::BadInput(cannot_write(transfer.target, &e));
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(transfer.target);
        let mut file = opened.map_err(unusable)?;
        if file.metadata().map_err(unusable)?.len() > transfer.size {
            file.set_len(0).map_err(unusable)?;
        }
        let mut tries = 1;
        loop {
            let start = file.seek(SeekFrom::End(0)).map_err(unusable)?;
            if start == transfer.size {
                break;
            }
            match self.stream(transfer, &mut file, start, on_progress) {
                Ok(()) => break,
                Err(Trouble::Passing(_)) if tries < MAX_TRIES => {
                    let now = file.metadata().map_err(unusable)?.len();
                    tries = if now > start { 1 } else { tries + 1 };
                    wait_after(tries);
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
        file.sync_data().map_err(unusable)?;
        Ok(String::new())
    }

    fn stream(
        &self,
        transfer: &Transfer,
        file: &mut File,
        start: u64,
        on_progress: &dyn Fn(u64),
    ) -> Attempt<()> {
        let opened = self.open(&transfer.file, start)?;
        opened.said.check_commit(&transfer.file)?;
        opened.said.check_etag(transfer)?;
        let broken = |e: std::io::Error| Trouble::Final(cannot_write(transfer.target, &e));
        let mut at = start;
        if start > 0 && opened.response.status() != StatusCode::PARTIAL_CONTENT {
            // The server ignored the range and sends everything.
            file.set_len(0).and_then(|()| file.rewind()).map_err(broken)?;
            at = 0;
        }
        let mut body = opened.response.into_body().into_reader().take(transfer.size - at);
        let mut block = vec![0; BLOCK_BYTES];
        on_progress(at);
        loop {
            let size = body.read(&mut block).map_err(|e| Trouble::Passing(lost(at, transfer.size, &e)))?;
            if size == 0 {
                break;
            }
            file.write_all(&block[..size]).map_err(broken)?;
            at += size as u64;
            on_progress(at);
        }
        if at < transfer.size {
            return Err(Trouble::Passing(lost(at, transfer.size, &"end of the answer")));
        }
        Ok(())
    }

    /// Asks for a file from byte `start` on. The token stays with the hub's own host.
    fn open(&self, file: &RemoteFile, start: u64) -> Attempt<Opened> {
        let repo = self.repo(file.repo, file.commit);
        let mut url = repo.url(&escaped(file.path));
        let mut said = Said::default();
        for _ in 0..=MAX_REDIRECTS {
            let is_hub = origin(&url) == origin(&self.endpoint);
            let mut request = repo.info_request().uri(url.as_str());
            if let (false, Some(headers)) = (is_hub, request.headers_mut()) {
                headers.remove("authorization");
            }
            if start > 0 {
                request = request.header("Range", format!("bytes={start}-"));
            }
            let response = self.send(request, 0)?;
            let status = response.status();
            if is_hub {
                said.read(response.headers());
            }
            if status.is_redirection() {
                url = redirected(&url, text_of(response.headers(), "location").unwrap_or(""))?;
            } else if status.is_success() {
                check_range(&response, start)?;
                said.size = said.size.or_else(|| whole_size(&response));
                return Ok(Opened { response, said });
            } else if is_hub {
                return Err(self.refusal(status, response.headers(), file.repo, file.commit));
            } else {
                return Err(Trouble::Passing(format!("got HTTP {} from {}", status.as_u16(), origin(&url))));
            }
        }
        Err(Trouble::Final(format!("got more than {MAX_REDIRECTS} redirects from {}", self.endpoint)))
    }

    fn repo(&self, repo: &str, revision: &str) -> hf_hub::api::sync::ApiRepo {
        self.api.repo(Repo::with_revision(repo.into(), RepoType::Model, revision.into()))
    }

    fn send(&self, request: RequestBuilder<WithoutBody>, redirects: u32) -> Attempt<Response<Body>> {
        let url = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let mut config = request
            .header("Accept-Encoding", "identity")
            .config()
            .http_status_as_error(false)
            .max_redirects(redirects)
            .timeout_resolve(Some(self.timeout))
            .timeout_connect(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .timeout_per_write(Some(self.timeout));
        if let Some(tls) = &self.tls {
            config = config.tls_config(tls.clone());
        }
        let sent = config.build().call();
        sent.map_err(|e| Trouble::Passing(format!("cannot reach {}: {}", origin(&url), plain(&e))))
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, repo: &str, revision: &str) -> Trouble {
        let code = text_of(headers, "x-error-code").unwrap_or("");
        let endpoint = &self.endpoint;
        let got = format!("got HTTP {} from {endpoint}", status.as_u16());
        let advice = match (status.as_u16(), code) {
            (_, "GatedRepo") => format!(
                "gated: accept its terms at {endpoint}/{repo}, then give that account's token in HF_TOKEN"
            ),
            (_, "RevisionNotFound") => {
                format!("no revision \"{revision}\"; expected a branch, a tag or a commit")
            }
            (_, "EntryNotFound") => "no such file in this revision".into(),
            (401, _) if self.has_token => {
                "no such repository, or one that the token given may not read".into()
            }
            (401, _) => "no such repository, or a private one: check the name, or give a token in HF_TOKEN".into(),
            (403, _) => "forbidden: give the token of an account that may read it in HF_TOKEN".into(),
            (404, _) => "no such repository or revision: check the name".into(),
            (429, _) => "too many requests: try again later, or give a token in HF_TOKEN".into(),
            _ => plain(&text_of(headers, "x-error-message").unwrap_or("expected 200")),
        };
        let reason = format!("{got}: {advice}");
        if status.is_server_error() || status.as_u16() == 429 {
            Trouble::Passing(reason)
        } else {
            Trouble::Final(reason)
        }
    }
}

struct Opened {
    response: Response<Body>,
    said: Said,
}

fn tls_with(certificates: &str) -> Outcome<Option<TlsConfig>> {
    if certificates.is_empty() {
        return Ok(None);
    }
    let pem = std::fs::read(certificates)
        .map_err(|e| Failure::BadInput(format!("{certificates}: cannot read the certificates: {e}")))?;
    let roots: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if roots.is_empty() {
        return Err(Failure::BadInput(format!("{certificates}: got no certificate, expected PEM")));
    }
    let config = TlsConfig::builder().provider(TlsProvider::Rustls);
    Ok(Some(config.root_certs(RootCerts::new_with_certs(&roots)).build()))
}

fn persist<T>(mut attempt: impl FnMut() -> Attempt<T>) -> Attempt<T> {
    for tries in 1..MAX_TRIES {
        match attempt() {
            Err(Trouble::Passing(_)) => wait_after(tries),
            settled => return settled,
        }
    }
    attempt()
}

fn wait_after(tries: u32) {
    std::thread::sleep(Duration::from_millis(250 << (tries - 1)));
}

fn lost(at: u64, size: u64, reason: &impl ToString) -> String {
    format!("the connection was lost after {at} of {size} bytes: {}", plain(reason))
}

fn cannot_write(path: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("{path}: the disk is full"),
        _ => format!("{path}: cannot write: {error}"),
    }
}
