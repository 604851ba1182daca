//! The lock's machines in a model world.
//!
//! A [`world`] performs the machines' effects on model files with the kernel's rules, and
//! lets go wrong what can: processes are killed or stopped at any call, time passes, calls
//! fail. Two drivers walk through it: [`explore`] takes every way there is in a small scope.

pub mod explore;
mod graph;
pub mod leftover;
pub mod meter;
pub mod model;
pub mod picture;
pub mod property;
pub mod scope;
pub mod sketch;
pub mod storm;
pub mod suite;
pub mod symmetry;
pub mod words;
pub mod world;
pub mod zoo;
