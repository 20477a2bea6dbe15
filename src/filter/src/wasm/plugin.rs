//! A plugin: the state of one root context, from its configuration to the answer to its last copy.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use policy::{Gist, PolicyName, limits};

use super::callouts::Callouts;
use super::loaded::{Headers, Loaded};
use super::outbox::{Copies, Outbox};
use super::publisher::Publisher;
use super::{host, last_good};
use crate::digest::Digest;
use crate::memory::is_available;
use crate::publication::standing;
use crate::registry::Serving;

/// The most bytes of bodies that are moved at a time; a larger body is moved alone.
const MAX_MOVED: usize = 1 << 20;

/// How many bytes of memory it takes to load each byte of a document: pointers have 32 bits here.
const LOADING_BYTES_PER_BYTE: usize = limits::LOADING_BYTES_PER_BYTE / 2;

/// The memory that a document takes that is too large to be parsed: its own, and a byte for each
/// bracket that is open, in a list that grows.
const SKIPPING_BYTES_PER_BYTE: usize = 8;

/// The state of one root context, which the host calls a plugin.
pub(super) struct Plugin {
    /// The names that the host gives to the plugin. Each change of its policy keeps them.
    pub(super) name: String,
    /// What it was configured with.
    configuration: Digest,
    serves: Serves,
    /// The name of the policy that decides, or else of the one that was refused.
    policy_name: RefCell<Option<PolicyName>>,
    /// The document of the policy that decides; `None` if there was no room to keep it.
    document: RefCell<Option<Vec<u8>>>,
    /// The headers of its policy, which a client must not set, even without memory for the policy.
    pub(super) headers: Rc<Headers>,
    /// `None` while it has no requests and was replaced, and if requests pass.
    loaded: RefCell<Option<Rc<Loaded>>>,
    /// The hash of the policy that decides; 0 if requests pass.
    hash: Cell<u64>,
    /// The number of requests when a policy was loaded last.
    requests_before: Cell<u64>,
    publisher: Publisher,
    outbox: Outbox,
    callouts: RefCell<Callouts>,
}

/// Which policy a plugin serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    /// The one that it was configured with.
    Own,
    /// That one was refused. The last good one.
    LastGood,
    /// That one was refused. None: requests pass.
    Nothing,
}

impl Plugin {
    /// A plugin that was configured with `document`, and which `loaded` decides for.
    pub(super) fn new(name: String, document: Vec<u8>, loaded: Rc<Loaded>) -> Self {
        let configuration = loaded.document;
        Self::deciding(Serves::Own, name, configuration, Some(document), loaded)
    }

    /// A plugin without the memory for its own policy, for which an earlier one decides: `loaded`.
    pub(super) fn outdated(name: String, loaded: Rc<Loaded>) -> Self {
        Self::deciding(Serves::Own, name, Digest::of(&[]), None, loaded)
    }

    /// A plugin whose policy was refused, and which goes on with the last good one: `loaded`, from
    /// `document`.
    pub(super) fn keeping(name: String, configuration: Digest, document: Vec<u8>, loaded: Rc<Loaded>) -> Self {
        Self::deciding(Serves::LastGood, name, configuration, Some(document), loaded)
    }

    /// A plugin whose policy was refused, and which has no other: requests pass.
    pub(super) fn passing(name: String, configuration: Digest, gist: Gist) -> Self {
        let headers = Rc::new(Headers::of_undecided(gist.headers));
        Self::with(Serves::Nothing, name, configuration, gist.name, headers)
    }

    fn deciding(
        serves: Serves,
        name: String,
        configuration: Digest,
        document: Option<Vec<u8>>,
        loaded: Rc<Loaded>,
    ) -> Self {
        let (policy_name, headers) = (loaded.policy.name.clone(), Rc::clone(&loaded.headers));
        Self {
            document: RefCell::new(document),
            hash: Cell::new(loaded.policy.hash),
            loaded: RefCell::new(Some(loaded)),
            ..Self::with(serves, name, configuration, policy_name, headers)
        }
    }

    /// A plugin without a policy.
    fn with(
        serves: Serves,
        name: String,
        configuration: Digest,
        policy_name: Option<PolicyName>,
        headers: Rc<Headers>,
    ) -> Self {
        Self {
            configuration,
            serves,
            policy_name: RefCell::new(policy_name),
            document: RefCell::default(),
            headers,
            loaded: RefCell::default(),
            hash: Cell::new(0),
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

    /// Whether the host gave both the same name and configuration.
    pub(super) fn is_configured_as(&self, other: &Self) -> bool {
        self.name == other.name && self.configuration == other.configuration
    }

    /// Whether no policy decides: requests pass.
    pub(super) fn passes(&self) -> bool {
        self.serves == Serves::Nothing
    }

    /// What it serves, as a number.
    pub(super) fn standing(&self) -> u64 {
        standing(self.hash.get(), !self.serves_own())
    }

    /// Whether it serves the policy that it was configured with.
    pub(super) fn serves_own(&self) -> bool {
        self.serves == Serves::Own
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

    /// The timer has fired. `requests` returns how many requests the plugins of a standing have had
    /// on this worker.
    pub(super) fn tick(&self, requests: impl FnOnce(u64) -> u64) {
        self.callouts.borrow_mut().send(&self.outbox, MAX_MOVED);
        if self.publisher.tick(self.standing(), self.policy_name.borrow().as_deref(), requests) {
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

    /// Remembers its policy as the last good one, if it is the plugin's own.
    pub(super) fn remember(&self) {
        if let (Serves::Own, Some(document)) = (self.serves, &*self.document.borrow()) {
            last_good::remember(&self.name, document, self.configuration);
        }
    }

    /// Whether its policy is the one that is remembered.
    pub(super) fn is_remembered(&self) -> bool {
        self.serves == Serves::Own && last_good::digest(&self.name) == Some(self.configuration)
    }

    /// There are no more requests. Returns whether no copy waits for its answer.
    pub(super) fn end(&self) -> bool {
        self.publisher.leave(self.standing(), self.policy_name.borrow().as_deref());
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
        let loaded = self.loaded();
        if loaded.is_none() && !self.passes() {
            return;
        }
        let (policy, name) = (loaded.as_ref().map(|loaded| &loaded.policy), self.policy_name.borrow());
        let (standing, is_refused) = (self.standing(), !self.serves_own());
        self.publisher.publish(Serving { policy, name: name.as_deref(), standing, is_refused });
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
        if self.hash.get() != loaded.policy.hash {
            // The next check joins again.
            self.publisher.leave(self.standing(), self.policy_name.borrow().as_deref());
            self.hash.set(loaded.policy.hash);
            self.policy_name.replace(loaded.policy.name.clone());
        }
        self.loaded.replace(Some(Rc::clone(loaded)));
    }

    #[cold]
    fn load_again(&self) -> Option<Rc<Loaded>> {
        let document = self.document.borrow();
        let document = document.as_ref().filter(|document| can_load(document.len()))?;
        let (loaded, _) = Loaded::read(document).ok()?;
        self.decide_by(&loaded);
        Some(loaded)
    }
}

/// Whether there is the memory to load a document of so many bytes.
pub(super) fn can_load(bytes: usize) -> bool {
    // A larger document is refused before it is parsed.
    let is_parsed = bytes <= limits::DOCUMENT_BYTES;
    is_available(bytes.saturating_mul(if is_parsed { LOADING_BYTES_PER_BYTE } else { SKIPPING_BYTES_PER_BYTE }))
}
