//! Every message names the thing and the remedy.
