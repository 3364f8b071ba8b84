//! The rule as laws over random samples, what each sort of sample teaches, and the file.

mod book;
mod build;
mod figure;
mod file;
mod sample;
