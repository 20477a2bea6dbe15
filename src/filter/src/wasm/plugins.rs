//! The plugins of a VM: those that may get requests, and those that only wait for answers.

use std::cell::RefCell;
use std::rc::Rc;

use super::loaded::Loaded;
use super::plugin::Plugin;
use super::{host, worker};
use crate::digest::Digest;

/// The most bytes that documents of replaced policies take. Above it, the oldest are forgotten.
const MAX_REPLACED_BYTES: usize = 1 << 27;

/// The plugins of a VM.
#[derive(Default)]
pub(super) struct Plugins {
    /// Those that may get requests, the newest last.
    live: RefCell<Vec<Rc<Plugin>>>,
    /// Those that get no more requests, but wait for answers to their copies.
    ending: RefCell<Vec<Rc<Plugin>>>,
}

thread_local! {
    static PLUGINS: Plugins = Plugins::default();
}

/// Calls `f` with the plugins.
pub(super) fn with<R>(f: impl FnOnce(&Plugins) -> R) -> R {
    PLUGINS.with(f)
}

/// The policy that decides for `plugin`: without the memory for its own, the newest of its name.
/// `None` if there is none, or requests pass.
pub(super) fn loaded(plugin: &Plugin) -> Option<Rc<Loaded>> {
    plugin.loaded().or_else(|| {
        if plugin.passes() {
            return None;
        }
        log::error!("traffic policy: no memory for the policy that was taken up again; the newest decides instead");
        let newest = with(|plugins| plugins.newest(&plugin.name))?;
        plugin.decide_by(&newest);
        Some(newest)
    })
}

impl Plugins {
    /// Takes up a plugin that was configured. Those before it give up memory.
    pub(super) fn add(&self, plugin: Rc<Plugin>) {
        self.live.borrow().iter().for_each(|old| old.make_way_for(&plugin));
        self.live.borrow_mut().push(plugin);
        self.forget_replaced(MAX_REPLACED_BYTES);
        worker::with(|worker| worker.gates.forget_unused(host::now()));
    }

    /// Forgets replaced policies that are not in memory, the oldest first, until their documents
    /// take at most `max_bytes`.
    pub(super) fn forget_replaced(&self, max_bytes: usize) {
        let live = self.live.borrow();
        let (mut names, mut bytes) = (Vec::new(), 0_usize);
        for plugin in live.iter().rev() {
            if !names.contains(&&plugin.name) {
                // The newest of its name is in force, whether it has requests or not.
                names.push(&plugin.name);
                continue;
            }
            bytes = bytes.saturating_add(plugin.document_bytes());
            if bytes > max_bytes {
                plugin.forget_document();
            }
        }
    }

    /// The newest policy of the plugin of this name that is in memory.
    pub(super) fn newest(&self, name: &str) -> Option<Rc<Loaded>> {
        self.live.borrow().iter().rev().filter(|plugin| plugin.name == name).find_map(|plugin| plugin.in_memory())
    }

    /// The policy of the plugin of this name that has this document, if it is in memory.
    pub(super) fn in_memory(&self, name: &str, document: Digest) -> Option<Rc<Loaded>> {
        let live = self.live.borrow();
        let of_name = live.iter().filter(|plugin| plugin.name == name);
        of_name.filter_map(|plugin| plugin.in_memory()).find(|loaded| loaded.document == document)
    }

    /// How many requests the plugins of this name and standing have had.
    pub(super) fn requests(&self, name: &str, standing: u64) -> u64 {
        let live = self.live.borrow();
        let of_standing = live.iter().filter(|plugin| plugin.name == name && plugin.standing() == standing);
        of_standing.map(|plugin| plugin.requests()).sum()
    }

    /// Ends a plugin that gets no more requests. Returns whether nothing of it is under way.
    pub(super) fn end(&self, plugin: &Rc<Plugin>) -> bool {
        let is_remembered = plugin.is_remembered();
        self.live.borrow_mut().retain(|other| !Rc::ptr_eq(other, plugin));
        if is_remembered {
            // The host has returned to an earlier one without loading it.
            let live = self.live.borrow();
            if let Some(newest) = live.iter().rev().find(|other| other.name == plugin.name) {
                newest.remember();
            }
        }
        let mut ending = self.ending.borrow_mut();
        let is_over = plugin.end();
        if !is_over {
            // The host keeps one ending root context for each configuration. This one replaces an
            // earlier one, whose answers it drops without a word.
            for replaced in ending.extract_if(.., |other| other.is_configured_as(plugin)) {
                replaced.cut_off();
            }
            ending.push(Rc::clone(plugin));
        }
        if self.live.borrow().is_empty() {
            ending.iter().for_each(|plugin| plugin.leave_gauge());
        }
        is_over
    }

    /// Ends a plugin, and cuts off what is under way.
    pub(super) fn discard(&self, plugin: &Rc<Plugin>) {
        self.end(plugin);
        self.ended(plugin);
        plugin.cut_off();
    }

    /// Lets go of a plugin that [`Plugins::end`] kept. Returns whether it did keep it.
    pub(super) fn ended(&self, plugin: &Rc<Plugin>) -> bool {
        let mut ending = self.ending.borrow_mut();
        let before = ending.len();
        ending.retain(|other| !Rc::ptr_eq(other, plugin));
        ending.len() < before
    }
}
