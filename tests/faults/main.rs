//! What else goes wrong around the filter: upstreams that break off, an Envoy that is killed, policy files that are torn
//! or replaced in a hurry, and a VM that dies. Failing shadows are in `shadow` and `latency`.

mod clock;
mod envoy;
mod file;
mod hostile;
mod load;
mod upstreams;
mod vm;
