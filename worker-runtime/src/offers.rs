//! What this worker offers to do.

use std::sync::Arc;

use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::profile::Profile;

use crate::backend::Backend;

/// One profile of one backend.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) profile: Profile,
    /// Which backend does it: its place in the worker's list.
    pub(crate) backend: usize,
}

/// All profiles of all backends of a worker.
pub(crate) fn offers(backends: &[Arc<dyn Backend>]) -> Vec<Offer> {
    let of_backend = |(place, backend): (usize, &Arc<dyn Backend>)| {
        let offer = move |profile: Profile| Offer {
            backend: place,
            profile,
        };
        backend.profiles().into_iter().map(offer)
    };
    backends.iter().enumerate().flat_map(of_backend).collect()
}

/// The offers that name a kind and profile which another one before them names, too.
pub(crate) fn repeated(offers: &[Offer]) -> Vec<(JobKind, ProfileName)> {
    let key = |offer: &Offer| (offer.profile.kind, offer.profile.name.clone());
    let is_repeated = |place: &usize| {
        offers[..*place]
            .iter()
            .any(|earlier| key(earlier) == key(&offers[*place]))
    };
    (0..offers.len())
        .filter(is_repeated)
        .map(|place| key(&offers[place]))
        .collect()
}
