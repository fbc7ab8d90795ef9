//! How the plugin `coordinator` is configured, for whoever reads such a configuration.
//!
//! Used by the plugin itself and by `spiderpoolctl net`, so that both read one configuration alike
//! (`the_plan_is_what_add_does` in `adapters/spiderpoolctl/tests`). [`conf`] reads the network's own
//! configuration, [`facts`] adds what the cluster says where that is silent.

pub mod conf;
pub mod facts;
