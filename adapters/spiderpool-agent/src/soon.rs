//! A future that can be kept behind a `dyn` trait.

use std::future::Future;
use std::pin::Pin;

/// What an asynchronous method of a trait object gives.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
