//! The C functions of the hub: texts in, one text or a reason out, progress through a callback.
use crate::ffi::{guarded, utf8, Bytes, Outcome, Text};
use crate::hub::Hub;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

#[cfg_attr(not(feature = "hub"), allow(dead_code))]
pub struct Settings<'a> {
    pub endpoint: &'a str,
    pub token: &'a str,
    pub certificates: &'a str,
    pub timeout: Duration,
}

#[cfg_attr(not(feature = "hub"), allow(dead_code))]
pub struct RemoteFile<'a> {
    pub repo: &'a str,
    pub commit: &'a str,
    pub path: &'a str,
}

#[cfg_attr(not(feature = "hub"), allow(dead_code))]
pub struct Transfer<'a> {
    pub file: RemoteFile<'a>,
    pub etag: &'a str,
    pub size: u64,
    pub target: &'a str,
}

#[repr(C)]
pub struct HubSettings {
    endpoint: Text,
    token: Text,
    certificates: Text,
    timeout_seconds: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct HubFile {
    repo: Text,
    commit: Text,
    path: Text,
}

#[repr(C)]
pub struct HubTransfer {
    file: HubFile,
    etag: Text,
    size: u64,
    target: Text,
    on_progress: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    context: *mut c_void,
}

unsafe fn remote<'a>(file: HubFile) -> Outcome<RemoteFile<'a>> {
    Ok(RemoteFile { repo: utf8(file.repo)?, commit: utf8(file.commit)?, path: utf8(file.path)? })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hub_new(
    settings: *const HubSettings,
    hub: *mut *mut Hub,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        let settings = Settings {
            endpoint: utf8((*settings).endpoint)?,
            token: utf8((*settings).token)?,
            certificates: utf8((*settings).certificates)?,
            timeout: Duration::from_secs((*settings).timeout_seconds.into()),
        };
        *hub = Box::into_raw(Box::new(Hub::new(&settings)?));
        Ok(String::new())
    })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hub_free(hub: *mut Hub) {
    if !hub.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(hub))));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hub_list(
    hub: *const Hub,
    repo: Text,
    revision: Text,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || (*hub).list(utf8(repo)?, utf8(revision)?))
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hub_describe(
    hub: *const Hub,
    file: HubFile,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || (*hub).describe(&remote(file)?))
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hub_fetch(
    hub: *const Hub,
    transfer: *const HubTransfer,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        let wanted = &*transfer;
        let transfer = Transfer {
            file: remote(wanted.file)?,
            etag: utf8(wanted.etag)?,
            size: wanted.size,
            target: utf8(wanted.target)?,
        };
        let report = |done| {
            if let Some(on_progress) = wanted.on_progress {
                on_progress(wanted.context, done);
            }
        };
        (*hub).fetch(&transfer, &report)
    })
}
