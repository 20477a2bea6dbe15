//! Publishes the policy of a root context when it is the one that serves.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::{host, metrics, worker};
use crate::contexts::{BEAT, Contexts};
use crate::publication::{Publication, Seen};
use crate::registry::Serving;

/// How often a context with requests checks that its policy is the published one. It needs two
/// checks, and must be done within a second.
const PERIOD: Duration = Duration::from_millis(300);

/// How long after its configuration a context joins. The trial of a configuration, on the main
/// thread, has ended by then.
const FIRST: Duration = Duration::from_millis(1);

/// Publishes the policy of a root context.
pub(super) struct Publisher {
    /// The name of the plugin.
    plugin: String,
    /// The name of the record that the process's contexts of this plugin share.
    record: String,
    publication: RefCell<Publication>,
    /// The entry of this context in the record.
    id: u64,
    /// When to renew the entry; `None` without an entry.
    renewal: Cell<Option<Duration>>,
    /// When to check; `None` while there is no need to.
    due: Cell<Option<Duration>>,
}

impl Publisher {
    /// A context of the plugin `name`, which has just been configured. The record is made on the
    /// main thread, which loads each configuration first.
    pub(super) fn new(name: &str) -> Self {
        let record = format!("traffic_policy contexts {} {name}", metrics::VERSION);
        let (known, _) = host::shared_data(&record);
        if known.is_empty() {
            host::set_shared_data(&record, &Contexts::default().to_bytes(), None);
        }
        let id = worker::with(|worker| worker.draws.next());
        let (publication, renewal, due) = (RefCell::default(), Cell::new(None), Cell::new(None));
        Self { plugin: name.to_owned(), record, publication, id, renewal, due }
    }

    /// Takes note of a request. Returns whether to publish.
    pub(super) fn request(&self) -> bool {
        self.publication.borrow_mut().request()
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.publication.borrow().requests()
    }

    /// Makes sure that a check is due. Returns whether none was.
    pub(super) fn arm(&self) -> bool {
        let is_new = self.due.get().is_none();
        if is_new {
            self.due.set(Some(host::now().saturating_add(PERIOD)));
        }
        is_new
    }

    /// Makes the first check due soon.
    pub(super) fn arm_soon(&self) {
        self.due.set(Some(host::now().saturating_add(FIRST)));
    }

    /// The time until the next check or renewal.
    pub(super) fn due(&self) -> Option<Duration> {
        let now = host::now();
        // The clock may be set.
        let rest = |due: Duration, period| due.saturating_sub(now).clamp(Duration::from_millis(1), period);
        let check = self.due.get().map(|due| rest(due, PERIOD));
        let renewal = self.renewal.get().map(|due| rest(due, BEAT));
        check.into_iter().chain(renewal).min()
    }

    /// A newer context of the same plugin was configured.
    pub(super) fn supersede(&self) {
        self.publication.borrow_mut().supersede();
    }

    /// Checks if that is due. Returns whether to publish the standing `own`. `requests` returns how
    /// many requests the contexts of a standing have had on this worker.
    pub(super) fn tick(&self, own: u64, name: Option<&str>, requests: impl FnOnce(u64) -> u64) -> bool {
        let now = host::now();
        // The clock may be set.
        let is_due = |due: Duration, period| due <= now || due.saturating_sub(now) > period;
        if self.renewal.get().is_some_and(|due| is_due(due, BEAT)) {
            self.renew(own, name);
        }
        if !self.due.get().is_some_and(|due| is_due(due, PERIOD)) {
            return false;
        }
        self.join(own, name);
        let contexts = self.contexts();
        let published = contexts.published();
        let seen = Seen {
            own,
            contexts: contexts.count(own, now),
            published,
            requests_of_published: requests(published),
            published_here: metrics::published(&self.plugin),
        };
        let mut publication = self.publication.borrow_mut();
        let publishes = publication.tick(seen);
        self.due.set(publication.needs_tick().then(|| now.saturating_add(PERIOD)));
        publishes
    }

    /// Publishes what the plugin serves.
    pub(super) fn publish(&self, serving: Serving<'_>) {
        let (own, name) = (serving.standing, serving.name);
        self.join(own, name);
        metrics::publish(&self.plugin, serving);
        self.update(own, name, &|contexts| contexts.publish(own));
    }

    /// The context gives up its standing: it ends, or gets another one.
    pub(super) fn leave(&self, own: u64, name: Option<&str>) {
        if self.renewal.take().is_some() {
            self.update(own, name, &|contexts| contexts.leave(self.id));
        }
    }

    fn join(&self, own: u64, name: Option<&str>) {
        if self.renewal.get().is_none() {
            self.renew(own, name);
        }
    }

    fn renew(&self, own: u64, name: Option<&str>) {
        let now = host::now();
        self.renewal.set(Some(now.saturating_add(BEAT)));
        self.update(own, name, &|contexts| contexts.renew(self.id, own, now));
    }

    fn contexts(&self) -> Contexts {
        Contexts::from_bytes(&host::shared_data(&self.record).0)
    }

    /// Changes the number of contexts of the standing `own` in the record, and publishes it if that
    /// standing is the published one.
    #[inline(never)]
    fn update(&self, own: u64, name: Option<&str>, change: &dyn Fn(&mut Contexts)) {
        // Other threads may change it at the same time, but not that often.
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let (bytes, version) = host::shared_data(&self.record);
            let mut contexts = Contexts::from_bytes(&bytes);
            change(&mut contexts);
            if host::set_shared_data(&self.record, &contexts.to_bytes(), version) {
                break;
            }
        }
        let mut contexts = self.contexts();
        for _ in 0..TRIES {
            if contexts.published() != own {
                break;
            }
            metrics::publish_contexts(name, contexts.count(own, host::now()));
            // Whoever changed it meanwhile may have published before this thread.
            let now = self.contexts();
            if now == contexts {
                break;
            }
            contexts = now;
        }
    }
}
