//! A plugin: the state of one root context, from its configuration to the answer to its last copy.

use std::cell::{Cell, RefCell};
use std::hash::Hasher;
use std::rc::Rc;
use std::time::Duration;

use fnv::FnvHasher;
use policy::{Finding, Policy, Refused, limits};

use super::callouts::Callouts;
use super::host;
use super::loaded::{Headers, Loaded};
use super::outbox::{Copies, Outbox};
use super::publisher::Publisher;
use crate::memory::is_available;

/// The most bytes of bodies that are moved at a time; a larger body is moved alone.
const MAX_MOVED: usize = 1 << 20;

/// How many bytes of memory it takes to load each byte of a document: pointers have 32 bits here.
const LOADING_BYTES_PER_BYTE: usize = limits::LOADING_BYTES_PER_BYTE / 2;

/// The state of one root context, which the host calls a plugin.
pub(super) struct Plugin {
    /// The names that the host gives to the plugin. Each change of its policy keeps them.
    pub(super) name: String,
    /// A number that tells this name and configuration from others.
    pub(super) id: u64,
    /// The configuration; `None` if there was no room to keep it.
    document: RefCell<Option<Vec<u8>>>,
    /// The headers of its policy, which a client must not set, even without memory for the policy.
    pub(super) headers: Rc<Headers>,
    /// `None` while it has no requests and was replaced.
    loaded: RefCell<Option<Rc<Loaded>>>,
    /// The hash of the policy that decides.
    hash: Cell<u64>,
    /// The number of requests when a policy was loaded last.
    requests_before: Cell<u64>,
    publisher: Publisher,
    outbox: Outbox,
    callouts: RefCell<Callouts>,
}

impl Plugin {
    /// Loads the policy in `document`, and returns the warnings with it.
    ///
    /// # Errors
    /// All that is wrong with the policy.
    pub(super) fn load(name: String, document: Vec<u8>) -> Result<(Self, Vec<Finding>), Refused> {
        let parsed = Policy::from_json(&document)?;
        Ok((Self::new(name, document, Rc::new(Loaded::new(parsed.policy))), parsed.warnings))
    }

    /// A plugin whose configuration is `document`, but which `loaded` decides for.
    pub(super) fn new(name: String, document: Vec<u8>, loaded: Rc<Loaded>) -> Self {
        Self {
            id: id(&name, &document),
            hash: Cell::new(loaded.policy.hash),
            document: RefCell::new(Some(document)),
            headers: Rc::clone(&loaded.headers),
            loaded: RefCell::new(Some(loaded)),
            requests_before: Cell::new(0),
            publisher: Publisher::new(&name),
            outbox: Outbox::default(),
            callouts: RefCell::default(),
            name,
        }
    }
}

/// Requests.
impl Plugin {
    /// Takes note of a new request.
    pub(super) fn request(&self) {
        if self.publisher.request() {
            self.publish();
        }
        if self.publisher.arm() {
            self.set_timer();
        }
    }

    /// Its policy, loaded again if need be; `None` if there is no memory for it.
    pub(super) fn loaded(&self) -> Option<Rc<Loaded>> {
        self.in_memory().or_else(|| self.load_again())
    }

    /// Takes copies to send, and wakes the root context.
    pub(super) fn put(&self, copies: Copies) {
        if self.outbox.put(copies) {
            self.set_timer();
        }
    }

    /// How many endpoints the policy has.
    pub(super) fn endpoints(&self) -> usize {
        self.in_memory().map_or(0, |loaded| loaded.policy.endpoints.len())
    }

    /// The hash of the policy that decides.
    pub(super) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.publisher.requests()
    }
}

/// Events of the root context.
impl Plugin {
    /// Starts the timer after the configuration.
    pub(super) fn start(&self) {
        self.publisher.arm_soon();
        self.set_timer();
    }

    /// The timer has fired. `requests` returns how many requests the policy with a hash has decided
    /// on this worker.
    pub(super) fn tick(&self, requests: impl FnOnce(u64) -> u64) {
        self.callouts.borrow_mut().send(&self.outbox, MAX_MOVED);
        if self.publisher.tick(self.hash(), requests) {
            self.publish();
        }
        self.set_timer();
    }

    /// Counts the answer to a callout. Returns whether it was the last.
    pub(super) fn answered(&self, token: u32, num_headers: usize, num_trailers: usize) -> bool {
        let mut callouts = self.callouts.borrow_mut();
        callouts.answered(token, num_headers, num_trailers);
        callouts.is_empty()
    }

    /// There are no more requests. Returns whether no copy waits for its answer.
    pub(super) fn end(&self) -> bool {
        self.publisher.leave(self.hash());
        self.loaded.take();
        self.document.take();
        let mut callouts = self.callouts.borrow_mut();
        // There are no more ticks.
        callouts.send(&self.outbox, usize::MAX);
        callouts.is_empty()
    }

    /// Counts the copies in flight, whose answers cannot come any more, as cut off.
    pub(super) fn cut_off(&self) {
        self.callouts.borrow_mut().cut_off();
    }

    /// Takes the copies in flight out of the gauge.
    pub(super) fn leave_gauge(&self) {
        self.callouts.borrow_mut().leave_gauge();
    }

    fn publish(&self) {
        if let Some(loaded) = self.loaded() {
            self.publisher.publish(&loaded.policy);
        }
    }

    /// Lets the timer fire when something is due, and stops it if nothing is.
    fn set_timer(&self) {
        let copies = (!self.outbox.is_empty()).then_some(Duration::from_millis(1));
        let period = copies.or_else(|| self.publisher.due()).unwrap_or_default();
        host::set_tick_period(period);
    }
}

/// Memory.
impl Plugin {
    /// The policy, if it is in memory.
    pub(super) fn in_memory(&self) -> Option<Rc<Loaded>> {
        self.loaded.borrow().clone()
    }

    /// Gives up the policy if it had no request since the last time. `newer` was configured. The
    /// host may still return to this one, which is then loaded from its document.
    pub(super) fn make_way_for(&self, newer: &Self) {
        if self.name == newer.name {
            self.publisher.supersede();
        }
        if self.requests() == self.requests_before.replace(self.requests()) {
            self.loaded.take();
        }
    }

    /// The size of the document of a policy that is not in memory.
    pub(super) fn document_bytes(&self) -> usize {
        if self.loaded.borrow().is_some() {
            return 0;
        }
        self.document.borrow().as_ref().map_or(0, Vec::len)
    }

    /// Gives up the document of a policy that is not in memory.
    pub(super) fn forget_document(&self) {
        if self.loaded.borrow().is_none() {
            self.document.take();
        }
    }

    /// Lets `loaded` decide from now on.
    pub(super) fn decide_by(&self, loaded: &Rc<Loaded>) {
        let hash = loaded.policy.hash;
        let before = self.hash.replace(hash);
        self.publisher.switch(before, hash);
        self.loaded.replace(Some(Rc::clone(loaded)));
    }

    #[cold]
    fn load_again(&self) -> Option<Rc<Loaded>> {
        let document = self.document.borrow();
        let document = document.as_ref().filter(|document| can_load(document.len()))?;
        let loaded = Rc::new(Loaded::new(Policy::from_json(document).ok()?.policy));
        self.decide_by(&loaded);
        Some(loaded)
    }
}

/// Whether there is the memory to load a document of so many bytes.
pub(super) fn can_load(bytes: usize) -> bool {
    is_available(bytes.saturating_mul(LOADING_BYTES_PER_BYTE))
}

fn id(name: &str, document: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(name.as_bytes());
    hasher.write(document);
    hasher.finish()
}
