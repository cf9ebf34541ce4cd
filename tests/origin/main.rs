//! The origin driven on one thread with a stepped clock and a disk in memory: random histories against a
//! naive model, three days of a set's life, power cuts, and every answer of the gate.

mod world;
mod phone;
mod desk;
mod naive;
mod naive_release;
mod foresee;
mod checks;
mod asks;
mod model;
mod life;
mod founding;
mod failstop;
mod full;
mod crash;
mod mirrored;
mod crash_tape;
mod crash_life;
mod crash_check;
mod crash_ahead;
mod crash_points;
mod rot;
mod bases;
mod lineage;
mod asking;
mod answers;
mod refusals;
mod exchanges;
mod any_event;
mod bytes;
mod bytes_per_report;
mod formats;
mod whole;
