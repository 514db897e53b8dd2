//! What stands in for hub.rs when the library is built without its feature `hub`.
use crate::ffi::{Failure, Outcome};
use crate::hub_ffi::{RemoteFile, Settings, Transfer};

pub struct Hub;

impl Hub {
    pub fn new(_: &Settings) -> Outcome<Self> {
        Err(Failure::bad("this program was built without the hub (REBOUND_HUB=OFF)"))
    }
    pub fn list(&self, _: &str, _: &str) -> Outcome<String> {
        Err(Failure::NotFound)
    }
    pub fn describe(&self, _: &RemoteFile) -> Outcome<String> {
        Err(Failure::NotFound)
    }
    pub fn fetch(&self, _: &Transfer, _: &dyn Fn(u64)) -> Outcome<String> {
        Err(Failure::NotFound)
    }
}
