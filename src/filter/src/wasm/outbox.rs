//! The copies that are due.
//!
//! A request that ends puts its copies into the outbox and sets a timer. The root context sends
//! them a millisecond later. So a copy costs the primary nothing, the answers go to a context that
//! outlives the request, and no context calls another. (Shared queues don't work: one of the
//! workers gets the notifications of all.)

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use policy::shadow::Original;

use super::target::Target;
use crate::body::Body;

/// The copies that are due, of one root context.
#[derive(Default)]
pub(super) struct Outbox(RefCell<VecDeque<Copies>>);

/// The copies of one request.
pub(super) struct Copies {
    /// The shadows that still receive one.
    pub(super) targets: VecDeque<Rc<Target>>,
    pub(super) original: Original,
    pub(super) body: Body,
    pub(super) had_trailers: bool,
}

impl Outbox {
    /// Takes copies to send. Returns whether there were none.
    pub(super) fn put(&self, copies: Copies) -> bool {
        let mut waiting = self.0.borrow_mut();
        waiting.push_back(copies);
        waiting.len() == 1
    }

    /// The copies that have waited longest.
    pub(super) fn take(&self) -> Option<Copies> {
        self.0.borrow_mut().pop_front()
    }

    /// Puts back what [`Outbox::take`] returned.
    pub(super) fn put_back(&self, copies: Copies) {
        self.0.borrow_mut().push_front(copies);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
